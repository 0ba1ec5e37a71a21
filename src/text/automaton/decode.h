// Characters of a string while it is written, byte by byte: raw UTF-8 and JSON escapes.
#pragma once
#include <cstdint>

#include "text/automaton/dfa.h"

namespace bezel {

// What a byte inside a string does.
struct Decoded {
  enum class Kind { Wrong, Partial, Code, Close } kind = Kind::Wrong;
  std::uint32_t code = 0;     // for Code
  std::uint32_t decoder = 0;  // for Partial: the new state; 0 is between characters
  // For Partial: the code points it can become, two ranges (the second may be empty: lo > hi).
  std::uint32_t lo[2] = {1, 1}, hi[2] = {0, 0};
};
// `json`: a quote ends the string and a backslash escapes; otherwise `close` ends it and all else
// stands for itself.
Decoded decode(std::uint32_t decoder, std::uint8_t byte, bool json, std::uint8_t close);

// 0 to 15, or -1 when the character is no hexadecimal digit.
int hex_digit(std::uint32_t c);
// The value of n hexadecimal digits, each asked of `next`; -1 when one is none.
template <class Next>
std::int64_t hex_value(int n, const Next& next) {
  std::int64_t value = 0;
  for (int i = 0; i < n; ++i) {
    const int digit = hex_digit(next());
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace bezel
