#include "engine/batch/scheduler.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/check.h"

namespace bezel {

namespace {

constexpr double kNew = 0.25;      // weight of the newest measurement in a running mean
constexpr int kWorthCopying = 32;  // positions

Error no_memory() {
  return {Errc::NoMemory, "not enough memory for the answer", ""};
}

}  // namespace

Scheduler::Scheduler(Runner& runner)
    : runner_(runner),
      slots_(static_cast<std::size_t>(runner.sequences())),
      rows_(slots_.size(), 0) {}

int Scheduler::running() const {
  return static_cast<int>(
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.user != nullptr; }));
}

int Scheduler::positions_held() const {
  int n = 0;
  for (const Slot& s : slots_) n += s.user != nullptr ? s.user->held() : 0;
  return n;
}

std::span<const TokenId> Scheduler::ids_in(const Slot& s) const {
  if (s.user == nullptr) return s.kept;
  return s.user->ids().first(static_cast<std::size_t>(s.user->held()));
}

// The user goes; what it held stays.
void Scheduler::leave(Slot& s) {
  s.kept = s.user->give_up_ids();
  s.user = nullptr;
}

void Scheduler::remove(Sequence& sequence) {
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), &sequence), waiting_.end());
  for (Slot& s : slots_)
    if (s.user == &sequence) leave(s);
}

void Scheduler::drop_ended() {
  const auto gone = [](Sequence* s) {
    if (!s->ended() && s->cancelled()) s->cancel();
    return s->ended();
  };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), gone), waiting_.end());
  for (Slot& s : slots_)
    if (s.user != nullptr && gone(s.user)) leave(s);
}

// Positions of `prompt` that a slot holds and can go back to. The prompt's last id always runs: its
// logits are needed.
int Scheduler::common(std::size_t slot, std::span<const TokenId> prompt) const {
  const auto ids = ids_in(slots_[slot]);
  const auto end = std::mismatch(prompt.begin(), prompt.end(), ids.begin(), ids.end()).first;
  const auto same =
      std::min<std::size_t>(static_cast<std::size_t>(end - prompt.begin()), prompt.size() - 1);
  const int keep = static_cast<int>(same);
  return keep > 0 && runner_.can_rewind(keep, static_cast<int>(slot)) ? keep : 0;
}

// A free slot for a prompt of which slot `best` holds `keep` positions.
std::size_t Scheduler::slot_for(std::size_t best, int keep) const {
  const Slot& b = slots_[best];
  const bool most = 2 * keep >= static_cast<int>(b.kept.size());
  if (b.user == nullptr && keep > 0 && most) return best;
  std::size_t oldest = slots_.size();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].user != nullptr || i == best) continue;
    if (oldest == slots_.size() || slots_[i].since < slots_[oldest].since) oldest = i;
  }
  return oldest == slots_.size() ? best : oldest;
}

// Brings a free slot to the prompt's first `keep` positions; gives how many it holds then.
int Scheduler::place(std::size_t slot, std::size_t best, int keep) {
  const int to = static_cast<int>(slot), from = static_cast<int>(best);
  Slot& s = slots_[slot];
  s.kept.clear();  // true also when memory runs out here
  if (slot != best && keep < kWorthCopying) keep = 0;
  if (slot != best && keep > 0 && !runner_.copy(from, to, keep)) keep = 0;
  if (slot == best || keep == 0) keep = runner_.rewind(keep, to) ? keep : 0;
  return keep;
}

void Scheduler::seat_waiting() {
  while (!waiting_.empty() && running() < static_cast<int>(slots_.size())) {
    Sequence& next = *waiting_.front();
    std::size_t best = 0;
    int keep = 0;
    for (std::size_t i = 0; i < slots_.size() && !next.scores(); ++i) {
      const int n = common(i, next.ids());
      const bool better = n > keep || (n == keep && n > 0 && slots_[best].user != nullptr);
      if (better) best = i;
      keep = std::max(keep, n);
    }
    const std::size_t slot = slot_for(best, keep);
    keep = place(slot, best, keep);
    waiting_.erase(waiting_.begin());
    slots_[slot].user = &next;
    slots_[slot].since = ++clock_;
    next.begin(keep);
  }
}

// Rows of prompts in a pass that has `used` rows already.
int Scheduler::prompt_room(int used, bool answering) const {
  const int room = runner_.chunk() - used;
  if (slots_.size() == 1 || row_seconds_ == 0) return room;
  const double rows = (answering ? kAnswersWait : kOthersWait) / row_seconds_;
  return std::min(room, std::max(kLeastRows, static_cast<int>(std::min(rows, 1e6))));
}

void Scheduler::give(std::size_t slot, int& room, int most) {
  const int n = std::min({room, most, slots_[slot].user->left() - rows_[slot]});
  rows_[slot] += n;
  room -= n;
}

// Fills rows_.
void Scheduler::share_out() {
  std::fill(rows_.begin(), rows_.end(), 0);
  std::vector<std::size_t> readers;
  int used = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].user == nullptr) continue;
    if (slots_[i].user->reading()) {
      readers.push_back(i);
    } else {
      rows_[i] = 1;
      ++used;
    }
  }
  if (readers.empty()) return;
  std::sort(readers.begin(), readers.end(),
            [&](std::size_t a, std::size_t b) { return slots_[a].since < slots_[b].since; });
  const auto left = [&](std::size_t i) { return slots_[i].user->left(); };
  const std::size_t shortest =
      *std::min_element(readers.begin(), readers.end(),
                        [&](std::size_t a, std::size_t b) { return left(a) < left(b); });
  int room = prompt_room(used, used > 0);
  // The logits of all rows of a prompt that is scored: one such prompt at a time, in what is left
  // when everybody else reads one row.
  int reads = runner_.max_read() - static_cast<int>(slots_.size());
  const auto most = [&](std::size_t i) {
    if (!slots_[i].user->scores()) return room;
    return rows_[i] == 0 ? 1 + std::exchange(reads, 0) : 0;
  };
  give(shortest, room, std::min(most(shortest), (room + 1) / 2));
  for (const std::size_t i : readers) give(i, room, most(i));
}

void Scheduler::add_rows(std::size_t slot, int rows, int drafts) {
  Sequence& s = *slots_[slot].user;
  // Less than a chunk: what wrong drafts, or a pass that failed, left behind.
  BEZEL_CHECK(runner_.rewind(s.held(), static_cast<int>(slot)));
  s.add_rows(batch_, static_cast<int>(slot), rows, drafts);
}

// One pass over the rows of these slots. An error of a pass that several share is found by running
// each alone: the others go on.
void Scheduler::run(std::span<const std::size_t> parts) {
  batch_ = {};
  const bool alone = parts.size() == 1;
  const bool only = alone && running() == 1 && waiting_.empty();
  for (const std::size_t i : parts) add_rows(i, rows_[i], only ? runner_.max_read() - 1 : 0);
  int prompt_rows = 0;
  for (const std::size_t i : parts) prompt_rows += slots_[i].user->reading() ? rows_[i] : 0;
  const auto start = std::chrono::steady_clock::now();
  ConstMat states;  // of the read rows, behind the last norm
  const auto tap = [&](std::string_view what, int, ConstMat x) {
    if (what == "final_norm") states = x;
  };
  const auto hand_out = [&](ConstMat logits) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    learn(prompt_rows, took.count());
    int at = 0;
    for (const std::size_t i : parts) {
      Sequence& s = *slots_[i].user;
      const int n = s.reads();
      try {
        s.ran(logits.row_range(at, n), n > 0 ? states.row_range(at, n) : states, took.count(),
              only);
      } catch (const std::bad_alloc&) {
        s.fail(no_memory());
      }
      at += n;
    }
  };
  Status passed = Ok{};
  try {
    passed = runner_.pass(batch_, tap, hand_out);
  } catch (const std::bad_alloc&) {
    passed = no_memory();
  }
  ++passes_;
  if (passed) return;
  for (const std::size_t i : parts) {
    if (!alone) {
      run(std::span(&i, 1));
      continue;
    }
    Slot& s = slots_[i];
    s.user->fail(passed.error());
    s.user = nullptr;
    s.kept.clear();
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
  seat_waiting();
  share_out();
  std::vector<std::size_t> parts;
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (rows_[i] > 0) parts.push_back(i);
  if (parts.empty()) return false;
  run(parts);
  drop_ended();
  return true;
}

}  // namespace bezel
