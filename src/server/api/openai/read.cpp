#include <fmt/format.h>

#include <utility>

#include "server/api/openai/openai.h"

namespace bezel::api {

std::string openai_error(const Error& error, int status) {
  const char* type = status == 401   ? "authentication_error"
                     : status == 403 ? "permission_error"
                     : status == 404 ? "not_found_error"
                     : status == 503 ? "unavailable_error"
                     : status >= 500 ? "server_error"
                                     : "invalid_request_error";
  Json e;
  e["message"] = error.text();
  e["type"] = type;
  e["param"] = error.where.empty() ? Json(nullptr) : Json(error.where);
  e["code"] = error.code == Errc::TooLarge ? Json("context_length_exceeded") : Json(nullptr);
  Json out;
  out["error"] = std::move(e);
  return dump_json(out);
}

void check_arguments(Fields& in, const char* key, const std::string& arguments) {
  const auto parsed = parse_json(arguments, "");
  if (!parsed || !parsed->is_object()) in.must_be(key, "must be the text of a JSON object");
}

namespace {

std::vector<ToolCall> calls_of(Fields& message, std::optional<Error>& error) {
  std::vector<ToolCall> out;
  const Json* calls = message.array("tool_calls");
  if (calls == nullptr) return out;
  for (std::size_t i = 0; i < calls->size(); ++i) {
    Fields call((*calls)[i], error, message.path(fmt::format("tool_calls[{}]", i)));
    const Json* function = call.object("function");
    if (function == nullptr) {
      call.must_be("function", "is missing");
      break;
    }
    Fields f(*function, error, call.path("function"));
    ToolCall c;
    c.id = call.text("id").value_or("");
    c.name = f.text("name").value_or("");
    if (c.name.empty()) f.must_be("name", "is missing");
    const Json* arguments = f.any("arguments");
    if (arguments != nullptr && arguments->is_object())
      c.arguments = dump_json(*arguments);
    else
      c.arguments = f.text("arguments").value_or("{}");
    if (c.arguments.empty()) c.arguments = "{}";
    check_arguments(f, "arguments", c.arguments);
    out.push_back(std::move(c));
  }
  return out;
}

}  // namespace

std::vector<Turn> openai_messages(const Json& messages, std::optional<Error>& error) {
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < messages.size() && !error; ++i) {
    Fields m(messages[i], error, fmt::format("messages[{}]", i));
    Turn t;
    t.role = m.text("role").value_or("");
    if (t.role == "developer") t.role = "system";
    if (t.role == "function") t.role = "tool";
    if (t.role != "system" && t.role != "user" && t.role != "assistant" && t.role != "tool")
      m.must_be("role", "must be system, developer, user, assistant or tool");
    t.text = content_text(m, "content");
    for (const char* key : {"reasoning_content", "reasoning"})
      if (const auto thought = m.text(key)) t.thought = *thought;
    if (t.role != "assistant") t.thought.clear();
    if (t.role == "assistant") t.calls = calls_of(m, error);
    if (t.role == "tool") t.call_id = m.text("tool_call_id").value_or("");
    turns.push_back(std::move(t));
  }
  return turns;
}

void read_tools(Fields& in, Talk& talk) {
  const Json* tools = read_tool_list(in);
  if (tools != nullptr && !tools->empty()) talk.tools = dump_json(*tools);
  if (const auto parallel = in.flag("parallel_tool_calls")) talk.parallel = *parallel;
  const Json* choice = in.any("tool_choice");
  if (choice == nullptr) return;
  if (*choice == "auto" || *choice == "none" || *choice == "required") {
    talk.calls = *choice == "auto"   ? Talk::Calls::Auto
                 : *choice == "none" ? Talk::Calls::None
                                     : Talk::Calls::Required;
    return;
  }
  const bool named = choice->is_object() && choice->contains("function") &&
                     (*choice)["function"].is_object() && (*choice)["function"].contains("name") &&
                     (*choice)["function"]["name"].is_string();
  if (!named) return in.must_be("tool_choice", "must be auto, none, required or name a function");
  talk.calls = Talk::Calls::Required;
  talk.allowed = {(*choice)["function"]["name"].get<std::string>()};
}

void read_flat_tools(Fields& in, const char* schema, bool typed, std::optional<Error>& error,
                     Talk& talk) {
  const Json* tools = read_tool_list(in);
  Json list = Json::array();
  for (std::size_t i = 0; tools != nullptr && i < tools->size() && !error; ++i) {
    Fields t((*tools)[i], error, fmt::format("tools[{}]", i));
    if (typed && t.text("type").value_or("") != "function")
      t.must_be("type", "must be function: nothing else is served");
    Json function;
    function["name"] = t.text("name").value_or("");
    if (function["name"] == "") t.must_be("name", "is missing");
    if (const auto text = t.text("description")) function["description"] = *text;
    const Json* parameters = t.object(schema);
    function["parameters"] = parameters == nullptr ? Json::object() : *parameters;
    Json tool;
    tool["type"] = "function";
    tool["function"] = std::move(function);
    list.push_back(std::move(tool));
  }
  if (!list.empty()) talk.tools = dump_json(list);
}

}  // namespace bezel::api
