#include "text/automaton/syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "text/automaton/decode.h"
#include "text/automaton/dfa.h"

namespace bezel::regex {

Ranges tidy(Ranges ranges, bool negated) {
  std::sort(ranges.begin(), ranges.end());
  Ranges joined;
  for (const auto& [lo, hi] : ranges) {
    if (!joined.empty() && lo <= joined.back().second + 1)
      joined.back().second = std::max(joined.back().second, hi);
    else
      joined.emplace_back(lo, hi);
  }
  if (!negated) return joined;
  Ranges rest;
  std::uint32_t from = 0;
  for (const auto& [lo, hi] : joined) {
    if (lo > from) rest.emplace_back(from, lo - 1);
    from = hi + 1;
  }
  if (from <= kLastCode) rest.emplace_back(from, kLastCode);
  return rest;
}

namespace {

constexpr int kMaxDepth = 100, kMaxRepeat = 100000;

Ranges class_of(std::uint32_t letter) {
  Ranges digit = {{'0', '9'}};
  Ranges word = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  Ranges space = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680},
                  {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                  {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  switch (letter) {
    case 'd':
      return digit;
    case 'D':
      return tidy(digit, true);
    case 'w':
      return word;
    case 'W':
      return tidy(word, true);
    case 's':
      return space;
    case 'S':
      return tidy(space, true);
    default:
      return {};
  }
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(code_points(pattern)) {}

  Result<Node> run() {
    BEZEL_TRY(Node node, either(0));
    if (!done()) return fail("a ) without its (");
    return node;
  }

 private:
  bool done() const { return at_ == text_.size(); }
  std::uint32_t peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : kLastCode + 1;
  }
  bool take(std::uint32_t c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  Error fail(std::string what) const {
    return {Errc::BadInput,
            fmt::format("the pattern holds {} near character {}", std::move(what), at_ + 1), ""};
  }

  Result<Node> either(int depth) {
    if (depth > kMaxDepth) return fail("groups more than 100 deep");
    std::vector<Node> options;
    do {
      BEZEL_TRY(Node option, sequence(depth));
      options.push_back(std::move(option));
    } while (take('|'));
    if (options.size() == 1) return std::move(options[0]);
    Node node;
    node.kind = Node::Kind::Either;
    node.parts = std::move(options);
    return node;
  }

  Result<Node> sequence(int depth) {
    Node node;
    node.kind = Node::Kind::Sequence;
    while (!done() && peek() != '|' && peek() != ')') {
      BEZEL_TRY(Node part, atom(depth));
      BEZEL_TRY(part, repeated(std::move(part)));
      node.parts.push_back(std::move(part));
    }
    return node;
  }

  Result<Node> repeated(Node part) {
    const std::uint32_t c = peek();
    int min = 0, max = -1;
    if (c == '*') {
      ++at_;
    } else if (c == '+') {
      ++at_, min = 1;
    } else if (c == '?') {
      ++at_, max = 1;
    } else if (c == '{') {
      ++at_;
      BEZEL_TRY(min, number());
      max = min;
      if (take(',')) {
        max = -1;
        if (peek() != '}') {
          BEZEL_TRY(max, number());
        }
      }
      if (!take('}')) return fail("a { that is no repetition");
      if (max >= 0 && max < min) return fail("a repetition whose end is before its start");
    } else {
      return part;
    }
    take('?');  // lazy: the same texts
    if (part.kind == Node::Kind::Start || part.kind == Node::Kind::End)
      return fail("a repeated ^ or $");
    if (const auto n = peek(); n == '*' || n == '+' || n == '?' || n == '{')
      return fail("a repetition of a repetition");
    Node node;
    node.kind = Node::Kind::Repeat;
    node.min = min;
    node.max = max;
    node.parts.push_back(std::move(part));
    return node;
  }

  Result<int> number() {
    int n = 0;
    const std::size_t from = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      n = n * 10 + static_cast<int>(peek() - '0');
      if (n > kMaxRepeat) return fail("a repetition of more than 100,000");
    }
    if (at_ == from) return fail("a { that is no repetition");
    return n;
  }

  static Node set(Ranges ranges, bool negated = false) {
    Node node;
    node.kind = Node::Kind::Set;
    node.set = tidy(std::move(ranges), negated);
    return node;
  }

  Result<Node> atom(int depth) {
    const std::uint32_t c = text_[at_++];
    Node node;
    switch (c) {
      case '^':
        node.kind = Node::Kind::Start;
        return node;
      case '$':
        node.kind = Node::Kind::End;
        return node;
      case '.':
        return set({{10, 10}, {13, 13}, {0x2028, 0x2029}}, true);
      case '(':
        return group(depth);
      case '[':
        return bracket();
      case '\\':
        return escape();
      case '*':
      case '+':
      case '?':
      case '{':
        --at_;
        return fail("a repetition of nothing");
      default:
        return set({{c, c}});
    }
  }

  Result<Node> group(int depth) {
    if (take('?')) {
      if (take('<')) {
        if (peek() == '=' || peek() == '!')
          return fail("lookbehind, which no automaton can follow,");
        while (!done() && peek() != '>') ++at_;
        if (!take('>')) return fail("a group name without its >");
      } else if (peek() == '=' || peek() == '!') {
        return fail("lookahead, which is not supported,");
      } else if (!take(':')) {
        return fail("a group of an unknown kind");
      }
    }
    BEZEL_TRY(Node inside, either(depth + 1));
    if (!take(')')) return fail("a ( without its )");
    return inside;
  }

  Result<Node> escape() {
    const std::uint32_t c = peek();
    if (Ranges known = class_of(c); !known.empty()) {
      ++at_;
      return set(std::move(known));
    }
    if (c == 'b' || c == 'B') return fail("a word boundary, which is not supported,");
    if (c == 'k' || (c >= '1' && c <= '9'))
      return fail("a backreference, which no automaton can follow,");
    BEZEL_TRY(const std::uint32_t code, escaped_code());
    return set({{code, code}});
  }

  // The code point after a backslash.
  Result<std::uint32_t> escaped_code() {
    if (done()) return fail("a \\ with nothing behind it");
    const std::uint32_t c = text_[at_++];
    switch (c) {
      case 't':
        return 9U;
      case 'n':
        return 10U;
      case 'v':
        return 11U;
      case 'f':
        return 12U;
      case 'r':
        return 13U;
      case '0':
        return 0U;
      case 'x':
        return hex(2);
      case 'u':
        return unicode();
      case 'c':
        if (const auto l = peek() | 32U; l < 'a' || l > 'z') return fail("a \\c without a letter");
        return text_[at_++] & 31U;
      case 'p':
      case 'P':
        return fail("a Unicode property, which is not supported,");
      default:
        break;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
      return fail("an unknown escape");
    return c;
  }

  Result<std::uint32_t> hex(int n) {
    const std::int64_t value = hex_value(n, [&] {
      const auto c = peek();
      if (hex_digit(c) >= 0) ++at_;
      return c;
    });
    if (value < 0) return fail("a wrong hexadecimal escape");
    return static_cast<std::uint32_t>(value);
  }

  Result<std::uint32_t> unicode() {
    if (take('{')) {
      std::uint32_t value = 0;
      int n = 0;
      while (peek() != '}') {
        BEZEL_TRY(const std::uint32_t digit, hex(1));
        value = value * 16 + digit;
        if (++n > 6 || value > kLastCode) return fail("a code point past U+10FFFF");
      }
      if (n == 0) return fail("an empty \\u{}");
      ++at_;
      return value;
    }
    BEZEL_TRY(const std::uint32_t first, hex(4));
    if (first < 0xD800 || first > 0xDBFF || peek() != '\\' || peek(1) != 'u') return first;
    const std::size_t back = at_;
    at_ += 2;
    BEZEL_TRY(const std::uint32_t second, hex(4));
    if (second >= 0xDC00 && second <= 0xDFFF)
      return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
    at_ = back;
    return first;
  }

  // One member of [...]: a code point, or a whole class (then `known` is not empty).
  Result<std::uint32_t> member(Ranges& known) {
    known.clear();
    if (done()) return fail("a [ without its ]");
    if (!take('\\')) return text_[at_++];
    known = class_of(peek());
    if (!known.empty()) return text_[at_++];
    if (take('b')) return 8U;
    return escaped_code();
  }

  Result<Node> bracket() {
    const bool negated = take('^');
    Ranges all, known;
    while (!take(']')) {
      BEZEL_TRY(const std::uint32_t lo, member(known));
      if (!known.empty()) {
        all.insert(all.end(), known.begin(), known.end());
        continue;
      }
      std::uint32_t hi = lo;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        BEZEL_TRY(hi, member(known));
        if (!known.empty() || hi < lo) return fail("a wrong range in [ ]");
      }
      all.emplace_back(lo, hi);
    }
    return set(std::move(all), negated);
  }

  std::vector<std::uint32_t> text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<Node> parse(std::string_view pattern) {
  if (!valid_utf8(pattern)) return Error{Errc::BadInput, "the pattern is not valid UTF-8", ""};
  return Parser(pattern).run();
}

}  // namespace bezel::regex
