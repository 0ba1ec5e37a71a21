// What toolcheck asks: tools, questions, and what a model should do.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "bezel/engine.h"

namespace bezel::app {

struct ExpectedCall {
  std::string name;
  Json arguments;  // {"any of": [...]} in place of a value: one of them
  std::string result;
};

// The model's turn: calls in any order, or, without calls, an answer that holds one of `says`
// (none: any answer will do).
struct Step {
  std::vector<ExpectedCall> calls;
  std::vector<std::string> says;
};

struct ToolCase {
  std::string name, question;
  Json tools;  // as OpenAI's chat API has them
  std::vector<Step> steps;

  // The conversation before step `n`, with the steps before it done as they should be.
  std::vector<Turn> turns_before(std::size_t n) const;
};

const std::vector<ToolCase>& tool_cases();

}  // namespace bezel::app
