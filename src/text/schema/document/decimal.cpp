#include "text/schema/document/decimal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace bezel::schema {

Natural::Natural(std::uint64_t value) {
  for (; value > 0; value >>= 32U) words_.push_back(static_cast<std::uint32_t>(value));
}

void Natural::trim() {
  while (!words_.empty() && words_.back() == 0) words_.pop_back();
}

void Natural::scale(std::uint32_t factor, std::uint32_t add) {
  std::uint64_t carry = add;
  for (std::uint32_t& w : words_) {
    carry += std::uint64_t{w} * factor;
    w = static_cast<std::uint32_t>(carry);
    carry >>= 32U;
  }
  if (carry > 0) words_.push_back(static_cast<std::uint32_t>(carry));
}

std::uint32_t Natural::divide_small(std::uint32_t divisor) {
  std::uint64_t rest = 0;
  for (std::size_t i = words_.size(); i-- > 0;) {
    rest = rest << 32U | words_[i];
    words_[i] = static_cast<std::uint32_t>(rest / divisor);
    rest %= divisor;
  }
  trim();
  return static_cast<std::uint32_t>(rest);
}

Natural Natural::from_digits(std::string_view digits) {
  Natural n;
  for (const char c : digits) n.scale(10, static_cast<std::uint32_t>(c - '0'));
  n.trim();
  return n;
}

Natural Natural::power_of_ten(int n) {
  Natural p(1);
  for (; n >= 9; n -= 9) p.scale(1000000000U, 0);
  for (; n > 0; --n) p.scale(10, 0);
  return p;
}

int Natural::compare(const Natural& o) const {
  if (words_.size() != o.words_.size()) return words_.size() < o.words_.size() ? -1 : 1;
  for (std::size_t i = words_.size(); i-- > 0;)
    if (words_[i] != o.words_[i]) return words_[i] < o.words_[i] ? -1 : 1;
  return 0;
}

Natural Natural::plus(const Natural& o) const {
  Natural sum = *this;
  sum.words_.resize(std::max(words_.size(), o.words_.size()) + 1);
  std::uint64_t carry = 0;
  for (std::size_t i = 0; i < sum.words_.size(); ++i) {
    carry += std::uint64_t{sum.words_[i]} + (i < o.words_.size() ? o.words_[i] : 0U);
    sum.words_[i] = static_cast<std::uint32_t>(carry);
    carry >>= 32U;
  }
  sum.trim();
  return sum;
}

Natural Natural::minus(const Natural& o) const {
  Natural left = *this;
  std::int64_t borrow = 0;
  for (std::size_t i = 0; i < left.words_.size(); ++i) {
    std::int64_t d =
        std::int64_t{left.words_[i]} - (i < o.words_.size() ? o.words_[i] : 0) + borrow;
    borrow = d < 0 ? -1 : 0;
    if (d < 0) d += std::int64_t{1} << 32U;
    left.words_[i] = static_cast<std::uint32_t>(d);
  }
  left.trim();
  return left;
}

Natural Natural::times(const Natural& o) const {
  Natural product;
  product.words_.resize(words_.size() + o.words_.size());
  for (std::size_t i = 0; i < words_.size(); ++i) {
    std::uint64_t carry = 0;
    for (std::size_t j = 0; j < o.words_.size(); ++j) {
      carry += std::uint64_t{words_[i]} * o.words_[j] + product.words_[i + j];
      product.words_[i + j] = static_cast<std::uint32_t>(carry);
      carry >>= 32U;
    }
    product.words_[i + o.words_.size()] = static_cast<std::uint32_t>(carry);
  }
  product.trim();
  return product;
}

// Long division, one word of the quotient at a time; each is found from the leading words and
// corrected, as in Knuth's algorithm D.
Natural::Division Natural::divided_by(const Natural& divisor) const {
  Division d;
  if (compare(divisor) < 0) return {{}, *this};
  if (divisor.words_.size() == 1) {
    d.quotient = *this;
    d.rest = Natural(d.quotient.divide_small(divisor.words_[0]));
    return d;
  }
  unsigned shift = 0;  // so that the divisor's leading bit is set
  while (((divisor.words_.back() << shift) & 0x80000000U) == 0) ++shift;
  Natural u = *this, v = divisor;
  u.scale(1U << shift, 0);
  v.scale(1U << shift, 0);
  const std::size_t n = v.words_.size();
  u.words_.resize(words_.size() + 1);
  d.quotient.words_.resize(u.words_.size() - n);
  for (std::size_t j = u.words_.size() - n; j-- > 0;) {
    const std::uint64_t top = std::uint64_t{u.words_[j + n]} << 32U | u.words_[j + n - 1];
    std::uint64_t q = top / v.words_[n - 1], r = top % v.words_[n - 1];
    while (q > 0xFFFFFFFFU || q * v.words_[n - 2] > (r << 32U | u.words_[j + n - 2])) {
      --q;
      r += v.words_[n - 1];
      if (r > 0xFFFFFFFFU) break;
    }
    std::uint64_t carry = 0;
    std::int64_t borrow = 0;
    for (std::size_t i = 0; i <= n; ++i) {
      carry += i < n ? q * v.words_[i] : 0;
      const std::int64_t left =
          std::int64_t{u.words_[i + j]} - static_cast<std::int64_t>(carry & 0xFFFFFFFFU) + borrow;
      u.words_[i + j] = static_cast<std::uint32_t>(left);
      borrow = left < 0 ? -1 : 0;
      carry >>= 32U;
    }
    if (borrow < 0) {
      --q;
      std::uint64_t add = 0;
      for (std::size_t i = 0; i <= n; ++i) {
        add += std::uint64_t{u.words_[i + j]} + (i < n ? v.words_[i] : 0U);
        u.words_[i + j] = static_cast<std::uint32_t>(add);
        add >>= 32U;
      }
    }
    d.quotient.words_[j] = static_cast<std::uint32_t>(q);
  }
  d.quotient.trim();
  u.trim();
  for (std::size_t i = 0; i < u.words_.size(); ++i)
    u.words_[i] = u.words_[i] >> shift |
                  (shift > 0 && i + 1 < u.words_.size() ? u.words_[i + 1] << (32U - shift) : 0U);
  u.trim();
  d.rest = u;
  return d;
}

std::string Natural::digits() const {
  if (zero()) return "0";
  Natural n = *this;
  std::string text;
  while (!n.zero()) text.push_back(static_cast<char>('0' + n.divide_small(10)));
  std::reverse(text.begin(), text.end());
  return text;
}

Natural gcd(Natural a, Natural b) {
  while (!b.zero()) {
    Natural rest = a.divided_by(b).rest;
    a = std::move(b);
    b = std::move(rest);
  }
  return a;
}

namespace {

// Both as whole numbers of the same power of ten.
void align(const Decimal& a, const Decimal& b, Natural& x, Natural& y) {
  const int e = std::min(a.exponent, b.exponent);
  x = a.digits.times(Natural::power_of_ten(a.exponent - e));
  y = b.digits.times(Natural::power_of_ten(b.exponent - e));
}

}  // namespace

Decimal make_decimal(bool negative, Natural digits, int exponent) {
  Decimal d;
  if (digits.zero()) return d;
  const Natural ten(10);
  for (Natural::Division by = digits.divided_by(ten); by.rest.zero(); by = digits.divided_by(ten)) {
    digits = by.quotient;
    ++exponent;
  }
  d.negative = negative;
  d.digits = std::move(digits);
  d.exponent = exponent;
  return d;
}

int Decimal::compare(const Decimal& o) const {
  if (zero() || o.zero() || negative != o.negative) {
    const int a = zero() ? 0 : negative ? -1 : 1, b = o.zero() ? 0 : o.negative ? -1 : 1;
    return a - b;
  }
  Natural x, y;
  align(*this, o, x, y);
  return negative ? y.compare(x) : x.compare(y);
}

Decimal Decimal::negated() const {
  Decimal d = *this;
  d.negative = !d.zero() && !negative;
  return d;
}

bool Decimal::multiple_of(const Decimal& step) const {
  Decimal size = *this;
  size.negative = false;
  return ratio(size, step).exact;
}

std::string Decimal::text() const {
  return fmt::format("{}{}e{}", negative ? "-" : "", digits.digits(), exponent);
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  std::size_t i = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) ++i;
  std::string digits;
  int exponent = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) digits.push_back(text[i]);
  if (i < text.size() && text[i] == '.')
    for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, --exponent)
      digits.push_back(text[i]);
  if (digits.empty()) return std::nullopt;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && text[i] == '+') ++i;
    int written = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), written);
    if (error != std::errc() || written > 10000 || written < -10000) return std::nullopt;
    exponent += written;
    i = static_cast<std::size_t>(end - text.data());
  }
  if (i != text.size()) return std::nullopt;
  return make_decimal(negative, Natural::from_digits(digits), exponent);
}

Decimal common_multiple(const Decimal& a, const Decimal& b) {
  Natural x, y;
  align(a, b, x, y);
  return make_decimal(false, x.divided_by(gcd(x, y)).quotient.times(y),
                      std::min(a.exponent, b.exponent));
}

Ratio ratio(const Decimal& a, const Decimal& b) {
  Natural x, y;
  align(a, b, x, y);
  const Natural::Division d = x.divided_by(y);
  return {d.quotient, d.rest.zero()};
}

}  // namespace bezel::schema
