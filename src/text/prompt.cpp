#include "text/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/vocab/pieces.h"

namespace bezel {
namespace {

// Unicode white space as the templates' trim() knows it.
bool is_space(std::uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view trim(std::string_view s) {
  while (!s.empty()) {
    const std::size_t n = utf8_length_at(s, 0);
    if (n == 0 || !is_space(code_point_at(s, 0, n))) break;
    s.remove_prefix(n);
  }
  while (!s.empty()) {
    std::size_t i = s.size() - 1;
    while (i > 0 && s.size() - i < 4 && (static_cast<unsigned char>(s[i]) & 0xC0U) == 0x80U) --i;
    const std::size_t n = utf8_length_at(s, i);
    if (i + n != s.size() || !is_space(code_point_at(s, i, n))) break;
    s.remove_suffix(n);
  }
  return s;
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

// Ids in order. Text between two markers is encoded as one stretch, so that merges across the
// joints of role, newline and message are those of the whole prompt.
class Builder {
 public:
  explicit Builder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void text(std::string_view s) { pending_ += s; }
  void marker(TokenId id) {
    flush();
    ids_.push_back(id);
  }
  std::vector<TokenId> take() {
    flush();
    return std::move(ids_);
  }

 private:
  void flush() {
    const auto ids = tokenizer_.encode_plain(pending_);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    pending_.clear();
  }
  const Tokenizer& tokenizer_;
  std::string pending_;
  std::vector<TokenId> ids_;
};

Result<TokenId> marker_id(const Tokenizer& tokenizer, std::string_view name) {
  if (const auto id = tokenizer.find(name)) return *id;
  return Error{
      Errc::Unsupported,
      fmt::format("the vocabulary has no {}, so this model cannot chat; use it with a plain "
                  "prompt",
                  name),
      ""};
}

Result<TokenId> bos_id(const Tokenizer& tokenizer) {
  if (tokenizer.bos() >= 0) return tokenizer.bos();
  return marker_id(tokenizer, "<bos>");
}

enum class Role { System, User, Model };

Result<Role> role_of(const Message& message, std::size_t index) {
  if (message.role == "user") return Role::User;
  if (message.role == "assistant" || message.role == "model") return Role::Model;
  if (message.role == "system" || message.role == "developer") return Role::System;
  return Error{
      Errc::BadInput,
      fmt::format("messages[{}] has the role \"{}\"; system, user or assistant is expected", index,
                  message.role),
      ""};
}

Result<std::vector<Role>> roles_of(const std::vector<Message>& messages) {
  std::vector<Role> roles;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    BEZEL_TRY(const Role role, role_of(messages[i], i));
    roles.push_back(role);
  }
  return roles;
}

// <|turn>ROLE\nTEXT<turn|>\n per message; answers in a row share one turn.
Result<std::vector<TokenId>> render_gemma4(const Tokenizer& tokenizer, bool empty_thought,
                                           const std::vector<Message>& messages) {
  BEZEL_TRY(const TokenId bos, bos_id(tokenizer));
  BEZEL_TRY(const TokenId open, marker_id(tokenizer, "<|turn>"));
  BEZEL_TRY(const TokenId close, marker_id(tokenizer, "<turn|>"));
  BEZEL_TRY(const auto roles, roles_of(messages));
  Builder b(tokenizer);
  b.marker(bos);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool model = roles[i] == Role::Model;
    if (!model || i == 0 || roles[i - 1] != Role::Model) {
      b.marker(open);
      b.text(model ? "model\n" : roles[i] == Role::User ? "user\n" : "system\n");
    }
    b.text(model ? without_thoughts(messages[i].text) : std::string(trim(messages[i].text)));
    if (model && i + 1 < messages.size() && roles[i + 1] == Role::Model) continue;
    b.marker(close);
    b.text("\n");
  }
  b.marker(open);
  b.text("model\n");
  if (empty_thought) {
    BEZEL_TRY(const TokenId thought, marker_id(tokenizer, "<|channel>"));
    BEZEL_TRY(const TokenId end_thought, marker_id(tokenizer, "<channel|>"));
    b.marker(thought);
    b.text("thought\n");
    b.marker(end_thought);
  }
  return b.take();
}

// <start_of_turn>ROLE\nTEXT<end_of_turn>\n per message. There is no system turn: its text, as it
// is, and a blank line stand before the first user text. User and model alternate.
Result<std::vector<TokenId>> render_gemma3(const Tokenizer& tokenizer,
                                           const std::vector<Message>& messages) {
  BEZEL_TRY(const TokenId bos, bos_id(tokenizer));
  BEZEL_TRY(const TokenId open, marker_id(tokenizer, "<start_of_turn>"));
  BEZEL_TRY(const TokenId close, marker_id(tokenizer, "<end_of_turn>"));
  BEZEL_TRY(const auto roles, roles_of(messages));
  const std::size_t first = !roles.empty() && roles[0] == Role::System ? 1 : 0;
  if (first == 1 && roles.size() == 1)
    return Error{Errc::BadInput,
                 "Gemma 3 puts the system text into the first user message; add a user message",
                 ""};
  Builder b(tokenizer);
  b.marker(bos);
  for (std::size_t i = first; i < messages.size(); ++i) {
    const Role expected = (i - first) % 2 == 0 ? Role::User : Role::Model;
    if (roles[i] != expected)
      return Error{
          Errc::BadInput,
          fmt::format("messages[{}] has the role \"{}\"; Gemma 3 expects {} there, because "
                      "user and assistant take turns",
                      i, messages[i].role, expected == Role::User ? "user" : "assistant"),
          ""};
    b.marker(open);
    b.text(expected == Role::User ? "user\n" : "model\n");
    if (first == 1 && i == first) {
      b.text(messages[0].text);
      b.text("\n\n");
    }
    b.text(trim(messages[i].text));
    b.marker(close);
    b.text("\n");
  }
  b.marker(open);
  b.text("model\n");
  return b.take();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
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

Result<std::vector<TokenId>> render_chat(const Tokenizer& tokenizer, PromptStyle style,
                                         const std::vector<Message>& messages) {
  if (style == PromptStyle::Gemma3) return render_gemma3(tokenizer, messages);
  return render_gemma4(tokenizer, style == PromptStyle::Gemma4Large, messages);
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
