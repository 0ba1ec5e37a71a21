// A whole answer in Gemma's syntax: a thought, then what the constraint asks, or calls of tools.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "text/constrain/constraint.h"

namespace bezel::constrain {

struct AnswerRules {
  enum class Thought {
    No,       // none may open
    MayOpen,  // the answer may begin with one
    Open,     // the prompt has opened one
  } thought = Thought::No;
  enum class Calls {
    None,      // no tool is called
    Auto,      // content, or calls, or text and then calls
    Required,  // at least one call, and no content
  } calls = Calls::None;
  LanguagePtr content;  // of the answer without calls; null: any text
  Json tools;           // as in requests: [{"type": "function", "function": {...}}, ...]
  std::vector<std::string> allowed;  // names of tools that may be called; empty: all
  bool parallel = true;              // several calls in one answer
};

// A vocabulary without the markers that are needed makes masks that leave them out. An Error: a
// tool's parameters cannot be enforced (`where`: its name and a JSON pointer), a name is unknown.
Result<LanguagePtr> answer(const AnswerRules& rules);

}  // namespace bezel::constrain
