#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "text/chat/render.h"
#include "text/chat/values.h"

namespace bezel::chat {
namespace {

Error bad(std::string what, std::string where) {
  return {Errc::BadInput, std::move(what), std::move(where)};
}

Status name_roles(std::vector<Message>& messages) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    std::string& role = messages[i].role;
    if (role == "developer") role = "system";
    if (role == "model") role = "assistant";
    if (role != "system" && role != "user" && role != "assistant" && role != "tool")
      return bad(fmt::format("messages[{}] has the role \"{}\"; system, user, assistant or tool is "
                             "expected",
                             i, role),
                 "");
  }
  return Ok{};
}

// One text; the template would put a space after each part, the last too.
void join_system_text(Message& m) {
  if (!m.content.is_array()) return;
  std::string joined;
  for (const Json& part : m.content) {
    const Json& text = member(part, "text");
    if (!text.is_string()) return;  // render() says what is wrong
    if (!joined.empty()) joined += ' ';
    joined += trim(text.get_ref<const std::string&>());
  }
  m.content = joined;
}

// A literal <|think|> at the start of the system text is the switch that it names.
void take_switch(Conversation& c) {
  constexpr std::string_view kThink = "<|think|>";
  if (c.messages.empty() || !c.messages[0].content.is_string()) return;
  const std::string_view text = trim(c.messages[0].content.get_ref<const std::string&>());
  if (text.substr(0, kThink.size()) != kThink) return;
  c.thinking.enabled = true;
  c.messages[0].content = std::string(text.substr(kThink.size()));
}

Status parse_arguments(std::vector<Message>& messages) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (std::size_t k = 0; k < messages[i].calls.size(); ++k) {
      Json& arguments = messages[i].calls[k].arguments;
      const std::string where = fmt::format("messages[{}].tool_calls[{}].function.arguments", i, k);
      if (arguments.is_string()) {
        const std::string text = arguments.get<std::string>();
        if (trim(text).empty()) {
          arguments = Json::object();
        } else {
          BEZEL_TRY(arguments, parse_json(text, where));
        }
      }
      if (!arguments.is_object() && !arguments.is_null())
        return bad("the arguments of a call must be a JSON object", where);
    }
  }
  return Ok{};
}

bool says_something(const Json& content) {
  if (content.is_string()) return !trim(content.get_ref<const std::string&>()).empty();
  if (!content.is_array()) return false;
  return std::any_of(content.begin(), content.end(), [](const Json& part) {
    const Json& text = member(part, "text");
    return !text.is_string() || !trim(text.get_ref<const std::string&>()).empty();
  });
}

// Text and calls of one message become two messages, in the order in which a model writes them: the
// text before its calls, but after results that the message holds itself.
void split_texts_from_calls(std::vector<Message>& messages) {
  std::vector<Message> out;
  for (Message& m : messages) {
    if ((m.calls.empty() && m.responses.empty()) || !says_something(m.content)) {
      out.push_back(std::move(m));
      continue;
    }
    Message text;
    text.role = m.role;
    text.content = std::exchange(m.content, Json());
    if (!m.responses.empty()) {
      out.push_back(std::move(m));
      out.push_back(std::move(text));
    } else {
      text.thought = std::exchange(m.thought, "");
      text.before_calls = true;
      out.push_back(std::move(text));
      out.push_back(std::move(m));
    }
  }
  messages = std::move(out);
}

// Which call each of the tool messages [begin, end) answers: the first open one with its id; of
// those without an id, the first open one of its name; then by position.
class Matching {
 public:
  Matching(std::vector<Message>& messages, std::size_t caller)
      : messages_(messages), calls_(messages[caller].calls), caller_(caller) {}

  Status run(std::size_t begin, std::size_t end) {
    open_.assign(calls_.size(), true);
    call_of_.assign(end - begin, calls_.size());
    const bool all_named = std::none_of(calls_.begin(), calls_.end(),
                                        [](const ToolCall& c) { return c.id.is_null(); });
    for (std::size_t j = begin; j < end; ++j) {
      const Message& m = messages_[j];
      if (m.call_id.is_null()) continue;
      match(
          call_of_[j - begin], [&](const ToolCall& c) { return c.id == m.call_id; }, true);
      if (call_of_[j - begin] == calls_.size() && all_named)
        return bad(fmt::format("this result answers the call {}, which messages[{}] does not make",
                               dump_json(m.call_id), caller_),
                   message_name(j));
    }
    for (std::size_t j = begin; j < end; ++j)
      match(
          call_of_[j - begin], [&](const ToolCall& c) { return c.name == messages_[j].tool_name; },
          false);
    for (std::size_t j = begin; j < end; ++j) {
      match(
          call_of_[j - begin], [](const ToolCall&) { return true; }, false);
      if (call_of_[j - begin] == calls_.size())
        return bad("there are more results than calls; this one answers none", message_name(j));
    }
    name(begin);
    return Ok{};
  }
  const std::vector<bool>& open() const { return open_; }

 private:
  template <class Fits>
  void match(std::size_t& call, const Fits& fits, bool also_answered) {
    if (call != calls_.size()) return;
    for (std::size_t k = 0; k < calls_.size() && call == calls_.size(); ++k)
      if (open_[k] && fits(calls_[k])) call = k;
    for (std::size_t k = 0; also_answered && k < calls_.size() && call == calls_.size(); ++k)
      if (fits(calls_[k])) call = k;
    if (call != calls_.size()) open_[call] = false;
  }
  // Ids by position, so that the template finds the name of the right call.
  void name(std::size_t begin) {
    for (std::size_t k = 0; k < calls_.size(); ++k) calls_[k].id = fmt::format("call_{}", k);
    for (std::size_t j = 0; j < call_of_.size(); ++j)
      messages_[begin + j].call_id = calls_[call_of_[j]].id;
  }

  std::vector<Message>& messages_;
  std::vector<ToolCall>& calls_;
  std::size_t caller_;
  std::vector<bool> open_;
  std::vector<std::size_t> call_of_;
};

Message not_executed(const ToolCall& call) {
  Message m;
  m.role = "tool";
  m.call_id = call.id;
  m.content = Json{{"error", "not executed"}};
  m.is_object = true;
  return m;
}

// Every call gets its results, every result its call.
Result<std::vector<Message>> pair_results(std::vector<Message> messages, bool answer_follows) {
  std::vector<Message> out;
  for (std::size_t i = 0; i < messages.size();) {
    const std::size_t caller = i++;
    std::size_t end = i;
    while (end < messages.size() && messages[end].role == "tool") ++end;
    if (messages[caller].role == "tool" ||
        (end > i && (messages[caller].calls.empty() || !messages[caller].responses.empty())))
      return bad("this result answers no call; it must follow the message that calls the tool",
                 message_name(messages[caller].role == "tool" ? caller : i));
    Matching matching(messages, caller);
    if (messages[caller].responses.empty() && !messages[caller].calls.empty())
      BEZEL_DO(matching.run(i, end));
    std::vector<Message> invented;
    for (std::size_t k = 0; k < matching.open().size(); ++k) {
      const ToolCall& call = messages[caller].calls[k];
      if (!matching.open()[k]) continue;
      if (end == messages.size() && answer_follows)
        return bad(fmt::format("the call of \"{}\" has no result; add a message with the role tool",
                               call.name),
                   message_name(caller));
      if (end < messages.size()) invented.push_back(not_executed(call));
    }
    for (std::size_t j = caller; j < end; ++j) {
      messages[j].is_object = messages[j].role == "tool" && messages[j].content.is_object();
      out.push_back(std::move(messages[j]));
    }
    for (Message& m : invented) out.push_back(std::move(m));
    i = end;
  }
  return out;
}

// A response that has no name gets that of the call in its place.
void name_responses(std::vector<Message>& messages) {
  for (Message& m : messages)
    for (std::size_t k = 0; k < m.responses.size() && k < m.calls.size(); ++k)
      if (m.responses[k].name == "unknown") m.responses[k].name = m.calls[k].name;
}

Status check_gemma3(const Conversation& c) {
  if (truthy(c.tools))
    return Error{Errc::Unsupported, "Gemma 3's template has no place for tools; leave them out",
                 ""};
  if (c.messages.size() == 1 && c.messages[0].role == "system")
    return bad("Gemma 3 puts the system text into the first user message; add a user message", "");
  for (std::size_t i = 0; i < c.messages.size(); ++i)
    if (!c.messages[i].calls.empty() || c.messages[i].role == "tool")
      return Error{Errc::Unsupported, "Gemma 3's template has no place for tool calls",
                   message_name(i)};
  return Ok{};
}

}  // namespace

Result<Conversation> cured(Conversation c, PromptStyle style) {
  BEZEL_DO(name_roles(c.messages));
  if (style == PromptStyle::Gemma3) {
    BEZEL_DO(check_gemma3(c));
    return c;
  }
  for (Message& m : c.messages)
    if (m.role == "system") join_system_text(m);
  if (!c.messages.empty() && c.messages[0].role == "system") take_switch(c);
  BEZEL_DO(parse_arguments(c.messages));
  name_responses(c.messages);
  const bool answer_follows = c.add_generation_prompt || c.continue_last;
  // Results are paired first, while indices in errors are still those of the request.
  BEZEL_TRY(c.messages, pair_results(std::move(c.messages), answer_follows));
  split_texts_from_calls(c.messages);
  for (Json& tool : c.tools) tool = lower_tool(tool);
  return c;
}

}  // namespace bezel::chat
