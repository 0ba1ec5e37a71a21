// Numbers while they are written: whether what stands there can still become one that fits.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/schema/rules.h"

namespace bezel::schema {

// Of numbers that must fit something; all others may be of any length.
inline constexpr std::size_t kMaxNumberDigits = 120;  // bytes before the exponent

// Where a number stands: after '-', the leading zero, digits, '.', digits of the fraction, 'e', the
// exponent's sign, digits of the exponent. Start: nothing is written.
enum class Phase : std::uint8_t {
  Start,
  Minus,
  Zero,
  Whole,
  Point,
  Fraction,
  Exp,
  ExpSign,
  ExpDigits
};
// Where it stands after one more byte; nothing when no number goes on so.
std::optional<Phase> next_phase(Phase phase, unsigned char byte);
inline bool complete(Phase p) {
  return p == Phase::Zero || p == Phase::Whole || p == Phase::Fraction || p == Phase::ExpDigits;
}

bool fits(const NumberRule& rule, const Decimal& value);
// `text` is the beginning of a number, or empty.
bool can_fit(const NumberRule& rule, std::string_view text);
// How many numbers fit, counted up to `limit`.
std::size_t count_numbers(const NumberRule& rule, std::size_t limit);

}  // namespace bezel::schema
