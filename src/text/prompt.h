// Conversations to ids. Control tokens are ids; the texts of people and tools can never become one.
#pragma once
#include <string>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"
#include "text/chat/render.h"
#include "text/tokenizer.h"

namespace bezel {

// Which style fits: by the markers the vocabulary has and by the template in the file. `warning` is
// set when the file has no template (the family's is used) or one we do not know.
struct StyleChoice {
  PromptStyle style;
  std::string warning;
};
StyleChoice choose_style(const Tokenizer& tokenizer, const std::string& chat_template,
                         bool has_per_layer_embeddings);

struct Prompt {
  std::vector<TokenId> ids;
  bool in_thought = false;  // the answer begins inside a thought
};
// bos + turns + generation prompt, cured (text/chat/render.h). An Error for an unknown role, tools
// or arguments that are no JSON, or a vocabulary without the markers.
Result<Prompt> render_chat(const Tokenizer& tokenizer, PromptStyle style,
                           const std::vector<Turn>& turns, const Talk& talk);
// Ids that end an answer: eos, end of turn, and <|tool_response>, as far as the vocabulary has
// them, and what the file states.
std::vector<TokenId> end_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& stated);

}  // namespace bezel
