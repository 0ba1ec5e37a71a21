// Events of a whole answer, pieces joined.
#pragma once
#include <string>
#include <vector>

#include "text/output/parser.h"

namespace bezel::output {

struct Item {
  enum class Kind { Thought, Text, Call };
  Kind kind = Kind::Text;
  std::string text;       // or the call's name
  std::string arguments;  // of a call: one JSON object
  int index = 0;

  bool operator==(const Item&) const = default;
};
// Adds events to `items`, so that a stream may be added part by part.
void join(std::vector<Item>& items, const std::vector<Event>& events);

}  // namespace bezel::output
