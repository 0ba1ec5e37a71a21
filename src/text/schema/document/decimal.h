// Exact decimal numbers, as JSON writes them: no rounding anywhere.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bezel::schema {

// A whole number >= 0 of any size.
class Natural {
 public:
  Natural() = default;
  explicit Natural(std::uint64_t value);
  static Natural from_digits(std::string_view digits);  // '0' to '9' only
  static Natural power_of_ten(int n);                   // n >= 0

  bool zero() const { return words_.empty(); }
  int compare(const Natural& other) const;  // below, at or above 0
  bool operator==(const Natural& o) const { return words_ == o.words_; }
  bool operator<(const Natural& o) const { return compare(o) < 0; }
  Natural plus(const Natural& other) const;
  Natural minus(const Natural& other) const;  // other <= *this
  Natural times(const Natural& other) const;
  struct Division;
  Division divided_by(const Natural& divisor) const;  // divisor > 0
  std::string digits() const;

 private:
  void scale(std::uint32_t factor, std::uint32_t add);
  std::uint32_t divide_small(std::uint32_t divisor);
  void trim();
  std::vector<std::uint32_t> words_;  // base 2^32, lowest first, no zero at the end
};
struct Natural::Division {
  Natural quotient, rest;
};
Natural gcd(Natural a, Natural b);

// sign * digits * 10^exponent; digits end in no zero, and zero has exponent 0 and no sign.
struct Decimal {
  bool negative = false;
  Natural digits;
  int exponent = 0;

  bool zero() const { return digits.zero(); }
  int compare(const Decimal& other) const;
  bool operator==(const Decimal& o) const { return compare(o) == 0; }
  bool operator<(const Decimal& o) const { return compare(o) < 0; }
  Decimal negated() const;
  // Whether this is a whole multiple of `step` > 0.
  bool multiple_of(const Decimal& step) const;
  std::string text() const;  // one text for one value: "-15e-1"
};
Decimal make_decimal(bool negative, Natural digits, int exponent);
// A JSON number; nothing when it is none, or its exponent is past +-10,000.
std::optional<Decimal> parse_decimal(std::string_view text);
// The smallest number that is a whole multiple of both, a and b > 0.
Decimal common_multiple(const Decimal& a, const Decimal& b);
// floor(a / b) for a >= 0, b > 0, and whether nothing is left over.
struct Ratio {
  Natural quotient;
  bool exact;
};
Ratio ratio(const Decimal& a, const Decimal& b);

}  // namespace bezel::schema
