// Conversations to prompts, by rule: what Google's chat templates print, without a template engine.
#pragma once
#include "bezel/result.h"
#include "text/chat/conversation.h"
#include "text/chat/pieces.h"

namespace bezel {

enum class PromptStyle {
  Gemma4Large,  // 12B, 26B-A4B, 31B: an empty thought follows the generation prompt
  Gemma4Small,  // E2B, E4B
  Gemma3,
};

namespace chat {

// What the canonical template of this style prints (Gemma 4: "Published: 2026-07-09"), with its
// defects; an Error where the template raises one. With `continue_last` the last message, an
// answer, is left open at its end: its thought, then its text, untrimmed at the end.
Result<Pieces> render(const Conversation& conversation, PromptStyle style);

// The declaration of a tool, `declaration:NAME{...}`, without the markers around it.
Result<Pieces> declare_tool(const Json& tool, const std::string& where);

// A value in the templates' notation: texts between <|"|>, keys bare, or between <|"|> too. False
// when it is nested deeper than 256 levels.
bool write_value(Pieces& to, const Json& value, bool quote_keys, int depth = 0);

// The conversation without what the templates stumble over:
// - texts and calls in one message are split into two messages, in the order the model writes them;
// - call ids are filled in by position; a text as arguments is parsed;
// - a call without a result gets {error: "not executed"}, unless it is the last thing said: an
//   Error;
// - a result that is an object is written as one; a result that answers no call is an Error;
// - a list as system text is one text; <|think|> at its start switches thinking on;
// - "developer" is "system", "model" is "assistant", other unknown roles are an Error;
// - tools are lowered (lower_tool).
// Where none of that occurs, the prompt is the same as before.
Result<Conversation> cured(Conversation conversation, PromptStyle style);

// A tool whose schema says only what a declaration can: references are put in place, alternatives
// become one type that may be nullable, and what would be lost (bounds, defaults, formats,
// patterns, enums that are no texts) is told in the description.
Json lower_tool(const Json& tool);

}  // namespace chat
}  // namespace bezel
