// Many answers over one model: whose rows run in the next forward pass, and where their keys and
// values are kept.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/batch/prefix_tree.h"
#include "engine/batch/sequence.h"
#include "engine/runner.h"

namespace bezel {

// Every pass runs the next id of every answer that has begun, and rows of prompts in what room is
// left: while somebody's answer runs, as many as take kAnswersWait seconds; else, with more than
// one slot, kOthersWait seconds (kLeastRows at least). Half of that room goes to the prompt with
// the least left to read, the other half to the one that came first: short ones are not held up,
// long ones always go on. How rows are shared out changes no bit of any answer.
//
// Sequences are admitted in the order in which they come, and only when what their ids need fits
// beside what those in slots hold. What was read and written is kept in a prefix tree, at the ends
// of prompts and answers and at turns between; a sequence goes on from the longest prefix of its
// ids there. Memory that a sequence lacks is taken from the tree, then from the sequence that came
// last: it goes back to the head of the queue, later reads its ids again, from the tree if
// they are still there, and goes on with the same bits.
//
// Engine thread only.
class Scheduler {
 public:
  static constexpr double kAnswersWait = 0.25, kOthersWait = 1.0;
  static constexpr int kLeastRows = 16;

  explicit Scheduler(Runner& runner);

  // Sequences wait here, in order, until a slot is free. Each must be removed before it dies.
  void add(Sequence& sequence) { waiting_.push_back({&sequence, ++clock_}); }
  void remove(Sequence& sequence);
  // One forward pass, after which some sequences may have ended. Those that were cancelled end at
  // once. False when nothing is left to run.
  bool step();

  int running() const;
  int positions_held() const;  // of running sequences
  std::uint64_t cache_bytes() const { return runner_.cache().used_bytes(); }
  std::uint64_t passes() const { return passes_; }
  std::uint64_t preemptions() const { return preemptions_; }
  PrefixTree& prefixes() { return prefixes_; }
  const PrefixTree& prefixes() const { return prefixes_; }

 private:
  struct Entry {
    Sequence* sequence = nullptr;
    std::uint64_t number = 0;  // in the order of add()
  };
  void keep(std::size_t slot, int length);
  void leave(std::size_t slot);
  void drop_ended();
  bool fits(const Sequence& next) const;
  int go_on(const Sequence& next, std::size_t slot);
  void admit_waiting();
  bool make_room(std::size_t slot, int drafts);
  void preempt_last();
  bool only() const { return running() == 1 && waiting_.empty(); }
  int most_drafts() const { return only() ? runner_.max_read() - 1 : 0; }
  void share_out();
  bool wants_logits() const;
  int prompt_room(int used, bool answering) const;
  void run(std::span<const std::size_t> parts);
  void hand_out(std::span<const std::size_t> parts, ConstMat logits, ConstMat states,
                double seconds);
  void choose(std::span<const std::size_t> parts, ConstMat logits);
  void learn(int prompt_rows, double seconds);

  Runner& runner_;
  PrefixTree prefixes_;
  std::vector<Entry> slots_;  // no sequence: free
  std::vector<Entry> waiting_;
  std::vector<int> rows_;  // for every slot: rows of the next pass
  Batch batch_;
  std::uint64_t clock_ = 0, passes_ = 0, preemptions_ = 0;
  double row_seconds_ = 0, answer_seconds_ = 0;  // running means: a prompt's row, a pass without
};

}  // namespace bezel
