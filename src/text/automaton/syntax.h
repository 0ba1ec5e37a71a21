// What a regular expression says, as a tree.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "bezel/result.h"

namespace bezel::regex {

using Ranges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // lo to hi, both included

struct Node {
  enum class Kind { Empty, Set, Start, End, Sequence, Either, Repeat };
  Kind kind = Kind::Empty;
  Ranges set;
  std::vector<Node> parts;  // Repeat: one
  int min = 0, max = -1;    // of Repeat; max -1: no end
};

// The tree of a pattern, or an Error with the place (byte) at which it is wrong.
Result<Node> parse(std::string_view pattern);
// Sorted, joined, and turned round when `negated`.
Ranges tidy(Ranges ranges, bool negated);

}  // namespace bezel::regex
