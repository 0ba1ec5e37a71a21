// How toolcheck asks: with the model's own syntax of calls or, where its template has none, with
// calls as JSON in the text.
#pragma once
#include <string>
#include <vector>

#include "bezel/engine.h"
#include "judge.h"

namespace bezel::app {

struct Ask {
  std::vector<Turn> turns;
  Json tools;
  bool required = false;  // a call must come
  bool think = false;
  int thought_budget = -1;
};

// Whether the model's template has a place for tools.
bool native_calls(const Engine& engine, const Json& tools);

// Whether two answers think, say and call the same; ids of calls do not count.
bool same_answer(const Turn& a, const Turn& b);

// `same`: the pieces as they came, joined, are the answer.
struct Heard : Answered {
  bool same = true;
};
Result<Heard> ask(Engine& engine, const Ask& question, bool native, const Request& rules);

}  // namespace bezel::app
