#include "engine/batch/scheduler.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <new>
#include <utility>

#include "base/check.h"

namespace bezel {

namespace {

constexpr double kNew = 0.25;  // weight of the newest measurement in a running mean

}  // namespace

Scheduler::Scheduler(Runner& runner)
    : runner_(runner),
      prefixes_(runner.cache()),
      slots_(static_cast<std::size_t>(runner.sequences())),
      rows_(slots_.size(), 0) {}

int Scheduler::running() const {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(),
                                        [](const Entry& g) { return g.sequence != nullptr; }));
}

int Scheduler::positions_held() const {
  int n = 0;
  for (const Entry& g : slots_) n += g.sequence != nullptr ? g.sequence->held() : 0;
  return n;
}

// The first `length` positions of a slot, for whoever begins alike. Without memory for that they
// are read again.
void Scheduler::keep(std::size_t slot, int length) {
  const int seq = static_cast<int>(slot);
  if (length < 1 || !runner_.cache().can_rewind(seq, length)) return;
  try {
    const auto ids = slots_[slot].sequence->ids().first(static_cast<std::size_t>(length));
    prefixes_.insert(ids, runner_.cache().share(seq, length));
  } catch (const std::bad_alloc&) {
  }
}

// The sequence goes; what it held stays.
void Scheduler::leave(std::size_t slot) {
  keep(slot, slots_[slot].sequence->held());
  runner_.clear(static_cast<int>(slot));
  slots_[slot].sequence = nullptr;
}

void Scheduler::remove(Sequence& sequence) {
  const auto is = [&](const Entry& g) { return g.sequence == &sequence; };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), is), waiting_.end());
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (is(slots_[i])) leave(i);
}

void Scheduler::drop_ended() {
  const auto gone = [](const Entry& g) {
    if (!g.sequence->ended() && g.sequence->cancelled()) g.sequence->cancel();
    return g.sequence->ended();
  };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), gone), waiting_.end());
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].sequence != nullptr && gone(slots_[i])) leave(i);
}

// Whether the ids of a sequence, and a page for what comes, fit beside what the others hold. The
// first one always does.
bool Scheduler::fits(const Sequence& next) const {
  const KvCache& cache = runner_.cache();
  const auto need = [&](const Sequence& s) {
    return cache.bytes_for(static_cast<int>(s.ids().size()) + kSegment);
  };
  std::uint64_t sum = need(next);
  for (const Entry& g : slots_) sum += g.sequence != nullptr ? need(*g.sequence) : 0;
  return running() == 0 || sum <= cache.limit();
}

// Brings a free slot to the longest kept prefix of the sequence's ids; gives how many it holds
// then.
int Scheduler::go_on(const Sequence& next, std::size_t slot) {
  const auto found = prefixes_.find(next.ids().first(static_cast<std::size_t>(next.reusable())));
  if (found.length > 0)
    runner_.cache().restore(static_cast<int>(slot), *found.checkpoint, found.length);
  return found.length;
}

void Scheduler::admit_waiting() {
  while (!waiting_.empty() && running() < static_cast<int>(slots_.size())) {
    const Entry next = waiting_.front();
    if (!fits(*next.sequence)) return;
    const auto free = std::find_if(slots_.begin(), slots_.end(),
                                   [](const Entry& g) { return g.sequence == nullptr; });
    const int held = go_on(*next.sequence, static_cast<std::size_t>(free - slots_.begin()));
    waiting_.erase(waiting_.begin());
    *free = next;
    next.sequence->begin(held);
  }
}

// The sequence that came last waits again, before all others.
void Scheduler::preempt_last() {
  std::size_t last = slots_.size();
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].sequence != nullptr &&
        (last == slots_.size() || slots_[i].number > slots_[last].number))
      last = i;
  const Entry entry = slots_[last];
  waiting_.insert(waiting_.begin(), entry);
  rows_[last] = 0;
  leave(last);
  entry.sequence->preempt();
  ++preemptions_;
}

// Memory for the rows that a slot runs next. False: it is free now.
bool Scheduler::make_room(std::size_t slot, int drafts) {
  const int seq = static_cast<int>(slot);
  Sequence& s = *slots_[slot].sequence;
  // Less than a chunk: what wrong drafts, or a pass that failed, left behind.
  BEZEL_CHECK(runner_.rewind(s.held(), seq));
  const int wanted = s.held() + rows_[slot] + (s.reading() ? 0 : drafts);
  for (;;) {
    const Status room = runner_.cache().reserve(seq, std::min(wanted, runner_.context()));
    if (room) return true;
    if (room.error().code == Errc::NoMemory && prefixes_.evict_one()) continue;
    if (room.error().code != Errc::NoMemory || running() == 1) {
      s.fail(room.error());
      rows_[slot] = 0;
      leave(slot);
      return false;
    }
    preempt_last();
    if (slots_[slot].sequence == nullptr) return false;
  }
}

// Rows of prompts in a pass that has `used` rows already.
int Scheduler::prompt_room(int used, bool answering) const {
  const int room = runner_.chunk() - used;
  if (slots_.size() == 1 || row_seconds_ == 0) return room;
  const double rows = (answering ? kAnswersWait : kOthersWait) / row_seconds_;
  return std::min(room, std::max(kLeastRows, static_cast<int>(std::min(rows, 1e6))));
}

bool Scheduler::wants_logits() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Entry& g) {
    return g.sequence != nullptr && g.sequence->wants_logits();
  });
}

// Fills rows_.
void Scheduler::share_out() {
  std::fill(rows_.begin(), rows_.end(), 0);
  std::vector<std::size_t> readers;
  int used = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].sequence == nullptr) continue;
    if (slots_[i].sequence->reading()) {
      readers.push_back(i);
    } else {
      rows_[i] = 1;
      ++used;
    }
  }
  if (readers.empty()) return;
  std::sort(readers.begin(), readers.end(),
            [&](std::size_t a, std::size_t b) { return slots_[a].number < slots_[b].number; });
  const auto left = [&](std::size_t i) { return slots_[i].sequence->left(); };
  const std::size_t shortest =
      *std::min_element(readers.begin(), readers.end(),
                        [&](std::size_t a, std::size_t b) { return left(a) < left(b); });
  int room = prompt_room(used, used > 0);
  // All rows of a prompt that is scored are read. Such prompts share what is left when every
  // sequence reads one row.
  int reads = runner_.max_read(wants_logits()) - static_cast<int>(slots_.size());
  const auto give = [&](std::size_t i, int most, int most_reads) {
    const Sequence& s = *slots_[i].sequence;
    const int own = rows_[i] == 0 ? 1 : 0;
    if (s.scores()) most = std::min(most, own + most_reads);
    const int n = std::min({room, most, left(i) - rows_[i]});
    rows_[i] += n;
    room -= n;
    if (s.scores() && n > 0) reads -= n - own;
  };
  give(shortest, (room + 1) / 2, (reads + 1) / 2);
  for (const std::size_t i : readers) give(i, room, reads);
}

// The next ids of all parts are chosen, and the rows of prompts that are scored are looked at, as
// one job of the pool. Sequences that share masks are one item of it.
void Scheduler::choose(std::span<const std::size_t> parts, ConstMat logits) {
  using Rows = std::vector<std::pair<Sequence*, ConstMat>>;
  std::map<const constrain::Masks*, Rows> shared;
  std::vector<std::function<void()>> items;
  int at = 0;
  for (const std::size_t i : parts) {
    Sequence& s = *slots_[i].sequence;
    const ConstMat rows = logits.row_range(at, s.reads());
    at += rows.rows;
    for (int r = 0; r < s.rows_to_score(); ++r)
      items.emplace_back([&s, r, rows] { s.score(r, rows.row_span(r)); });
    if (s.masks() != nullptr)
      shared[s.masks()].emplace_back(&s, rows);
    else
      items.emplace_back([&s, rows] { s.choose_ahead(rows); });
  }
  for (const auto& entry : shared)
    items.emplace_back([&rows_of = entry.second] {
      for (const auto& [s, rows] : rows_of) s->choose_ahead(rows);
    });
  const auto run_item = [&](int n) { items[static_cast<std::size_t>(n)](); };
  if (items.size() == 1) return run_item(0);
  runner_.share_out(static_cast<int>(items.size()), run_item);
}

void Scheduler::hand_out(std::span<const std::size_t> parts, ConstMat logits, ConstMat states,
                         double seconds) {
  const bool alone = parts.size() == 1 && only();
  choose(parts, logits);
  int at = 0;
  for (const std::size_t i : parts) {
    Sequence& s = *slots_[i].sequence;
    const int n = s.reads(), before = s.held();
    try {
      s.ran(logits.row_range(at, n), states.rows > 0 ? states.row_range(at, n) : states, seconds,
            alone);
    } catch (const std::bad_alloc&) {
      s.fail(no_memory());
    }
    at += n;
    for (int position = before + 1; position <= s.held(); ++position)
      if (s.boundary(position)) keep(i, position);
  }
}

// One pass over the rows of these slots. An error of a pass that several share is found by running
// each alone: the others go on.
void Scheduler::run(std::span<const std::size_t> parts) {
  batch_ = {};
  batch_.logits = false;
  int prompt_rows = 0;
  for (const std::size_t i : parts) {
    Sequence& s = *slots_[i].sequence;
    batch_.logits |= s.wants_logits();
    prompt_rows += s.reading() ? rows_[i] : 0;
    s.add_rows(batch_, static_cast<int>(i), rows_[i], most_drafts());
  }
  const auto start = std::chrono::steady_clock::now();
  ConstMat states;  // of the read rows, behind the last norm
  const auto tap = [&](std::string_view what, int, ConstMat x) {
    if (what == "final_norm") states = x;
  };
  Status passed = Ok{};
  try {
    passed = runner_.pass(batch_, tap, [&](ConstMat logits) {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      learn(prompt_rows, took.count());
      hand_out(parts, logits, states, took.count());
    });
  } catch (const std::bad_alloc&) {
    passed = no_memory();
  }
  ++passes_;
  if (passed) return;
  for (const std::size_t i : parts) {
    if (slots_[i].sequence == nullptr) continue;  // preempted meanwhile
    if (parts.size() > 1) {
      if (make_room(i, most_drafts())) run(std::span(&i, 1));
      continue;
    }
    slots_[i].sequence->fail(passed.error());
    slots_[i].sequence = nullptr;
    runner_.clear(static_cast<int>(i));
  }
}

void Scheduler::learn(int prompt_rows, double seconds) {
  const auto mean = [](double& m, double x) { m = m == 0 ? x : m + kNew * (x - m); };
  if (prompt_rows == 0)
    mean(answer_seconds_, seconds);
  else if (prompt_rows >= kLeastRows / 2)
    mean(row_seconds_, std::max(1e-9, seconds - answer_seconds_) / prompt_rows);
}

bool Scheduler::step() {
  drop_ended();
  admit_waiting();
  share_out();
  std::vector<std::size_t> parts;
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (rows_[i] > 0) parts.push_back(i);
  std::sort(parts.begin(), parts.end(),
            [&](std::size_t a, std::size_t b) { return slots_[a].number < slots_[b].number; });
  if (parts.empty()) return false;
  const int drafts = most_drafts();
  for (const std::size_t i : parts)
    if (rows_[i] > 0) make_room(i, drafts);
  parts.erase(
      std::remove_if(parts.begin(), parts.end(), [&](std::size_t i) { return rows_[i] == 0; }),
      parts.end());
  std::sort(parts.begin(), parts.end());
  if (!parts.empty()) run(parts);
  drop_ended();
  return true;
}

}  // namespace bezel
