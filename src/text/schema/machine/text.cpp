// Strings and numbers.
#include <algorithm>

#include "text/schema/machine/machine.h"
#include "text/schema/number.h"

namespace bezel::schema {

namespace {

constexpr const char* kUnnamed = "?";  // a text whose value is not known yet

// The used values of an array without equals: "n", "t", "f", "#" and a number, "s" and a text with
// its line breaks and backslashes escaped; each with a line break behind it.
template <class Each>
void for_each_used(const std::string& used, const Each& each) {
  for (std::size_t i = 0; i < used.size();) {
    const std::size_t end = used.find('\n', i);
    each(std::string_view(used).substr(i, end - i));
    i = end + 1;
  }
}

std::string one_line(const std::string& text) {
  std::string out = "s";
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\')
      out += "\\\\";
    else
      out.push_back(c);
  }
  return out;
}

std::string many_lines(std::string_view line) {
  std::string out;
  for (std::size_t i = 1; i < line.size(); ++i) {
    const bool escaped = line[i] == '\\';
    if (escaped) ++i;
    out.push_back(escaped && line[i] == 'n' ? '\n' : line[i]);
  }
  return out;
}

std::vector<Decimal> numbers_in(const std::string& used) {
  std::vector<Decimal> out;
  for_each_used(used, [&](std::string_view v) {
    if (v[0] == '#')
      if (auto d = parse_decimal(v.substr(1))) out.push_back(*std::move(d));
  });
  return out;
}

}  // namespace

// ---- numbers

std::vector<Decimal> Machine::used_numbers(const Frame& f) const {
  const Frame& parent = frame(f.parent);
  return unique_parent(parent) ? numbers_in(bytes_of(parent.c)) : std::vector<Decimal>{};
}

bool Machine::number_ends(const Frame& f) const {
  if (!complete(static_cast<Phase>(f.phase))) return false;
  if (f.b == 0) return true;
  const auto value = parse_decimal(bytes_of(f.b));
  if (!value || !fits(program_->number(static_cast<int>(f.shape)), *value)) return false;
  const auto used = used_numbers(f);
  return std::find(used.begin(), used.end(), *value) == used.end();
}

// A free number's text is not kept; c counts its whole digits, d is its exponent. False when it
// would be larger than what readers of JSON take, a double.
bool Machine::count_digit(Frame& g, std::uint8_t byte) {
  constexpr std::uint32_t kMost = 308, kNegative = UINT32_MAX;
  const auto phase = static_cast<Phase>(g.phase);
  if (phase == Phase::Whole) ++g.c;
  if (phase == Phase::ExpSign && byte == '-') g.d = kNegative;
  if (phase == Phase::ExpDigits && g.d != kNegative) g.d = 10 * g.d + (byte - std::uint32_t{'0'});
  return g.d == kNegative ? g.c <= kMost : g.c + g.d <= kMost;
}

void Machine::number(const Frame& f, std::uint8_t byte, Out& out) {
  const auto phase = next_phase(static_cast<Phase>(f.phase), byte);
  if (!phase) {
    if (!number_ends(f)) return;
    std::string value;
    if (f.b != 0) value = '#' + parse_decimal(bytes_of(f.b))->text();
    Out after;
    finish(f.parent, value, after);
    for (const Thread t : after) step(t, byte, out);
    return;
  }
  const NumberRule& rule = program_->number(static_cast<int>(f.shape));
  Frame g = f;
  g.phase = static_cast<std::uint8_t>(*phase);
  const auto used = used_numbers(f);
  if (rule.free() && !unique_parent(frame(f.parent))) {
    if (count_digit(g, byte)) out.push_back(thread_of(g));
    return;
  }
  std::string text = bytes_of(f.b);
  text.push_back(static_cast<char>(byte));
  NumberRule with_used;
  if (!used.empty()) {
    with_used = rule;
    with_used.excluded.insert(with_used.excluded.end(), used.begin(), used.end());
  }
  if (!can_fit(used.empty() ? rule : with_used, text)) return;
  g.b = blob(text);
  out.push_back(thread_of(g));
}

// ---- strings

// How many used texts begin with what stands there and could still be written.
std::uint64_t Machine::used_texts(const StringShape& s, const Frame& f) const {
  const Frame& parent = frame(f.parent);
  if (f.d == 0 || !unique_parent(parent)) return 0;
  const std::string& prefix = bytes_of(f.c);
  std::uint64_t n = 0;
  for_each_used(bytes_of(parent.c), [&](std::string_view v) {
    if (v[0] != 's') return;
    const std::string text = many_lines(v);
    if (text.compare(0, prefix.size(), prefix) != 0) return;
    const auto length = static_cast<std::int64_t>(code_points(text).size());
    n += s.plain ? length >= s.min && (s.max < 0 || length <= s.max) : s.dfa.accepts(text);
  });
  return n;
}

bool Machine::text_live(const StringShape& s, std::uint32_t at, const Frame& f) const {
  const std::uint64_t used = used_texts(s, f);
  if (!s.plain) return s.counts[at] > used;
  return s.max < 0 || at < s.max || (at == s.max && used == 0);
}

bool Machine::text_live_in(const StringShape& s, std::uint32_t at, const Decoded& d) const {
  if (s.plain) return s.max < 0 || at < s.max;
  for (const CodeEdge& e : s.dfa.states[at].edges)
    for (int r = 0; r < 2; ++r)
      if (d.lo[r] <= d.hi[r] && e.lo <= d.hi[r] && e.hi >= d.lo[r]) return true;
  return false;
}

void Machine::text(const Frame& f, std::uint8_t byte, Out& out) {
  const StringShape& s = program_->string(static_cast<int>(f.shape));
  const Decoded d = decode(f.b, byte, json_, quote_);
  Frame g = f;
  if (d.kind == Decoded::Kind::Wrong) return;
  if (d.kind == Decoded::Kind::Partial) {
    g.b = d.decoder;
    if (text_live_in(s, f.a, d)) out.push_back(thread_of(g));
    return;
  }
  if (d.kind == Decoded::Kind::Close) {
    const bool ends = s.plain ? f.a >= s.min : s.dfa.states[f.a].accept != 0;
    if (!ends) return;
    const Frame& parent = frame(f.parent);
    if (!unique_parent(parent)) return finish(f.parent, "", out);
    bool used = false, unnamed = false;
    for_each_used(bytes_of(parent.c), [&](std::string_view v) {
      used = used || (f.d != 0 && v == one_line(bytes_of(f.c)));
      unnamed = unnamed || v == kUnnamed;
    });
    if (!used && !unnamed) finish(f.parent, kUnnamed, out);
    return;
  }
  g.b = 0;
  if (s.plain) {
    if (s.max >= 0 && f.a >= s.max) return;
    const std::int64_t last = std::max(s.min, s.max);  // longer texts are all the same
    if (f.a < last) ++g.a;
  } else {
    g.a = s.dfa.step(f.a, d.code);
    if (g.a == Dfa::kDead) return;
  }
  if (f.d != 0) {
    std::string so_far = bytes_of(f.c);
    append_utf8(so_far, d.code);
    bool begins = false;
    for_each_used(bytes_of(frame(f.parent).c), [&](std::string_view v) {
      begins = begins || (v[0] == 's' && many_lines(v).compare(0, so_far.size(), so_far) == 0);
    });
    g.c = begins ? blob(so_far) : 0;
    g.d = begins ? 1 : 0;
  }
  if (text_live(s, g.a, g)) out.push_back(thread_of(g));
}

bool Machine::value_left(int goal, const std::string& used) const {
  for (const Case& c : program_->goal(goal).cases) {
    for (unsigned i = 0; i < 3; ++i) {
      bool left = (c.kinds >> i & 1U) != 0;
      for_each_used(used, [&](std::string_view v) {
        left = left && v != std::string_view("ntf").substr(i, 1);
      });
      if (left) return true;
    }
    if (c.number >= 0) {
      NumberRule rule = program_->number(c.number);
      const auto more = numbers_in(used);
      rule.excluded.insert(rule.excluded.end(), more.begin(), more.end());
      if (any_number(rule)) return true;
    }
    if (c.string < 0) continue;
    const StringShape& s = program_->string(c.string);
    std::uint64_t taken = 0;
    for_each_used(used, [&](std::string_view v) {
      if (v == kUnnamed) ++taken;
      if (v[0] == 's') taken += s.plain ? 1U : (s.dfa.accepts(many_lines(v)) ? 1U : 0U);
    });
    const std::uint64_t all = s.plain ? (s.max == 0 ? 1 : kMany) : s.counts[0];
    if (all > taken) return true;
  }
  return false;
}

bool Machine::waiting(Thread thread) const {
  const Frame& f = frame(thread);
  const std::string& used = unique_parent(f) ? bytes_of(f.c) : bytes_of(0);
  return used.size() >= 2 && used.compare(used.size() - 2, 2, "?\n") == 0;
}

Automaton::Thread Machine::remembered(Thread thread, const std::string& text) {
  Frame f = frame(thread);
  if (!waiting(thread)) return thread;
  std::string used = bytes_of(f.c);
  used.resize(used.size() - 2);
  used += one_line(text);
  used.push_back('\n');
  f.c = blob(used);
  return thread_of(f);
}

FreeText Machine::free_of(Thread thread) const {
  const Frame& f = frame(thread);
  FreeText t;
  if (f.b != 0) return t;
  if (f.kind == kKey && f.c != Dfa::kDead) {
    const ObjectShape& o = program_->object(static_cast<int>(f.shape));
    if (!o.free[f.c]) return t;
    t.kind = FreeText::Kind::All;
    t.room = -1;
    t.uniform = json_ && f.a == kNoNode && o.others.states.size() == 1;
  } else if (f.kind == kText) {
    const StringShape& s = program_->string(static_cast<int>(f.shape));
    t.words = !s.plain && f.d == 0 && s.words[f.a];
    if (!s.plain && !s.free[f.a]) return t;
    t.kind = FreeText::Kind::All;
    t.room = s.plain && s.max >= 0 ? s.max - f.a : -1;
    t.wanted = s.plain ? std::max<std::int64_t>(0, s.min - f.a) : 0;
    t.uniform = json_ && (s.plain || s.dfa.states.size() == 1) && f.d == 0;
  }
  return t;
}

}  // namespace bezel::schema
