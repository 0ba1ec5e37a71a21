#include "text/chat/render.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/chat/values.h"

namespace bezel::chat {
namespace {

Error bad(std::string what, std::string where) {
  return {Errc::BadInput, std::move(what), std::move(where)};
}

Error too_deep(std::string where) {
  return {Errc::TooLarge, "a value is nested deeper than 256 levels", std::move(where)};
}

std::string_view placeholder(std::string_view type) {
  if (type == "image" || type == "image_url") return "<|image|>";
  if (type == "audio" || type == "input_audio") return "<|audio|>";
  return type == "video" ? "<|video|>" : "";
}

// The text of a part, or null when it has none.
const std::string* part_text(const Json& part) {
  const Json& text = member(part, "text");
  return text.is_string() ? &text.get_ref<const std::string&>() : nullptr;
}

std::string_view part_type(const Json& part) {
  const Json& type = member(part, "type");
  return type.is_string() ? std::string_view(type.get_ref<const std::string&>()) : "";
}

Error no_text(std::size_t part, const std::string& where) {
  return bad("a content part of type text needs a text \"text\"",
             fmt::format("{}.content[{}]", where, part));
}

// An answer without its thoughts: split at <channel|>; of every part only what comes before the
// first <|channel>; trimmed. A thought that never ends takes the rest with it.
std::string without_thoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<|channel>", kClose = "<channel|>";
  std::string out;
  for (;;) {
    const std::size_t close = text.find(kClose);
    const std::string_view part = text.substr(0, close);
    out += part.substr(0, part.find(kOpen));
    if (close == std::string_view::npos) break;
    text.remove_prefix(close + kClose.size());
  }
  return std::string(trim(out));
}

// The content of a message that is no tool's, in `to`.
Status write_content(Pieces& to, const Message& m, bool is_answer, const std::string& where) {
  const auto clean = [&](const std::string& text) {
    return is_answer ? without_thoughts(text) : std::string(trim(text));
  };
  if (m.content.is_string()) to.text(clean(m.content.get_ref<const std::string&>()));
  if (!m.content.is_array()) return Ok{};
  for (std::size_t i = 0; i < m.content.size(); ++i) {
    const Json& part = m.content[i];
    const std::string_view type = part_type(part);
    if (type == "text") {
      const std::string* text = part_text(part);
      if (text == nullptr) return no_text(i, where);
      to.text(clean(*text));
    } else if (const auto marker = placeholder(type); !marker.empty()) {
      to.marker(marker);
    } else {
      return bad(
          "a content part must have the type text, image, image_url, audio, input_audio or "
          "video",
          fmt::format("{}.content[{}]", where, i));
    }
  }
  return Ok{};
}

class Gemma4 {
 public:
  Gemma4(const Conversation& conversation, bool large)
      : c_(conversation), large_(large), thinking_(conversation.thinking.on()) {}

  Result<Pieces> render(std::size_t n_messages, bool generation_prompt) {
    n_ = n_messages;
    out_.marker("<bos>");
    BEZEL_DO(system());
    for (std::size_t i = first_; i < n_; ++i)
      if (at(i).role == "user") last_user_ = i, has_user_ = true;
    for (std::size_t i = first_; i < n_; ++i)
      if (at(i).role != "tool") BEZEL_DO(message(i));
    if (generation_prompt) begin_answer();
    return std::move(out_);
  }

 private:
  enum class Last { Text, Call, Response };  // what the last message ended its calls with

  const Message& at(std::size_t i) const { return c_.messages[i]; }

  Status system() {
    const bool stated = n_ > 0 && at(0).is_system();
    if (!stated && !thinking_ && !truthy(c_.tools)) return Ok{};
    out_.marker("<|turn>");
    out_.text("system\n");
    if (thinking_) out_.marker("<|think|>"), out_.text("\n");
    if (stated) {
      BEZEL_DO(system_text(at(0).content));
      first_ = 1;
    }
    for (std::size_t i = 0; i < c_.tools.size(); ++i) {
      BEZEL_TRY(const Pieces declaration, declare_tool(c_.tools[i], fmt::format("tools[{}]", i)));
      out_.marker("<|tool>");
      out_.append(declaration);
      out_.marker("<tool|>");
    }
    end_turn();
    return Ok{};
  }

  Status system_text(const Json& content) {
    if (content.is_string()) {
      out_.text(trim(content.get_ref<const std::string&>()));
      return Ok{};
    }
    if (!content.is_array())
      return bad("a system message needs a text or an array of texts as content", message_name(0));
    for (std::size_t i = 0; i < content.size(); ++i) {
      const std::string* text = part_text(content[i]);
      if (text == nullptr) return no_text(i, message_name(0));
      out_.text(trim(*text));
      out_.text(" ");
    }
    return Ok{};
  }

  // The nearest message before or after that is no tool's; n_ when there is none.
  std::size_t neighbour(std::size_t i, bool after) const {
    while (after ? ++i < n_ : i-- > first_)
      if (at(i).role != "tool") return i;
    return n_;
  }

  Status message(std::size_t i) {
    const Message& m = at(i);
    const std::string where = message_name(i);
    const bool answer = m.role == "assistant" || m.role == "model";
    const std::size_t before = neighbour(i, false), after = neighbour(i, true);
    last_ = Last::Text;
    if (!answer || before == n_ || at(before).role != "assistant") {
      out_.marker("<|turn>");
      out_.text(answer ? "model" : m.role);
      out_.text("\n");
    }
    const bool calls = !m.calls.empty();
    const bool kept = c_.thinking.preserve && (calls || m.before_calls);
    if (!m.thought.empty() && (!has_user_ || i > last_user_ || kept)) {
      out_.marker("<|channel>");
      out_.text("thought\n" + m.thought + "\n");
      out_.marker("<channel|>");
    }
    for (std::size_t k = 0; k < m.calls.size(); ++k)
      BEZEL_DO(call(m.calls[k], fmt::format("{}.tool_calls[{}]", where, k)));
    BEZEL_DO(responses(i));
    const bool answered = last_ == Last::Response;
    Pieces content;
    BEZEL_DO(write_content(content, m, answer, where));
    out_.append(content);
    if (calls && !answered) {
      out_.marker("<|tool_response>");
      return Ok{};
    }
    if (answer && after != n_ && at(after).role == "assistant") return Ok{};
    if (answered && content.list().empty() && after == n_) return Ok{};
    end_turn();
    return Ok{};
  }

  Status call(const ToolCall& call, const std::string& where) {
    if (call.arguments.is_string())
      return bad("arguments must be an object, not a text; parse the JSON first", where);
    if (truthy(call.arguments) && !call.arguments.is_object())
      return bad("arguments must be an object", where);
    out_.marker("<|tool_call>");
    out_.text("call:" + call.name);
    if (!truthy(call.arguments)) {
      out_.text("{}");
    } else if (!write_value(out_, call.arguments, false)) {
      return too_deep(where);
    }
    out_.marker("<tool_call|>");
    last_ = Last::Call;
    return Ok{};
  }

  // The results that message i holds itself, or those of the tool messages that follow its calls.
  Status responses(std::size_t i) {
    const Message& m = at(i);
    for (const ToolResponse& r : m.responses)
      BEZEL_DO(response(r.name, r.response, true, message_name(i)));
    if (!m.responses.empty() || m.calls.empty()) return Ok{};
    for (std::size_t j = i + 1; j < n_ && at(j).role == "tool"; ++j)
      BEZEL_DO(tool_message(m.calls, at(j), message_name(j)));
    return Ok{};
  }

  Status tool_message(const std::vector<ToolCall>& calls, const Message& m,
                      const std::string& where) {
    std::string name = m.tool_name.empty() ? "unknown" : m.tool_name;
    for (const ToolCall& c : calls)
      if (c.id == m.call_id) name = c.name;
    if (m.content.is_object() && !m.is_object)
      return bad("the content of a tool message must be a text, not an object", where);
    if (!m.content.is_array()) return response(name, m.content, m.is_object, where);
    std::string text;
    Pieces media;
    for (std::size_t k = 0; k < m.content.size(); ++k) {
      const Json& part = m.content[k];
      if (part_type(part).empty())
        return bad("a content part needs a type", fmt::format("{}.content[{}]", where, k));
      if (part_type(part) == "text") {
        const std::string* said = part_text(part);
        if (said == nullptr) return no_text(k, where);
        text += *said;
      } else if (const auto marker = placeholder(part_type(part)); !marker.empty()) {
        media.marker(marker);
      }
    }
    BEZEL_DO(response(name, text, false, where));
    out_.append(media);
    return Ok{};
  }

  Status response(const std::string& name, const Json& value, bool members,
                  const std::string& where) {
    out_.marker("<|tool_response>");
    out_.text("response:" + name);
    const bool whole = members && value.is_object();
    if (!whole) out_.text("{value:");
    if (!write_value(out_, value, false)) return too_deep(where);
    if (!whole) out_.text("}");
    out_.marker("<tool_response|>");
    last_ = Last::Response;
    return Ok{};
  }

  void end_turn() {
    out_.marker("<turn|>");
    out_.text("\n");
  }

  void begin_answer() {
    if (last_ == Last::Text) {
      out_.marker("<|turn>");
      out_.text("model\n");
    }
    const bool open = last_ == Last::Response && thinking_;
    const bool empty = last_ == Last::Text && large_ && !thinking_;
    if (!open && !empty) return;
    out_.marker("<|channel>");
    out_.text("thought\n");
    if (empty) out_.marker("<channel|>");
  }

  const Conversation& c_;
  const bool large_, thinking_;
  Pieces out_;
  std::size_t n_ = 0, first_ = 0, last_user_ = 0;
  bool has_user_ = false;
  Last last_ = Last::Text;
};

// <start_of_turn>ROLE\nTEXT<end_of_turn>\n per message. There is no system turn: its text, as it
// is, and a blank line stand before the first user text. User and model alternate. The template
// knows neither tools nor thoughts.
Result<Pieces> gemma3(const Conversation& c, std::size_t n, bool generation_prompt) {
  Pieces out;
  out.marker("<bos>");
  const std::size_t first = n > 0 && c.messages[0].is_system() ? 1 : 0;
  std::string prefix;
  if (first == 1) {
    const Json& content = c.messages[0].content;
    const std::string* text = content.is_string() ? &content.get_ref<const std::string&>()
                              : content.is_array() && !content.empty() ? part_text(content[0])
                                                                       : nullptr;
    if (text == nullptr)
      return bad("a system message needs a text or an array of texts as content", message_name(0));
    prefix = *text + "\n\n";
  }
  for (std::size_t i = first; i < n; ++i) {
    const Message& m = c.messages[i];
    const bool answer = m.role == "assistant" || m.role == "model";
    const bool user_turn = (i - first) % 2 == 0;
    if (answer == user_turn || (!answer && m.role != "user"))
      return bad(fmt::format("messages[{}] has the role \"{}\"; Gemma 3 expects {} there, because "
                             "user and assistant take turns",
                             i, m.role, user_turn ? "user" : "assistant"),
                 "");
    out.marker("<start_of_turn>");
    out.text(answer ? "model\n" : "user\n");
    if (i == first) out.text(prefix);
    const std::string where = message_name(i);
    if (!m.content.is_string() && !m.content.is_array())
      return bad("content must be a text or an array of parts", where);
    if (m.content.is_string()) out.text(trim(m.content.get_ref<const std::string&>()));
    for (std::size_t k = 0; m.content.is_array() && k < m.content.size(); ++k) {
      if (part_type(m.content[k]) == "image") out.marker("<start_of_image>");
      if (part_type(m.content[k]) != "text") continue;
      const std::string* text = part_text(m.content[k]);
      if (text == nullptr) return no_text(k, where);
      out.text(trim(*text));
    }
    out.marker("<end_of_turn>");
    out.text("\n");
  }
  if (!generation_prompt) return out;
  out.marker("<start_of_turn>");
  out.text("model\n");
  return out;
}

Result<Pieces> render_first(const Conversation& c, PromptStyle style, std::size_t n,
                            bool generation_prompt) {
  if (style == PromptStyle::Gemma3) return gemma3(c, n, generation_prompt);
  return Gemma4(c, style == PromptStyle::Gemma4Large).render(n, generation_prompt);
}

// The texts of a content, as they are.
Result<std::string> plain_text(const Json& content, const std::string& where) {
  if (content.is_null()) return std::string();
  if (content.is_string()) return content.get<std::string>();
  std::string out;
  for (std::size_t i = 0; content.is_array() && i < content.size(); ++i) {
    const std::string* text = part_text(content[i]);
    if (text == nullptr || part_type(content[i]) != "text") return no_text(i, where);
    out += *text;
  }
  if (!content.is_array()) return bad("content must be a text or an array of parts", where);
  return out;
}

// The prompt up to the last message, then what that message says, left open.
Result<Pieces> render_open(const Conversation& c, PromptStyle style) {
  const auto n = c.messages.size();
  const std::string where = n == 0 ? "messages" : message_name(n - 1);
  const auto is_answer = [&](std::size_t i) {
    return c.messages[i].role == "assistant" || c.messages[i].role == "model";
  };
  if (n == 0 || !is_answer(n - 1))
    return bad("only an answer can be continued; the last message must have the role assistant",
               where);
  const Message& last = c.messages[n - 1];
  if (!last.calls.empty() || !last.responses.empty())
    return bad("an answer that calls tools cannot be continued", where);
  if (n > 1 && is_answer(n - 2) && c.messages[n - 2].responses.empty())
    return bad("an answer after another answer cannot be continued; join the two", where);
  BEZEL_TRY(const std::string text, plain_text(last.content, where));
  BEZEL_TRY(Pieces out, render_first(c, style, n - 1, true));
  if (style == PromptStyle::Gemma3 && !last.thought.empty())
    return bad("Gemma 3 has no thoughts to continue", where);
  if (!last.thought.empty() && !c.thinking.on())
    return bad("a thought can be continued only with thinking switched on", where);
  const bool open = out.ends_in_thought();
  if (!last.thought.empty()) {
    if (!open) out.marker("<|channel>"), out.text("thought\n");
    out.text(last.thought);
    if (text.empty()) return out;
    out.text("\n");
  }
  if (!text.empty() && (open || !last.thought.empty())) out.marker("<channel|>");
  out.text(text);
  return out;
}

}  // namespace

Result<Pieces> render(const Conversation& conversation, PromptStyle style) {
  if (conversation.continue_last) return render_open(conversation, style);
  return render_first(conversation, style, conversation.messages.size(),
                      conversation.add_generation_prompt);
}

bool write_value(Pieces& to, const Json& value, bool quote_keys, int depth) {
  if (depth > 256) return false;
  const auto quoted = [&](const std::string& text) {
    to.marker("<|\"|>");
    to.text(text);
    to.marker("<|\"|>");
  };
  if (value.is_string()) {
    quoted(value.get_ref<const std::string&>());
  } else if (value.is_object()) {
    to.text("{");
    bool first = true;
    for (const auto& [key, child] : sorted_members(value)) {
      if (!first) to.text(",");
      first = false;
      quote_keys ? quoted(*key) : to.text(*key);
      to.text(":");
      if (!write_value(to, *child, quote_keys, depth + 1)) return false;
    }
    to.text("}");
  } else if (value.is_array()) {
    to.text("[");
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) to.text(",");
      if (!write_value(to, value[i], quote_keys, depth + 1)) return false;
    }
    to.text("]");
  } else {
    to.text(value.is_number() ? number_text(value) : dump_json(value));
  }
  return true;
}

}  // namespace bezel::chat
