// A client of the Model Context Protocol over standard input and output: JSON-RPC 2.0, a message a
// line. Source: modelcontextprotocol.io, specification 2025-06-18.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>

#include "base/json.h"
#include "bezel/tools.h"
#include "engine/tools/child.h"
#include "text/chat/values.h"

namespace bezel {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStartPatience{30'000}, kCallPatience{300'000};
constexpr std::size_t kMaxTools = 1000, kMaxPages = 100;
constexpr const char* kVersion = "2025-06-18";

using chat::member;

class McpTools final : public Tools {
 public:
  McpTools(std::unique_ptr<Child> child, std::string command)
      : child_(std::move(child)), command_(std::move(command)) {}

  Status begin() {
    const Json hello = {{"protocolVersion", kVersion},
                        {"capabilities", Json::object()},
                        {"clientInfo", {{"name", "bezel"}, {"version", "1"}}}};
    BEZEL_TRY(const Json answer, ask("initialize", hello, kStartPatience, nullptr));
    if (!member(answer, "protocolVersion").is_string())
      return bad("its answer to \"initialize\" has no protocolVersion");
    BEZEL_DO(child_->write_line(
        dump_json({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}})));
    return read_tools();
  }

  const std::vector<Tool>& list() const override { return list_; }

  Result<std::string> call(const ToolCall& call, const std::atomic<bool>* cancel) override {
    BEZEL_TRY(Json arguments, parse_json(call.arguments, call.name));
    BEZEL_TRY(const Json result,
              ask("tools/call", {{"name", call.name}, {"arguments", std::move(arguments)}},
                  kCallPatience, cancel));
    std::string text;
    const Json& content = member(result, "content");
    for (std::size_t i = 0; content.is_array() && i < content.size(); ++i) {
      const Json& part = content[i];
      if (!text.empty()) text += '\n';
      if (member(part, "text").is_string())
        text += member(part, "text").get_ref<const std::string&>();
      else
        text += fmt::format("[{}]", member(part, "type").is_string()
                                        ? member(part, "type").get<std::string>()
                                        : "something that is no text");
    }
    if (text.empty() && member(result, "structuredContent").is_object())
      text = dump_json(member(result, "structuredContent"));
    if (member(result, "isError") == Json(true)) return Error{Errc::BadInput, text, call.name};
    return text;
  }

 private:
  Error bad(std::string what) const { return {Errc::BadInput, std::move(what), command_}; }

  Status read_tools() {
    Json parameters = Json::object();
    for (std::size_t page = 0; page < kMaxPages; ++page) {
      BEZEL_TRY(const Json answer, ask("tools/list", parameters, kStartPatience, nullptr));
      const Json& tools = member(answer, "tools");
      if (!tools.is_array()) return bad("its answer to \"tools/list\" has no array \"tools\"");
      for (const Json& t : tools) {
        if (!member(t, "name").is_string()) return bad("it has a tool without a name");
        if (list_.size() == kMaxTools) return bad("it has more than 1000 tools");
        const Json& schema = member(t, "inputSchema");
        const Json& words = member(t, "description");
        const auto name = member(t, "name").get<std::string>();
        list_.push_back(
            {name, dump_json({{"type", "function"},
                              {"function",
                               {{"name", name},
                                {"description", words.is_string() ? words : Json("")},
                                {"parameters", schema.is_object() ? schema : Json::object()}}}})});
      }
      const Json& next = member(answer, "nextCursor");
      if (!next.is_string()) return Ok{};
      parameters = {{"cursor", next}};
    }
    return bad("its list of tools does not end");
  }

  // Sends a request and waits for its answer; what the server asks meanwhile is answered.
  Result<Json> ask(const char* method, Json parameters, milliseconds patience,
                   const std::atomic<bool>* cancel) {
    const std::int64_t id = ++last_id_;
    BEZEL_DO(named(child_->write_line(dump_json(
        {{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(parameters)}}))));
    while (true) {
      auto line = child_->read_line(patience, cancel);
      if (!line) return Error{line.error().code, line.error().what, command_};
      if (line->find_first_not_of(" \r\t") == std::string::npos) continue;
      BEZEL_TRY(Json message, parse_json(*line, command_));
      if (member(message, "method").is_string()) {
        BEZEL_DO(named(serve(message)));
        continue;
      }
      if (member(message, "id") != Json(id)) continue;  // of a request that was given up
      if (const Json& error = member(message, "error"); !error.is_null()) {
        const Json& words = member(error, "message");
        return bad(words.is_string() ? words.get<std::string>() : dump_json(error));
      }
      return Json(member(message, "result"));
    }
  }

  // A request or notification of the server.
  Status serve(const Json& message) {
    const Json& id = member(message, "id");
    if (id.is_null()) return Ok{};
    Json answer = {{"jsonrpc", "2.0"}, {"id", id}};
    if (member(message, "method") == Json("ping"))
      answer["result"] = Json::object();
    else
      answer["error"] = {{"code", -32601}, {"message", "not supported"}};
    return child_->write_line(dump_json(answer));
  }

  Status named(Status status) const {
    if (status) return status;
    return Error{status.error().code, status.error().what, command_};
  }

  std::unique_ptr<Child> child_;
  std::string command_;
  std::int64_t last_id_ = 0;
  std::vector<Tool> list_;
};

}  // namespace

Result<std::unique_ptr<Tools>> mcp_tools(const std::string& command, bool show_errors) {
  auto child = Child::start(command, show_errors);
  if (!child) return Error{child.error().code, child.error().what, command};
  auto tools = std::make_unique<McpTools>(*std::move(child), command);
  BEZEL_DO(tools->begin());
  return std::unique_ptr<Tools>(std::move(tools));
}

}  // namespace bezel
