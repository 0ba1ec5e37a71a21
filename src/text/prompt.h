// Conversations to ids, for plain chats (system, user and model texts). Control tokens are ids; the
// texts of people can never become one.
#pragma once
#include <string>
#include <vector>

#include "bezel/result.h"
#include "text/chat/render.h"
#include "text/tokenizer.h"

namespace bezel {

struct Message {
  std::string role;  // "system" (or "developer"), "user", "assistant" (or "model")
  std::string text;
};

// Which style fits: by the markers the vocabulary has and by the template in the file. `warning` is
// set when the file has no template (the family's is used) or one we do not know.
struct StyleChoice {
  PromptStyle style;
  std::string warning;
};
StyleChoice choose_style(const Tokenizer& tokenizer, const std::string& chat_template,
                         bool has_per_layer_embeddings);

// bos + turns + generation prompt. An Error for an unknown role or a vocabulary without the
// markers.
Result<std::vector<TokenId>> render_chat(const Tokenizer& tokenizer, PromptStyle style,
                                         const std::vector<Message>& messages);
// Ids that end an answer: eos, end of turn, and <|tool_response>, as far as the vocabulary has
// them, and what the file states.
std::vector<TokenId> end_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& stated);

}  // namespace bezel
