// Regular expressions in ECMAScript's syntax (with the u flag) as automata over code points.
#pragma once
#include <string_view>

#include "bezel/result.h"
#include "text/automaton/dfa.h"

namespace bezel {

inline constexpr std::size_t kMaxPatternBytes = 64 << 10;

// The texts in which `pattern` is found somewhere (whole = false), or that it matches from start to
// end (whole = true). Trimmed; no states when there is no such text. An Error when the pattern is
// wrong, is not regular (backreferences, lookaround, word boundaries), or needs too many states.
Result<Dfa> dfa_of_regex(std::string_view pattern, bool whole);

}  // namespace bezel
