#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/utf8.h"
#include "text/automaton/decode.h"
#include "text/automaton/dfa.h"
#include "text/grammar/grammar.h"

namespace bezel::grammar {

namespace {

constexpr std::size_t kMaxSymbols = 100000;
constexpr int kMaxDepth = 100, kMaxTimes = 10000;

using Sequence = std::vector<Symbol>;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(code_points(text)) {}

  Result<Grammar> run() {
    skip(true);
    while (!done()) {
      BEZEL_DO(rule());
      skip(true);
    }
    for (std::size_t i = 0; i < g_.rules.size(); ++i)
      if (!defined_[i])
        return Error{Errc::BadInput,
                     fmt::format("the rule \"{}\" is used but not defined", g_.names[i]),
                     fmt::format("line {}", used_in_[i])};
    const auto root = numbers_.find("root");
    if (root == numbers_.end())
      return Error{Errc::BadInput, "the grammar has no rule \"root\"", ""};
    g_.root = root->second;
    return std::move(g_);
  }

 private:
  bool done() const { return at_ >= text_.size(); }
  std::uint32_t peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : kLastCode + 1;
  }
  std::uint32_t next() {
    const std::uint32_t c = peek();
    if (c == '\n') ++line_;
    ++at_;
    return c;
  }
  bool take(std::uint32_t c) {
    if (peek() != c) return false;
    next();
    return true;
  }
  // White space and comments; `lines`: line ends too.
  void skip(bool lines) {
    while (!done()) {
      if (peek() == '#') {
        while (!done() && peek() != '\n' && peek() != '\r') next();
      } else if (peek() == ' ' || peek() == '\t' || (lines && (peek() == '\n' || peek() == '\r'))) {
        next();
      } else {
        break;
      }
    }
  }
  Error fail(std::string what, Errc code = Errc::BadInput) const {
    return {code, std::move(what), fmt::format("line {}", line_)};
  }
  static bool name_char(std::uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }
  std::string name() {
    std::string s;
    while (name_char(peek())) s.push_back(static_cast<char>(next()));
    return s;
  }

  std::uint32_t fresh_rule(std::string named) {
    g_.rules.emplace_back();
    g_.names.push_back(std::move(named));
    defined_.push_back(g_.names.back().empty());
    used_in_.push_back(line_);
    return static_cast<std::uint32_t>(g_.rules.size() - 1);
  }
  std::uint32_t rule_named(const std::string& s) {
    if (const auto at = numbers_.find(s); at != numbers_.end()) return at->second;
    return numbers_[s] = fresh_rule(s);
  }
  Symbol set(regex::Ranges ranges, bool negated = false) {
    g_.sets.push_back(regex::tidy(std::move(ranges), negated));
    return {Symbol::Kind::Set, static_cast<std::uint32_t>(g_.sets.size() - 1)};
  }
  Status add_alternative(std::uint32_t rule, const Sequence& sequence) {
    if (g_.symbols.size() + sequence.size() > kMaxSymbols)
      return fail("the grammar has more than 100,000 symbols when its repetitions are written out",
                  Errc::TooLarge);
    g_.rules[rule].push_back(static_cast<std::uint32_t>(g_.symbols.size()));
    g_.symbols.insert(g_.symbols.end(), sequence.begin(), sequence.end());
    g_.symbols.push_back({});
    return Ok{};
  }

  Status rule() {
    const std::string s = name();
    if (s.empty()) return fail("expected the name of a rule");
    skip(false);
    if (!(take(':') && take(':') && take('=')))
      return fail(fmt::format("expected ::= after the rule name \"{}\"", s));
    const std::uint32_t number = rule_named(s);
    if (defined_[number]) return fail(fmt::format("the rule \"{}\" is defined twice", s));
    defined_[number] = true;
    skip(true);
    BEZEL_DO(alternatives(number, 0));
    if (!done() && peek() != '\n' && peek() != '\r')
      return fail(fmt::format("expected the end of the rule \"{}\"", s));
    return Ok{};
  }

  // Whether the next line goes on with another alternative.
  bool continues() {
    const std::size_t at = at_;
    const int line = line_;
    skip(true);
    if (peek() == '|') return true;
    at_ = at;
    line_ = line;
    return false;
  }

  Status alternatives(std::uint32_t rule, int depth) {
    if (depth > kMaxDepth) return fail("groups are more than 100 deep", Errc::TooLarge);
    while (true) {
      Sequence s;
      BEZEL_DO(sequence(s, depth));
      BEZEL_DO(add_alternative(rule, s));
      if (!continues()) return Ok{};
      next();
      skip(true);
    }
  }

  Status sequence(Sequence& out, int depth) {
    while (true) {
      skip(depth > 0);
      Sequence item;
      const std::uint32_t c = peek();
      if (c == '"') {
        BEZEL_DO(literal(item));
      } else if (c == '[') {
        BEZEL_DO(bracket(item));
      } else if (c == '.') {
        next();
        item.push_back(set({{0, kLastCode}}));
      } else if (c == '(') {
        next();
        const std::uint32_t group = fresh_rule("");
        BEZEL_DO(alternatives(group, depth + 1));
        skip(true);
        if (!take(')')) return fail("expected )");
        item.push_back({Symbol::Kind::Rule, group});
      } else if (name_char(c)) {
        const std::string s = name();
        item.push_back({Symbol::Kind::Rule, rule_named(s)});
      } else if (c == '<' || c == '!') {
        return fail("tokens as <name> are not supported");
      } else {
        return Ok{};
      }
      BEZEL_DO(repeated(item, out, depth));
    }
  }

  // Appends `item` as often as the sign behind it says.
  Status repeated(Sequence item, Sequence& out, int depth) {
    skip(depth > 0);
    int min = 1, max = 1;
    if (take('*')) {
      min = 0, max = -1;
    } else if (take('+')) {
      max = -1;
    } else if (take('?')) {
      min = 0;
    } else if (take('{')) {
      BEZEL_DO(times(min, max));
    } else {
      out.insert(out.end(), item.begin(), item.end());
      return Ok{};
    }
    if (const std::uint32_t c = peek(); c == '*' || c == '+' || c == '?' || c == '{')
      return fail("a repetition of a repetition; put the first in ( )");
    if (item.size() > 1 && (min > 1 || max != 1)) {
      const std::uint32_t group = fresh_rule("");
      BEZEL_DO(add_alternative(group, item));
      item = {{Symbol::Kind::Rule, group}};
    }
    if (static_cast<std::size_t>(min) * item.size() + out.size() > kMaxSymbols)
      return fail("a repetition is too large", Errc::TooLarge);
    for (int i = 0; i < min; ++i) out.insert(out.end(), item.begin(), item.end());
    if (max < 0) {
      const std::uint32_t loop = fresh_rule("");
      BEZEL_DO(add_alternative(loop, {}));
      item.push_back({Symbol::Kind::Rule, loop});
      BEZEL_DO(add_alternative(loop, item));
      out.push_back({Symbol::Kind::Rule, loop});
      return Ok{};
    }
    Symbol rest{};  // the last of (x (x (x)?)?)?
    for (int i = min; i < max; ++i) {
      const std::uint32_t maybe = fresh_rule("");
      Sequence s = item;
      if (rest.kind == Symbol::Kind::Rule) s.push_back(rest);
      BEZEL_DO(add_alternative(maybe, {}));
      BEZEL_DO(add_alternative(maybe, s));
      rest = {Symbol::Kind::Rule, maybe};
    }
    if (rest.kind == Symbol::Kind::Rule) out.push_back(rest);
    return Ok{};
  }

  Result<int> number() {
    int n = 0, digits = 0;
    for (; peek() >= '0' && peek() <= '9'; ++digits) {
      n = n * 10 + static_cast<int>(next() - '0');
      if (n > kMaxTimes) return fail("a repetition of more than 10,000", Errc::TooLarge);
    }
    if (digits == 0) return fail("expected a number in { }");
    return n;
  }

  Status times(int& min, int& max) {
    skip(false);
    min = 0;
    if (peek() != ',') {
      BEZEL_TRY(min, number());
    }
    max = min;
    skip(false);
    if (take(',')) {
      skip(false);
      max = -1;
      if (peek() != '}') {
        BEZEL_TRY(max, number());
      }
      skip(false);
    }
    if (!take('}')) return fail("expected }");
    if (max >= 0 && max < min) return fail("a repetition whose end is before its start");
    return Ok{};
  }

  Status literal(Sequence& item) {
    next();
    while (peek() != '"') {
      if (done() || peek() == '\n') return fail("a \" without its end");
      BEZEL_TRY(const std::uint32_t c, character());
      item.push_back(set({{c, c}}));
    }
    next();
    return Ok{};
  }

  Status bracket(Sequence& item) {
    next();
    const bool negated = take('^');
    regex::Ranges ranges;
    while (peek() != ']') {
      if (done() || peek() == '\n') return fail("a [ without its ]");
      BEZEL_TRY(const std::uint32_t lo, character());
      std::uint32_t hi = lo;
      if (peek() == '-' && peek(1) != ']') {
        next();
        if (done()) return fail("a [ without its ]");
        BEZEL_TRY(hi, character());
        if (hi < lo) return fail("a range in [ ] whose end is before its start");
      }
      ranges.emplace_back(lo, hi);
    }
    next();
    item.push_back(set(std::move(ranges), negated));
    return Ok{};
  }

  Result<std::uint32_t> character() {
    const std::uint32_t c = next();
    if (c != '\\') return c;
    switch (const std::uint32_t e = next()) {
      case 'n':
        return 10U;
      case 'r':
        return 13U;
      case 't':
        return 9U;
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '"':
      case '\\':
      case '[':
      case ']':
      case '^':
      case '-':
        return e;
      default:
        return fail("an unknown escape after \\");
    }
  }

  Result<std::uint32_t> hex(int n) {
    const std::int64_t value = hex_value(n, [&] { return next(); });
    if (value < 0) return fail("a wrong hexadecimal escape");
    if (value > kLastCode) return fail("a code point past U+10FFFF");
    return static_cast<std::uint32_t>(value);
  }

  std::vector<std::uint32_t> text_;
  std::size_t at_ = 0;
  int line_ = 1;
  Grammar g_;
  std::vector<bool> defined_;
  std::vector<int> used_in_;
  std::map<std::string, std::uint32_t> numbers_;
};

}  // namespace

Result<Grammar> parse(std::string_view text) {
  if (!valid_utf8(text)) return Error{Errc::BadInput, "the grammar is not valid UTF-8", ""};
  BEZEL_TRY(Grammar g, Parser(text).run());
  BEZEL_DO(check(g));
  return g;
}

}  // namespace bezel::grammar
