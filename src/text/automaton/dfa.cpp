#include "text/automaton/dfa.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string>

#include "base/utf8.h"

namespace bezel {

std::uint32_t Dfa::step(std::uint32_t state, std::uint32_t code) const {
  const auto& edges = states[state].edges;
  auto at = std::upper_bound(edges.begin(), edges.end(), code,
                             [](std::uint32_t c, const CodeEdge& e) { return c < e.lo; });
  if (at == edges.begin()) return kDead;
  --at;
  return code <= at->hi ? at->to : kDead;
}

std::uint32_t Dfa::marks(std::string_view utf8) const {
  if (states.empty()) return 0;
  std::uint32_t at = 0;
  for (const std::uint32_t c : code_points(utf8)) {
    at = step(at, c);
    if (at == kDead) return 0;
  }
  return states[at].accept;
}

bool Dfa::accepts(std::string_view utf8) const {
  return marks(utf8) != 0;
}

void append_utf8(std::string& text, std::uint32_t c) {
  const auto put = [&](std::uint32_t b) { text.push_back(static_cast<char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6U);
    put(0x80 | (c & 63U));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12U);
    put(0x80 | (c >> 6U & 63U));
    put(0x80 | (c & 63U));
  } else {
    put(0xF0 | c >> 18U);
    put(0x80 | (c >> 12U & 63U));
    put(0x80 | (c >> 6U & 63U));
    put(0x80 | (c & 63U));
  }
}

std::vector<std::uint32_t> code_points(std::string_view s) {
  std::vector<std::uint32_t> codes;
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t n = std::max<std::size_t>(utf8_length_at(s, i), 1);
    const auto byte = [&](std::size_t k) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(s[i + k]));
    };
    std::uint32_t c = n == 1 ? byte(0) : byte(0) & (0x7FU >> n);
    for (std::size_t k = 1; k < n; ++k) c = c << 6U | (byte(k) & 63U);
    codes.push_back(c);
    i += n;
  }
  return codes;
}

Dfa any_text() {
  Dfa d;
  d.states.push_back({{{0, kLastCode, 0}}, 1});
  return d;
}

Dfa text_of_length(std::int64_t min, std::int64_t max) {
  Dfa d;
  const std::int64_t last = max < 0 ? min : max;
  for (std::int64_t n = 0; n <= last; ++n) {
    const auto next = static_cast<std::uint32_t>(n + 1);
    d.states.push_back({{}, n >= min ? 1U : 0U});
    if (n < last) d.states.back().edges.push_back({0, kLastCode, next});
  }
  if (max < 0) d.states.back().edges.push_back({0, kLastCode, static_cast<std::uint32_t>(last)});
  return d;
}

Dfa one_of(const std::vector<std::string>& texts) {
  std::vector<std::map<std::uint32_t, std::uint32_t>> nodes(1);
  Dfa d;
  d.states.resize(1);
  for (const std::string& text : texts) {
    std::uint32_t at = 0;
    for (const std::uint32_t c : code_points(text)) {
      const auto [edge, fresh] = nodes[at].try_emplace(c, static_cast<std::uint32_t>(nodes.size()));
      at = edge->second;
      if (fresh) {
        nodes.emplace_back();
        d.states.emplace_back();
      }
    }
    d.states[at].accept = 1;
  }
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (const auto& [c, to] : nodes[i]) d.states[i].edges.push_back({c, c, to});
  return d;
}

namespace {

using Tuple = std::vector<std::uint32_t>;  // a state of each part; Dfa::kDead where it has ended

class Combiner {
 public:
  Combiner(const std::vector<const Dfa*>& parts,
           const std::function<std::uint32_t(std::uint32_t)>& decide)
      : parts_(parts), decide_(decide) {}

  Result<Dfa> run() {
    Tuple start(parts_.size(), 0);
    for (std::size_t i = 0; i < parts_.size(); ++i)
      if (parts_[i]->states.empty()) start[i] = Dfa::kDead;
    number_of(start);
    for (std::size_t i = 0; i < todo_.size(); ++i) {
      if (todo_.size() > kMaxDfaStates)
        return Error{Errc::TooLarge,
                     fmt::format("a pattern or a length needs more than {} states", kMaxDfaStates),
                     ""};
      expand(i);
    }
    return std::move(out_);
  }

 private:
  std::uint32_t number_of(const Tuple& t) {
    const auto [at, fresh] = numbers_.try_emplace(t, static_cast<std::uint32_t>(todo_.size()));
    if (fresh) {
      todo_.push_back(t);
      std::uint32_t bits = 0;
      for (std::size_t i = 0; i < t.size(); ++i)
        if (t[i] != Dfa::kDead && parts_[i]->states[t[i]].accept != 0) bits |= 1U << i;
      out_.states.push_back({{}, decide_(bits)});
    }
    return at->second;
  }

  void expand(std::size_t from) {
    const Tuple t = todo_[from];
    std::vector<std::uint32_t> cuts = {0};
    for (std::size_t i = 0; i < t.size(); ++i) {
      if (t[i] == Dfa::kDead) continue;
      for (const CodeEdge& e : parts_[i]->states[t[i]].edges) {
        cuts.push_back(e.lo);
        if (e.hi < kLastCode) cuts.push_back(e.hi + 1);
      }
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    for (std::size_t k = 0; k < cuts.size(); ++k) {
      const std::uint32_t lo = cuts[k], hi = k + 1 < cuts.size() ? cuts[k + 1] - 1 : kLastCode;
      Tuple next(t.size());
      for (std::size_t i = 0; i < t.size(); ++i)
        next[i] = t[i] == Dfa::kDead ? Dfa::kDead : parts_[i]->step(t[i], lo);
      const std::uint32_t to = number_of(next);
      auto& edges = out_.states[from].edges;
      if (!edges.empty() && edges.back().to == to && edges.back().hi + 1 == lo)
        edges.back().hi = hi;
      else
        edges.push_back({lo, hi, to});
    }
  }

  const std::vector<const Dfa*>& parts_;
  const std::function<std::uint32_t(std::uint32_t)>& decide_;
  std::map<Tuple, std::uint32_t> numbers_;
  std::vector<Tuple> todo_;
  Dfa out_;
};

}  // namespace

Result<Dfa> combine(const std::vector<const Dfa*>& parts,
                    const std::function<std::uint32_t(std::uint32_t)>& decide) {
  if (parts.size() > 31) return Error{Errc::TooLarge, "more than 31 patterns meet on one text", ""};
  return Combiner(parts, decide).run();
}

namespace {

// The states from which edges lead to a state, once for every edge. In one list: automata of
// formats have ten thousands of states.
class Predecessors {
 public:
  explicit Predecessors(const Dfa& dfa) : first_(dfa.states.size() + 2) {
    for (const Dfa::State& s : dfa.states)
      for (const CodeEdge& e : s.edges) ++first_[e.to + 2];
    for (std::size_t i = 2; i < first_.size(); ++i) first_[i] += first_[i - 1];
    from_.resize(first_.back());
    for (std::uint32_t i = 0; i < dfa.states.size(); ++i)
      for (const CodeEdge& e : dfa.states[i].edges) from_[first_[e.to + 1]++] = i;
  }
  std::span<const std::uint32_t> of(std::uint32_t state) const {
    return std::span(from_).subspan(first_[state], first_[state + 1] - first_[state]);
  }

 private:
  std::vector<std::uint32_t> first_, from_;
};

}  // namespace

bool trim(Dfa& dfa) {
  const std::size_t n = dfa.states.size();
  const Predecessors back(dfa);
  std::vector<bool> useful(n);
  std::vector<std::uint32_t> todo;
  for (std::uint32_t i = 0; i < n; ++i)
    if (dfa.states[i].accept != 0) todo.push_back(i), useful[i] = true;
  while (!todo.empty()) {
    const std::uint32_t at = todo.back();
    todo.pop_back();
    for (const std::uint32_t from : back.of(at))
      if (!useful[from]) todo.push_back(from), useful[from] = true;
  }
  if (n == 0 || !useful[0]) {
    dfa.states.clear();
    return false;
  }
  std::vector<std::uint32_t> number(n);
  std::uint32_t kept = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (useful[i]) number[i] = kept++;
  for (std::size_t i = 0; i < n; ++i) {
    if (!useful[i]) continue;
    auto& edges = dfa.states[i].edges;
    edges.erase(std::remove_if(edges.begin(), edges.end(),
                               [&](const CodeEdge& e) { return !useful[e.to]; }),
                edges.end());
    for (CodeEdge& e : edges) e.to = number[e.to];
    if (number[i] != i) dfa.states[number[i]] = std::move(dfa.states[i]);
  }
  dfa.states.resize(kept);
  return true;
}

std::vector<std::uint64_t> count_texts(const Dfa& dfa) {
  const std::size_t n = dfa.states.size();
  std::vector<std::uint64_t> counts(n, kMany);
  std::vector<std::size_t> open(n);
  const Predecessors back(dfa);
  std::vector<std::uint32_t> ready;
  for (std::uint32_t i = 0; i < n; ++i) {
    open[i] = dfa.states[i].edges.size();
    if (open[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {  // states on no cycle, from the ends backwards
    const std::uint32_t at = ready.back();
    ready.pop_back();
    std::uint64_t sum = dfa.states[at].accept != 0 ? 1 : 0;
    for (const CodeEdge& e : dfa.states[at].edges)
      sum = std::min(kMany, sum + std::min(kMany, counts[e.to]) * (e.hi - e.lo + 1));
    counts[at] = sum;
    for (const std::uint32_t from : back.of(at))
      if (--open[from] == 0) ready.push_back(from);
  }
  return counts;
}

namespace {

// By state: whether every text of these code points can follow. `ranges`: ascending.
std::vector<bool> closed_states(
    const Dfa& dfa, const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges) {
  const std::size_t n = dfa.states.size();
  std::vector<bool> closed(n, true);
  const auto covers = [&](const Dfa::State& s, std::uint32_t lo, std::uint32_t hi) {
    for (const CodeEdge& e : s.edges) {
      if (e.hi < lo) continue;
      if (e.lo > lo || !closed[e.to]) return false;
      if (e.hi >= hi) return true;
      lo = e.hi + 1;
    }
    return false;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < n; ++i)
      for (const auto& [lo, hi] : ranges)
        if (closed[i] && !covers(dfa.states[i], lo, hi)) closed[i] = false, changed = true;
  }
  return closed;
}

}  // namespace

std::vector<bool> free_states(const Dfa& dfa) {
  return closed_states(dfa, {{0x20, kLastCode}});
}

std::vector<bool> word_states(const Dfa& dfa) {
  return closed_states(dfa, {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}});
}

namespace {

bool list_from(const Dfa& dfa, std::uint32_t state, std::string& text, std::size_t limit,
               std::vector<std::string>& out) {
  if (text.size() > 4096) return false;
  if (dfa.states[state].accept != 0) out.push_back(text);
  if (out.size() > limit) return false;
  for (const CodeEdge& e : dfa.states[state].edges)
    for (std::uint32_t c = e.lo; c <= e.hi; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      const std::size_t length = text.size();
      append_utf8(text, c);
      if (!list_from(dfa, e.to, text, limit, out)) return false;
      text.resize(length);
    }
  return true;
}

}  // namespace

std::vector<std::string> list_texts(const Dfa& dfa, std::size_t limit) {
  std::vector<std::string> out;
  std::string text;
  if (!dfa.states.empty() && !list_from(dfa, 0, text, limit, out)) out.clear();
  return out;
}

}  // namespace bezel
