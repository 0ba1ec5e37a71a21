#include "talk.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/json.h"

namespace bezel::app {

namespace {

constexpr std::uint64_t kMaxToolBytes = 16U << 20U;

}  // namespace

void ThinkFlags::add(CLI::App& c) {
  c.add_flag("--think", think, "the model may think before it answers (Gemma 4)");
  c.add_option("--thought-budget", budget, "most tokens of a thought")
      ->type_name("N")
      ->check(range(0, 1 << 20));
}

void ToolFlags::add(CLI::App& c) {
  c.add_flag("--builtin-tools", builtin, "the model may ask for the time and calculate");
  c.add_option("--folder", folder, "it may also list and read files below this folder")
      ->type_name("DIR");
  c.add_option("--mcp", mcp, "tools of the MCP server that this command starts (may be repeated)")
      ->type_name("COMMAND")
      ->allow_extra_args(false);
  c.add_flag("--allow-tools", allow, "do not ask before each call");
  c.add_flag("--mcp-errors", show_errors, "show what MCP servers write to standard error");
}

Result<ToolBox> ToolFlags::open() const {
  ToolBox box;
  if (builtin || !folder.empty()) {
    BEZEL_TRY(auto tools, builtin_tools(folder));
    BEZEL_DO(box.add(std::move(tools)));
  }
  for (const std::string& command : mcp) {
    BEZEL_TRY(auto tools, mcp_tools(command, show_errors));
    BEZEL_DO(box.add(std::move(tools)));
  }
  return box;
}

Result<std::string> read_tools(const std::string& path) {
  BEZEL_TRY(const std::string text, read_file(path, kMaxToolBytes));
  BEZEL_TRY(Json json, parse_json(text, path));
  const JsonGuard guard(json);
  if (json.is_object() && json.contains("tools")) return dump_json(json["tools"]);
  if (json.is_array()) return dump_json(json);
  return Error{Errc::BadInput, "expected an array of tools, or an object with \"tools\"", path};
}

ThoughtPrinter::ThoughtPrinter() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ThoughtPrinter::write(std::string_view text) {
  if (!terminal_) return;
  if (!open_) std::fputs("\033[2m", stderr);
  open_ = true;
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void ThoughtPrinter::end() {
  if (open_) std::fputs("\033[0m\n", stderr);
  open_ = false;
}

}  // namespace bezel::app
