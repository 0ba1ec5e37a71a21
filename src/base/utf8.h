// Well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing past
// U+10FFFF.
#pragma once
#include <cstddef>
#include <string_view>

namespace bezel {

bool valid_utf8(std::string_view s);
// Bytes of the well-formed sequence that starts at s[i] (1 to 4), or 0 when none does; i <
// s.size().
std::size_t utf8_length_at(std::string_view s, std::size_t i);

}  // namespace bezel
