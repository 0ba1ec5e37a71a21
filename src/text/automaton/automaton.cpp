#include "text/automaton/automaton.h"

#include <algorithm>

namespace bezel {

Automaton::State Automaton::state_of(std::vector<Thread>& threads) {
  std::sort(threads.begin(), threads.end());
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  if (threads.empty()) return kDead;
  if (threads.size() > kMaxThreads) {
    overflowed_ = true;
    return kDead;
  }
  std::uint64_t hash = 0x9E3779B97F4A7C15ULL;
  for (const Thread t : threads) hash = (hash ^ t) * 0xBF58476D1CE4E5B9ULL, hash ^= hash >> 29U;
  const auto [begin, end] = known_.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    const Memory& m = memory_[at->second];
    if (m.count == threads.size() &&
        std::equal(threads.begin(), threads.end(), threads_.begin() + m.from))
      return at->second;
  }
  Memory m;
  m.from = static_cast<std::uint32_t>(threads_.size());
  m.count = static_cast<std::uint32_t>(threads.size());
  for (const Thread t : threads) {
    m.accepts = m.accepts || accepting(t);
    m.waits = m.waits || waiting(t);
    const Bytes may = may_of(t);
    for (std::size_t i = 0; i < may.size(); ++i) m.may[i] |= may[i];
  }
  threads_.insert(threads_.end(), threads.begin(), threads.end());
  const auto state = static_cast<State>(memory_.size());
  memory_.push_back(m);
  known_.emplace(hash, state);
  return state;
}

Automaton::State Automaton::start() {
  if (memory_.empty()) {
    memory_.emplace_back();  // kDead
    blocks_.emplace_back();  // none
    std::vector<Thread> threads = {first()};
    start_ = state_of(threads);
  }
  return start_;
}

Automaton::State Automaton::find_next(State state, std::uint8_t byte) {
  if (state == kDead) return kDead;
  std::vector<Thread> out;
  out.swap(scratch_);
  out.clear();
  const std::uint32_t from = memory_[state].from, count = memory_[state].count;
  for (std::uint32_t i = 0; i < count; ++i) step(threads_[from + i], byte, out);
  const State to = state_of(out);
  scratch_.swap(out);
  std::uint32_t& block = memory_[state].blocks[byte >> 4U];
  if (block == 0) {
    block = static_cast<std::uint32_t>(blocks_.size());
    blocks_.emplace_back().fill(kUnknown);
  }
  blocks_[block][byte & 15U] = to;
  return to;
}

FreeText Automaton::free_text(State state) const {
  FreeText all;
  const Memory& m = memory_[state];
  bool every = true, words = false;
  for (std::uint32_t i = 0; i < m.count; ++i) {
    const FreeText one = free_of(threads_[m.from + i]);
    words = words || one.words;
    if (one.kind == FreeText::Kind::None) {
      every = false;
      continue;
    }
    if (all.kind == FreeText::Kind::None) {
      const bool uniform = all.uniform;
      all = one;
      all.uniform = uniform && one.uniform;
    } else {
      every = every && all.room == one.room && all.wanted == one.wanted;
      all.room = all.room < 0 || one.room < 0 ? -1 : std::max(all.room, one.room);
      all.wanted = std::min(all.wanted, one.wanted);
      all.uniform = all.uniform && one.uniform;
    }
  }
  if (all.kind != FreeText::Kind::None)
    all.kind = every ? FreeText::Kind::All : FreeText::Kind::Some;
  all.words = words;
  return all;
}

bool Automaton::knows_key(State state) const {
  const Memory& m = memory_[state];
  for (std::uint32_t i = 0; i < m.count; ++i)
    if (!knows_key_of(threads_[m.from + i])) return false;
  return true;
}

Automaton::State Automaton::remember(State state, const std::string& text) {
  std::vector<Thread> out;
  const Memory m = memory_[state];
  for (std::uint32_t i = 0; i < m.count; ++i) out.push_back(remembered(threads_[m.from + i], text));
  return state_of(out);
}

}  // namespace bezel
