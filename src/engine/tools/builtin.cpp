// The tools that come with Bezel: none writes, none leaves the machine.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "bezel/tools.h"
#include "engine/tools/calculator.h"

namespace bezel {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxFileBytes = 64U << 10U;  // that a model is shown
constexpr std::size_t kMaxEntries = 1000;            // of a folder

std::string declaration(const char* name, const char* description, const char* parameters) {
  return fmt::format(
      R"({{"type":"function","function":{{"name":"{}","description":"{}","parameters":{}}}}})",
      name, description, parameters);
}

Result<std::string> current_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  std::array<char, 96> text{};
  if (localtime_r(&now, &local) == nullptr ||
      std::strftime(text.data(), text.size(), "%A %Y-%m-%dT%H:%M:%S%z (%Z)", &local) == 0)
    return Error{Errc::Io, "the system does not tell the time", ""};
  return std::string(text.data());
}

class Builtin final : public Tools {
 public:
  explicit Builtin(fs::path folder) : folder_(std::move(folder)) {
    constexpr const char* kNone = R"({"type":"object","properties":{}})";
    constexpr const char* kPath =
        R"({"type":"object","properties":{"path":{"type":"string","description":"Relative to the folder"}},"required":["path"]})";
    add("current_time", "The date and time here and now.", kNone);
    add("calculate", "The value of an arithmetic expression such as (2+3)*sqrt(16)/7.",
        R"({"type":"object","properties":{"expression":{"type":"string"}},"required":["expression"]})");
    if (folder_.empty()) return;
    add("list_folder", "Names of files and folders; folders end with a slash.", kPath);
    add("read_file", "The text of a file.", kPath);
  }

  const std::vector<Tool>& list() const override { return list_; }

  Result<std::string> call(const ToolCall& call, const std::atomic<bool>*) override {
    BEZEL_TRY(const Json arguments, parse_json(call.arguments, call.name));
    if (!arguments.is_object())
      return Error{Errc::BadInput, "arguments must be an object", call.name};
    if (call.name == "current_time") return current_time();
    if (call.name == "calculate") {
      BEZEL_TRY(const std::string text, json_get<std::string>(arguments, "expression", ""));
      return calculate(text);
    }
    BEZEL_TRY(const std::string path, json_get<std::string>(arguments, "path", ""));
    BEZEL_TRY(const fs::path inside, within(path));
    return call.name == "list_folder" ? names_in(inside) : text_of(inside);
  }

 private:
  void add(const char* name, const char* description, const char* parameters) {
    list_.push_back({name, declaration(name, description, parameters)});
  }

  // The real place of a path, links followed; an Error when that is outside the folder.
  Result<fs::path> within(const std::string& path) const {
    std::error_code problem;
    const fs::path real = fs::canonical(folder_ / fs::path(path), problem);
    if (problem) return Error{Errc::NotFound, problem.message(), path};
    const auto [end, _] = std::mismatch(folder_.begin(), folder_.end(), real.begin(), real.end());
    if (end != folder_.end())
      return Error{Errc::BadInput, "this lies outside the folder that may be read", path};
    return real;
  }

  static Result<std::string> names_in(const fs::path& folder) {
    std::error_code problem;
    std::vector<std::string> names;
    for (fs::directory_iterator at(folder, problem), end; !problem && at != end;
         at.increment(problem)) {
      const bool is_folder = at->is_directory(problem);
      names.push_back(at->path().filename().string() + (is_folder ? "/" : ""));
      if (names.size() == kMaxEntries) break;
    }
    if (problem) return Error{Errc::Io, problem.message(), folder.filename().string()};
    std::sort(names.begin(), names.end());
    return fmt::format("{}", fmt::join(names, "\n"));
  }

  static Result<std::string> text_of(const fs::path& file) {
    std::error_code problem;
    if (!fs::is_regular_file(file, problem))
      return Error{Errc::BadInput, "this is no file", file.filename().string()};
    BEZEL_TRY(std::string text, read_file(file.string(), kMaxFileBytes));
    if (!valid_utf8(text))
      return Error{Errc::BadInput, "this file holds no text", file.filename().string()};
    return text;
  }

  fs::path folder_;  // canonical; empty: no files
  std::vector<Tool> list_;
};

}  // namespace

Result<std::unique_ptr<Tools>> builtin_tools(const std::string& folder) {
  fs::path real;
  if (!folder.empty()) {
    std::error_code problem;
    real = fs::canonical(folder, problem);
    if (problem || !fs::is_directory(real, problem))
      return Error{Errc::NotFound, "expected a folder", folder};
  }
  return std::unique_ptr<Tools>(std::make_unique<Builtin>(std::move(real)));
}

}  // namespace bezel
