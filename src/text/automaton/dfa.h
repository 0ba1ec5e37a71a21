// Finite automata over code points: what patterns, formats, sets of texts and lengths become.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "bezel/result.h"

namespace bezel {

// An edge for every code point from lo to hi.
struct CodeEdge {
  std::uint32_t lo, hi, to;
};
inline constexpr std::uint32_t kLastCode = 0x10FFFF;

// Deterministic; an absent edge means that the text can no longer be accepted. State 0 is the
// start. Edges of a state are in ascending order and do not overlap.
struct Dfa {
  struct State {
    std::vector<CodeEdge> edges;
    std::uint32_t accept = 0;  // 0: not accepted; else marks, see `combine`
  };
  std::vector<State> states;

  static constexpr std::uint32_t kDead = 0xFFFFFFFFU;
  std::uint32_t step(std::uint32_t state, std::uint32_t code) const;  // kDead: no edge
  bool accepts(std::string_view utf8) const;                          // well-formed UTF-8
  std::uint32_t marks(std::string_view utf8) const;                   // of the state it ends in
};

inline constexpr std::size_t kMaxDfaStates = 40000;

Dfa any_text();
// Texts of min to max code points; max < 0: no end. max is at most kMaxDfaStates - 2.
Dfa text_of_length(std::int64_t min, std::int64_t max);
Dfa one_of(const std::vector<std::string>& texts);  // each well-formed UTF-8

// All automata side by side. The marks of a state are what `decide` makes of the bits of those
// that accept (bit i: automaton i; at most 31). An Error when there are too many states.
Result<Dfa> combine(const std::vector<const Dfa*>& parts,
                    const std::function<std::uint32_t(std::uint32_t)>& decide);

// Takes away what leads nowhere. False when nothing at all is accepted (no states are left).
bool trim(Dfa& dfa);

// For a trimmed automaton, by state: how many texts are accepted from here; kMany: infinitely many,
// or more than anybody counts.
inline constexpr std::uint64_t kMany = std::uint64_t{1} << 40U;
std::vector<std::uint64_t> count_texts(const Dfa& dfa);
// For a trimmed automaton, by state: whether every text without control characters can follow, one
// character after the other.
std::vector<bool> free_states(const Dfa& dfa);
// The same for texts of ASCII letters and digits.
std::vector<bool> word_states(const Dfa& dfa);
// All accepted texts, when they are at most `limit`.
std::vector<std::string> list_texts(const Dfa& dfa, std::size_t limit);

void append_utf8(std::string& text, std::uint32_t code);
std::vector<std::uint32_t> code_points(std::string_view utf8);  // well-formed UTF-8

}  // namespace bezel
