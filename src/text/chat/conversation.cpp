#include "text/chat/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "text/chat/values.h"

namespace bezel::chat {
namespace {

Error bad(std::string what, std::string where) {
  return {Errc::BadInput, std::move(what), std::move(where)};
}

Result<ToolCall> call_from(const Json& in, const std::string& where) {
  const Json& function = member(in, "function");
  if (!function.is_object()) return bad("a tool call needs an object \"function\"", where);
  const Json& name = member(function, "name");
  if (!name.is_string()) return bad("a tool call needs a function with a text \"name\"", where);
  return ToolCall{member(in, "id"), name.get<std::string>(), member(function, "arguments")};
}

Result<ToolResponse> response_from(const Json& in, const std::string& where) {
  if (!in.is_object() || !in.contains("response"))
    return bad("a tool response needs a \"response\"", where);
  if (!in.contains("name")) return ToolResponse{"unknown", in["response"]};
  if (!in["name"].is_string()) return bad("a tool response's \"name\" must be a text", where);
  return ToolResponse{in["name"].get<std::string>(), in["response"]};
}

// The member `key` read item by item; an empty or missing one has none.
template <class T, class Read>
Status read_list(const Json& in, const char* key, const std::string& where, std::vector<T>& out,
                 const Read& read) {
  const Json& list = member(in, key);
  if (!truthy(list)) return Ok{};
  if (!list.is_array()) return bad(fmt::format("\"{}\" must be an array", key), where);
  for (std::size_t i = 0; i < list.size(); ++i) {
    BEZEL_TRY(T item, read(list[i], fmt::format("{}.{}[{}]", where, key, i)));
    out.push_back(std::move(item));
  }
  return Ok{};
}

Result<Message> message_from(const Json& in, std::size_t index) {
  const std::string where = message_name(index);
  if (!in.is_object()) return bad("a message must be an object", where);
  const Json& role = member(in, "role");
  if (!role.is_string()) return bad("a message needs a text \"role\"", where);
  Message out;
  out.role = role.get<std::string>();
  out.content = member(in, "content");
  if (index == 0 && out.is_system()) return out;  // nothing else of it is used
  if (out.role == "tool") {
    out.call_id = member(in, "tool_call_id");
    const Json& name = member(in, "name");
    if (truthy(name) && !name.is_string()) return bad("\"name\" must be a text", where);
    if (name.is_string()) out.tool_name = name.get<std::string>();
    return out;
  }
  for (const char* key : {"reasoning", "reasoning_content"}) {
    const Json& thought = member(in, key);
    if (!truthy(thought)) continue;
    if (!thought.is_string()) return bad(fmt::format("\"{}\" must be a text", key), where);
    out.thought = thought.get<std::string>();
    break;
  }
  BEZEL_DO(read_list(in, "tool_calls", where, out.calls, call_from));
  BEZEL_DO(read_list(in, "tool_responses", where, out.responses, response_from));
  return out;
}

Status read_options(const Json& in, const std::string& where, Conversation& to) {
  if (in.is_null()) return Ok{};
  if (!in.is_object()) return bad("options must be an object", where);
  const auto flag = [&](const char* key, bool& out) -> Status {
    BEZEL_TRY(out, json_get<bool>(in, key, out));
    return Ok{};
  };
  BEZEL_DO(flag("enable_thinking", to.thinking.enabled));
  BEZEL_DO(flag("preserve_thinking", to.thinking.preserve));
  BEZEL_DO(flag("add_generation_prompt", to.add_generation_prompt));
  BEZEL_DO(flag("continue_final_message", to.continue_last));
  BEZEL_TRY(const std::int64_t budget,
            json_get<std::int64_t>(in, "thinking_budget", to.thinking.budget));
  to.thinking.budget = static_cast<int>(std::clamp<std::int64_t>(budget, -1, INT_MAX));
  return Ok{};
}

}  // namespace

std::string message_name(std::size_t index) {
  return fmt::format("messages[{}]", index);
}

Result<Conversation> conversation_from(const Json& request) {
  if (!request.is_object()) return bad("a request must be an object with \"messages\"", "");
  const Json& messages = member(request, "messages");
  if (!messages.is_array()) return bad("a request needs an array \"messages\"", "");
  Conversation out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    BEZEL_TRY(Message message, message_from(messages[i], i));
    out.messages.push_back(std::move(message));
  }
  const Json& tools = member(request, "tools");
  if (truthy(tools)) {
    if (!tools.is_array()) return bad("\"tools\" must be an array", "");
    out.tools = tools;
  }
  BEZEL_DO(read_options(request, "the request", out));
  BEZEL_DO(read_options(member(request, "chat_template_kwargs"), "chat_template_kwargs", out));
  BEZEL_DO(read_options(member(request, "kwargs"), "kwargs", out));
  return out;
}

}  // namespace bezel::chat
