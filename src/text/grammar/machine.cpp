#include "text/grammar/machine.h"

#include <algorithm>

#include "text/automaton/decode.h"
#include "text/automaton/dfa.h"

namespace bezel::grammar {

namespace {

constexpr std::uint32_t kStart = 0xFFFFFFFFU, kDone = 0xFFFFFFFEU;  // places outside all rules

bool in(const regex::Ranges& ranges, std::uint32_t lo, std::uint32_t hi) {
  const auto at = std::lower_bound(ranges.begin(), ranges.end(), lo,
                                   [](const auto& r, std::uint32_t c) { return r.second < c; });
  return at != ranges.end() && at->first <= hi;
}

}  // namespace

Machine::Machine(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  places_.emplace_back();
  start_ = thread_of({kStart, 0, 0, 0});
  done_ = thread_of({kDone, 0, 0, 0});
}

Automaton::Thread Machine::thread_of(const Place& p) {
  std::uint64_t h = (std::uint64_t{p.at} << 32U | p.parent) * 0x9E3779B97F4A7C15ULL;
  h = (h ^ h >> 29U ^ p.decoder) * 0xBF58476D1CE4E5B9ULL;
  const auto [begin, end] = known_.equal_range(h);
  for (auto at = begin; at != end; ++at)
    if (places_[at->second] == p) return at->second;
  const auto t = static_cast<Thread>(places_.size());
  places_.push_back(p);
  known_.emplace(h, t);
  return t;
}

void Machine::reach(std::uint32_t at, std::uint32_t parent, std::vector<Thread>& out) {
  struct Todo {
    std::uint32_t at, parent;
  };
  std::vector<Todo> todo = {{at, parent}};
  const std::size_t most = out.size() + 2 * kMaxThreads;
  while (!todo.empty() && out.size() < most) {
    const Todo now = todo.back();
    todo.pop_back();
    const Symbol s = grammar_->symbols[now.at];
    const std::uint32_t depth = places_[now.parent].depth;
    if (s.kind == Symbol::Kind::Set) {
      out.push_back(thread_of({now.at, now.parent, 0, depth}));
    } else if (s.kind == Symbol::Kind::End) {
      if (now.parent == 0)
        out.push_back(done_);
      else
        todo.push_back({places_[now.parent].at, places_[now.parent].parent});
    } else {
      // behind the last symbol there is nothing to come back to
      std::uint32_t back = now.parent;
      if (grammar_->symbols[now.at + 1].kind != Symbol::Kind::End) {
        if (depth >= kMaxDepth) continue;
        back = thread_of({now.at + 1, now.parent, 0, depth + 1});
      }
      for (const std::uint32_t first : grammar_->rules[s.number]) todo.push_back({first, back});
    }
  }
}

void Machine::step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) {
  const Place p = places_[thread];
  if (p.at == kStart) {
    std::vector<Thread> first;
    for (const std::uint32_t at : grammar_->rules[grammar_->root]) reach(at, 0, first);
    std::sort(first.begin(), first.end());
    first.erase(std::unique(first.begin(), first.end()), first.end());
    for (const Thread t : first) step(t, byte, out);
    return;
  }
  if (p.at == kDone) return;
  const regex::Ranges& set = grammar_->sets[grammar_->symbols[p.at].number];
  const Decoded d = decode(p.decoder, byte, false, std::uint8_t{0xFF});
  if (d.kind == Decoded::Kind::Code && in(set, d.code, d.code)) {
    reach(p.at + 1, p.parent, out);
  } else if (d.kind == Decoded::Kind::Partial) {
    for (int r = 0; r < 2; ++r)
      if (d.lo[r] <= d.hi[r] && in(set, d.lo[r], d.hi[r])) {
        out.push_back(thread_of({p.at, p.parent, d.decoder, p.depth}));
        return;
      }
  }
}

bool Machine::accepting(Thread thread) const {
  const Place& p = places_[thread];
  if (p.at != kStart) return p.at == kDone;
  std::vector<Thread> first;
  for (const std::uint32_t at : grammar_->rules[grammar_->root])
    const_cast<Machine*>(this)->reach(at, 0, first);
  return std::find(first.begin(), first.end(), done_) != first.end();
}

FreeText Machine::free_of(Thread thread) const {
  const Place& p = places_[thread];
  FreeText t;
  if (p.at >= kDone || p.decoder != 0) return t;
  // a set of nearly everything that is repeated: x* is a rule of which each round ends in itself
  const regex::Ranges& set = grammar_->sets[grammar_->symbols[p.at].number];
  if (set.empty() || set.front().first > 0x20 || set.back().second < kLastCode) return t;
  std::uint32_t covered = 0x20;
  for (const auto& [lo, hi] : set) {
    if (lo > covered) {
      if (covered == '"' || covered == '\\') covered = lo;
      if (lo > covered) return t;
    }
    covered = std::max(covered, hi + 1);
  }
  const Symbol next = grammar_->symbols[p.at + 1];
  if (next.kind != Symbol::Kind::Rule || grammar_->symbols[p.at + 2].kind != Symbol::Kind::End)
    return t;
  for (const std::uint32_t at : grammar_->rules[next.number])
    if (at == p.at) {
      t.kind = FreeText::Kind::All;
      t.room = -1;
      t.uniform = false;
    }
  return t;
}

}  // namespace bezel::grammar
