// A conversation as requests state it: messages, tools and what is to be done with thoughts.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "bezel/result.h"

namespace bezel::chat {

struct ToolCall {
  Json id;  // a text, or null when the request has none
  std::string name;
  Json arguments;  // an object; null is one without members. A text (JSON inside) needs a cure
};

// A result inside the message that called, Google's own form.
struct ToolResponse {
  std::string name;
  Json response;
};

struct Message {
  std::string role;  // system, user, assistant or tool; others as the template takes them
  // null, a text, or an array of parts: {"type": "text", "text": ...} and {"type": T} with T image,
  // image_url, audio, input_audio or video. Of a tool message: any JSON.
  Json content;
  std::string thought;
  std::vector<ToolCall> calls;
  bool before_calls = false;  // set by the cure: the next message has this one's calls
  std::vector<ToolResponse> responses;
  // Of a tool message:
  Json call_id;            // which call it answers; null when the request has none
  std::string tool_name;   // empty when the request has none
  bool is_object = false;  // set by the cure: the content's members are the result's members

  bool is_system() const { return role == "system" || role == "developer"; }
};

struct Thinking {
  bool enabled = false;
  bool preserve = false;  // also keep thoughts of earlier answers that called tools
  int budget = -1;        // most tokens of a thought; -1: no limit; 0: as not enabled
  bool on() const { return enabled && budget != 0; }
};

struct Conversation {
  std::vector<Message> messages;
  Json tools;  // null or an array of {"type": "function", "function": {...}}
  Thinking thinking;
  bool add_generation_prompt = true;
  bool continue_last = false;  // the last message is an answer to go on with; see render()
};

// From a request: {"messages": [...], "tools": [...], "add_generation_prompt": bool,
// "continue_final_message": bool, "kwargs": {"enable_thinking": bool, "preserve_thinking": bool,
// "thinking_budget": n}}. The members of "kwargs" may also stand at the top or in
// "chat_template_kwargs". Other members are ignored. An Error names the message.
Result<Conversation> conversation_from(const Json& request);

// "messages[3]", for errors.
std::string message_name(std::size_t index);

}  // namespace bezel::chat
