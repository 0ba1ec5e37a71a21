#include "text/prompt.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"

namespace bezel {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Result<chat::Message> message_of(const Turn& t, std::size_t index) {
  chat::Message m;
  m.role = t.role;
  if (m.role != "system" && m.role != "developer" && m.role != "user" && m.role != "assistant" &&
      m.role != "model" && m.role != "tool")
    return Error{
        Errc::BadInput,
        fmt::format("messages[{}] has the role \"{}\"; system, user, assistant or tool is expected",
                    index, m.role),
        ""};
  m.content = t.text;
  if (t.text.empty() && !t.calls.empty()) m.content = nullptr;
  m.thought = t.thought;
  for (const ToolCall& c : t.calls) {
    BEZEL_TRY(Json arguments, parse_json(c.arguments.empty() ? "{}" : c.arguments,
                                         fmt::format("the arguments of {}", c.name)));
    m.calls.push_back({Json(c.id), c.name, std::move(arguments)});
  }
  if (!t.call_id.empty()) m.call_id = t.call_id;
  return m;
}

}  // namespace

StyleChoice choose_style(const Tokenizer& tokenizer, const std::string& chat_template,
                         bool has_per_layer_embeddings) {
  const auto of_size =
      has_per_layer_embeddings ? PromptStyle::Gemma4Small : PromptStyle::Gemma4Large;
  const bool gemma4 = tokenizer.find("<|turn>") && tokenizer.find("<turn|>");
  const bool gemma3 = tokenizer.find("<start_of_turn>") && tokenizer.find("<end_of_turn>");
  if (!gemma4 && !gemma3)
    return {of_size, "the vocabulary has no turn markers; the model can complete text, not chat"};
  const std::string family = gemma4 ? "Gemma 4" : "Gemma 3";
  StyleChoice choice{gemma4 ? of_size : PromptStyle::Gemma3, ""};
  if (chat_template.empty()) {
    choice.warning = fmt::format(
        "the file has no chat template; {}'s is used, and a model without "
        "instruction tuning will answer badly",
        family);
    return choice;
  }
  if (gemma4 && contains(chat_template, "Google Gemma 4 Canonical Chat Template")) {
    // Only the large models' template ends its prompt with an empty thought.
    const bool empty_thought = contains(chat_template, "<|channel>thought\\n<channel|>");
    choice.style = empty_thought ? PromptStyle::Gemma4Large : PromptStyle::Gemma4Small;
    return choice;
  }
  if (!gemma4 && contains(chat_template, "<start_of_turn>") &&
      contains(chat_template, "<end_of_turn>"))
    return choice;
  choice.warning =
      fmt::format("the file's chat template is not one that is known; {}'s own is used", family);
  return choice;
}

Result<Prompt> render_chat(const Tokenizer& tokenizer, PromptStyle style,
                           const std::vector<Turn>& turns, const Talk& talk) {
  chat::Conversation conversation;
  for (const Turn& t : turns) {
    BEZEL_TRY(chat::Message message, message_of(t, conversation.messages.size()));
    conversation.messages.push_back(std::move(message));
  }
  if (!talk.tools.empty()) {
    BEZEL_TRY(conversation.tools, parse_json(talk.tools, "tools"));
    if (!conversation.tools.is_array())
      return Error{Errc::BadInput, "tools must be a JSON array", "tools"};
  }
  conversation.thinking.enabled = talk.think;
  conversation.thinking.budget = talk.thought_budget;
  BEZEL_TRY(conversation, chat::cured(std::move(conversation), style));
  BEZEL_TRY(const chat::Pieces prompt, chat::render(conversation, style));
  Prompt out;
  BEZEL_TRY(out.ids, prompt.ids(tokenizer));
  out.in_thought = prompt.ends_in_thought();
  return out;
}

std::vector<TokenId> end_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& stated) {
  std::vector<TokenId> ids;
  const auto add = [&](TokenId id) {
    if (id < 0 || std::find(ids.begin(), ids.end(), id) != ids.end()) return;
    ids.push_back(id);
  };
  add(tokenizer.eos());
  for (const char* name : {"<eos>", "<turn|>", "<|tool_response>", "<end_of_turn>"})
    add(tokenizer.find(name).value_or(-1));
  for (const TokenId id : stated) add(id);
  return ids;
}

}  // namespace bezel
