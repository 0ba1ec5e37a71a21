#include "engine/tools/calculator.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iterator>
#include <vector>

namespace bezel {

namespace {

constexpr int kMaxDepth = 100;

struct Function {
  const char* name;
  double (*one)(double);
};
constexpr Function kFunctions[] = {
    {"sqrt", [](double x) { return std::sqrt(x); }},
    {"abs", [](double x) { return std::fabs(x); }},
    {"round", [](double x) { return std::round(x); }},
    {"floor", [](double x) { return std::floor(x); }},
    {"ceil", [](double x) { return std::ceil(x); }},
    {"exp", [](double x) { return std::exp(x); }},
    {"ln", [](double x) { return std::log(x); }},
    {"log", [](double x) { return std::log10(x); }},
    {"sin", [](double x) { return std::sin(x); }},
    {"cos", [](double x) { return std::cos(x); }},
    {"tan", [](double x) { return std::tan(x); }},
};

// Recursive descent; an error is kept and ends the reading.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<double> read() {
    const double value = sum();
    skip_space();
    if (at_ < text_.size()) fail("unexpected");
    if (!error_.empty()) return Error{Errc::BadInput, error_, ""};
    return value;
  }

 private:
  double sum() {
    if (++depth_ > kMaxDepth) {
      fail("too many brackets");
      return 0;
    }
    double value = product();
    while (error_.empty()) {
      if (take('+')) {
        value += product();
      } else if (take('-')) {
        value -= product();
      } else {
        break;
      }
    }
    --depth_;
    return value;
  }
  double product() {
    double value = sign();
    while (error_.empty()) {
      if (take('*')) {
        value *= sign();
      } else if (take('/')) {
        value = over(value, sign());
      } else if (take('%')) {
        const double by = sign();
        value = by == 0 ? over(value, by) : std::fmod(value, by);
      } else {
        break;
      }
    }
    return value;
  }
  double over(double value, double by) {
    if (by == 0) fail("division by zero");
    return by == 0 ? 0 : value / by;
  }
  double sign() {
    bool minus = false;
    while (take('-')) minus = !minus;
    const double value = power();
    return minus ? -value : value;
  }
  double power() {
    const double base = value();
    if (!error_.empty() || !take('^')) return base;
    if (++depth_ > kMaxDepth) fail("too many powers");
    const double exponent = error_.empty() ? sign() : 0;
    --depth_;
    return std::pow(base, exponent);
  }
  double value() {
    if (take('(')) {
      const double inner = sum();
      if (error_.empty() && !take(')')) fail("expected )");
      return inner;
    }
    skip_space();
    double number = 0;
    const auto end = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (end.ec == std::errc() && text_[at_] != '-' && is_digit(text_[at_])) {
      at_ = static_cast<std::size_t>(end.ptr - text_.data());
      return number;
    }
    return named();
  }
  double named() {
    std::string name;
    while (at_ < text_.size() && text_[at_] >= 'a' && text_[at_] <= 'z') name += text_[at_++];
    if (name == "pi") return 3.14159265358979323846;
    if (name == "e") return 2.71828182845904523536;
    if (name == "min" || name == "max") return extreme(name == "min");
    for (const Function& f : kFunctions) {
      if (name != f.name) continue;
      if (!take('(')) fail(fmt::format("expected ( after {}", name));
      const double x = error_.empty() ? sum() : 0;
      if (error_.empty() && !take(')')) fail("expected )");
      return f.one(x);
    }
    if (error_.empty()) fail(name.empty() ? "expected a number" : "an unknown name stands");
    return 0;
  }
  double extreme(bool least) {
    if (!take('(')) fail("expected ( after min or max");
    double best = error_.empty() ? sum() : 0;
    while (error_.empty() && take(',')) {
      const double x = sum();
      best = least ? std::fmin(best, x) : std::fmax(best, x);
    }
    if (error_.empty() && !take(')')) fail("expected )");
    return best;
  }

  static bool is_digit(char c) { return (c >= '0' && c <= '9') || c == '.'; }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n'))
      ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void fail(const std::string& what) {
    if (error_.empty()) error_ = fmt::format("{} at character {}", what, at_ + 1);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string error_;
};

}  // namespace

Result<std::string> calculate(std::string_view expression) {
  BEZEL_TRY(const double value, Reader(expression).read());
  if (!std::isfinite(value)) return Error{Errc::BadInput, "the result is no finite number", ""};
  return fmt::format("{:.15g}", value);
}

}  // namespace bezel
