#include "text/schema/number.h"

#include <algorithm>

namespace bezel::schema {

namespace {

constexpr int kMaxExponent = 400;
constexpr int kSpareDigits = 40;  // with more digits to come than this, every value can be reached

Decimal magnitude(Natural digits, int exponent) {
  return make_decimal(false, std::move(digits), exponent);
}

Natural one() {
  return Natural(1);
}

// The rule for the sizes of numbers of one sign.
NumberRule of_sign(const NumberRule& rule, bool negative) {
  NumberRule r = rule;
  if (negative) {
    r.lo.reset();
    r.hi.reset();
    if (rule.hi) r.lo = rule.hi->negated(), r.lo_open = rule.hi_open;
    if (rule.lo) r.hi = rule.lo->negated(), r.hi_open = rule.lo_open;
    for (Decimal& d : r.allowed) d = d.negated();
    for (Decimal& d : r.excluded) d = d.negated();
  }
  r.at_least(Decimal{}, false);
  static const Decimal largest = make_decimal(false, Natural(17976931348623157U), 292);
  r.at_most(largest, false);  // of what a double can hold
  return r;
}

// Whether some value fits that is at least `from` and, if given, below `end`. Sizes only. Of a
// step, as many multiples are tried as can be excluded one by one.
bool any_between(const NumberRule& rule, const Decimal& from, const Decimal* end) {
  NumberRule r = rule;
  r.at_least(from, false);
  if (end != nullptr) r.at_most(*end, true);
  if (r.listed)
    return std::any_of(r.allowed.begin(), r.allowed.end(),
                       [&](const Decimal& d) { return fits(r, d); });
  const int order = r.hi ? r.lo->compare(*r.hi) : -1;
  if (order > 0 || (order == 0 && (r.lo_open || r.hi_open))) return false;
  if (order == 0) return fits(r, *r.lo);
  if (!r.step) return true;
  const std::size_t tries =
      r.excluded.size() + (std::size_t{2} << std::min<std::size_t>(r.not_steps.size(), 6));
  Natural k = ratio(*r.lo, *r.step).quotient;
  for (std::size_t i = 0; i < tries; ++i, k = k.plus(one())) {
    const Decimal value = magnitude(k.times(r.step->digits), r.step->exponent);
    if (r.hi && *r.hi < value) return false;
    if (fits(r, value)) return true;
  }
  return false;
}

// A number's parts.
struct Parts {
  bool negative = false;
  Natural digits;  // of whole and fraction together
  int places = 0;  // digits of the fraction
  bool exp = false, exp_negative = false, exp_signed = false;
  int exp_digits = 0, exp_value = 0;
};

Parts parts_of(std::string_view text) {
  Parts p;
  std::string digits;
  bool point = false;
  for (const char c : text) {
    if (p.exp) {
      if (c == '-') p.exp_negative = true;
      if (c == '-' || c == '+') p.exp_signed = true;
      if (c >= '0' && c <= '9') p.exp_value = p.exp_value * 10 + (c - '0'), ++p.exp_digits;
    } else if (c == '-') {
      p.negative = true;
    } else if (c == '.') {
      point = true;
    } else if (c == 'e' || c == 'E') {
      p.exp = true;
    } else {
      digits.push_back(c);
      p.places += point ? 1 : 0;
    }
  }
  p.digits = Natural::from_digits(digits);
  return p;
}

// Whether a multiple fits that has at most `left` digits more than the one in `digits` * 10^e.
bool any_with_digits(const NumberRule& r, const Natural& digits, int e, int left) {
  const Decimal from = magnitude(digits, e), end = magnitude(digits.plus(one()), e);
  if (left > kSpareDigits || r.listed) return any_between(r, from, &end);
  NumberRule finest = r;
  const Decimal unit = magnitude(one(), e - left);
  finest.step = r.step ? common_multiple(*r.step, unit) : unit;
  return any_between(finest, from, &end);
}

// Digits stand there, and `left` more digits or an exponent may follow.
bool can_fit_digits(const NumberRule& r, const Natural& digits, int left) {
  if (digits.zero()) return left > kSpareDigits ? any_between(r, {}, nullptr) : fits(r, {});
  const auto order = [](const Decimal& d) {  // digits before the point
    return static_cast<int>(d.digits.digits().size()) + d.exponent;
  };
  const int size = static_cast<int>(digits.digits().size());
  int e = 0;
  if (r.hi->negative || r.hi->zero()) return false;
  e = order(*r.hi) - size + 1;
  for (const Decimal& d : r.allowed)
    if (r.listed) e = std::max(e, order(d) - size + 1);
  for (int tries = 0; tries < 2 * kMaxExponent && e >= -kMaxExponent; ++tries, --e) {
    const Decimal end = magnitude(digits.plus(one()), e);
    if (r.lo && end < *r.lo) return false;
    if (any_with_digits(r, digits, e, left)) return true;
    if (r.step && end < *r.step) return false;
    if (r.listed && std::all_of(r.allowed.begin(), r.allowed.end(),
                                [&](const Decimal& d) { return d.zero() || end < d; }))
      return false;
  }
  return false;
}

// The exponent is being written: what it can become is tried, the largest first.
bool can_fit_exponent(const NumberRule& r, const Parts& p) {
  if (p.digits.zero()) return fits(r, {});
  const auto order = [](const Decimal& d) {  // digits before the point
    return static_cast<int>(d.digits.digits().size()) + d.exponent;
  };
  const int size = static_cast<int>(p.digits.digits().size());
  const int most = order(*r.hi);
  const int least = r.lo->zero() ? -3 * kMaxExponent : order(*r.lo);
  const auto try_exponent = [&](int e) {
    const int exponent = (p.exp_negative ? -e : e) - p.places;
    if (e > kMaxExponent || size + exponent > most || size + exponent < least) return false;
    return fits(r, magnitude(p.digits, exponent));
  };
  const auto range = [&](int from, int to) {
    for (int e = std::min(to, kMaxExponent); e >= from; --e)
      if (try_exponent(e)) return true;
    return false;
  };
  if (p.exp_digits == 0) {
    if (range(0, kMaxExponent)) return true;
    if (p.exp_signed) return false;
    Parts minus = p;
    minus.exp_negative = minus.exp_signed = true;
    return can_fit_exponent(r, minus);
  }
  if (try_exponent(p.exp_value)) return true;
  if (p.exp_digits == 1 && range(p.exp_value * 10, p.exp_value * 10 + 9)) return true;
  const int hundred = p.exp_digits == 1 ? 100 : 10;
  return p.exp_digits < 3 && range(p.exp_value * hundred, p.exp_value * hundred + hundred - 1);
}

}  // namespace

std::optional<Phase> next_phase(Phase p, unsigned char c) {
  const bool digit = c >= '0' && c <= '9';
  switch (p) {
    case Phase::Start:
      if (c == '-') return Phase::Minus;
      [[fallthrough]];
    case Phase::Minus:
      if (digit) return c == '0' ? Phase::Zero : Phase::Whole;
      break;
    case Phase::Whole:
      if (digit) return Phase::Whole;
      [[fallthrough]];
    case Phase::Zero:
      if (c == '.') return Phase::Point;
      if (c == 'e' || c == 'E') return Phase::Exp;
      break;
    case Phase::Point:
      if (digit) return Phase::Fraction;
      break;
    case Phase::Fraction:
      if (digit) return Phase::Fraction;
      if (c == 'e' || c == 'E') return Phase::Exp;
      break;
    case Phase::Exp:
      if (c == '+' || c == '-') return Phase::ExpSign;
      [[fallthrough]];
    case Phase::ExpSign:
    case Phase::ExpDigits:
      if (digit) return Phase::ExpDigits;
      break;
  }
  return std::nullopt;
}

bool fits(const NumberRule& r, const Decimal& v) {
  const auto has = [&](const std::vector<Decimal>& list) {
    return std::find(list.begin(), list.end(), v) != list.end();
  };
  if (r.lo) {
    const int c = v.compare(*r.lo);
    if (c < 0 || (c == 0 && r.lo_open)) return false;
  }
  if (r.hi) {
    const int c = v.compare(*r.hi);
    if (c > 0 || (c == 0 && r.hi_open)) return false;
  }
  if (r.step && !v.multiple_of(*r.step)) return false;
  if (r.listed && !has(r.allowed)) return false;
  return !has(r.excluded) && std::none_of(r.not_steps.begin(), r.not_steps.end(),
                                          [&](const Decimal& s) { return v.multiple_of(s); });
}

bool any_number(const NumberRule& rule) {
  return rule.free() || any_between(of_sign(rule, false), {}, nullptr) ||
         any_between(of_sign(rule, true), {}, nullptr);
}

bool can_fit(const NumberRule& rule, std::string_view text) {
  if (text.empty()) return any_number(rule);
  const Parts p = parts_of(text);
  if (p.exp_digits > 3) return false;
  const int left = static_cast<int>(kMaxNumberDigits) - static_cast<int>(text.size());
  if (!p.exp && left < 0) return false;
  if (!p.exp && left > kSpareDigits && !rule.listed && (p.negative ? !rule.lo : !rule.hi))
    return true;  // far enough out there is always a value
  const NumberRule r = of_sign(rule, p.negative);
  if (text == "-") return any_between(r, {}, nullptr);
  return p.exp ? can_fit_exponent(r, p) : can_fit_digits(r, p.digits, left);
}

std::size_t count_numbers(const NumberRule& rule, std::size_t limit) {
  if (rule.listed) {
    std::vector<Decimal> found;
    for (const Decimal& d : rule.allowed)
      if (fits(rule, d) && std::find(found.begin(), found.end(), d) == found.end())
        found.push_back(d);
    return std::min(limit, found.size());
  }
  if (!any_number(rule)) return 0;
  if (rule.lo && rule.hi && *rule.lo == *rule.hi) return 1;
  if (!rule.step || !rule.lo || !rule.hi) return limit;
  std::size_t found = 0;
  for (const bool negative : {false, true}) {
    const NumberRule r = of_sign(rule, negative);
    Natural k = ratio(*r.lo, *rule.step).quotient;
    for (std::size_t tries = 0; found < limit && tries < 4 * limit + 64; ++tries) {
      const Decimal v = magnitude(k.times(rule.step->digits), rule.step->exponent);
      if (*r.hi < v) break;
      found += fits(r, v) && !(negative && v.zero()) ? 1 : 0;
      k = k.plus(one());
    }
  }
  return found;
}

}  // namespace bezel::schema
