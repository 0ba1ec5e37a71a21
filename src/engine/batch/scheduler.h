// Many answers over one model: whose rows run in the next forward pass, and where their keys and
// values are kept.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/batch/sequence.h"
#include "engine/runner.h"

namespace bezel {

// Every pass runs the next id of every answer that has begun, and rows of prompts in what room is
// left: while somebody's answer runs, as many as take kAnswersWait seconds; else, with more than
// one slot, kOthersWait seconds (kLeastRows at least). Half of that room goes to the prompt with
// the least left to read, the other half to the one that waits longest: short ones are not held up,
// long ones always go on. How rows are shared out changes no bit of any answer.
//
// A slot holds the keys and values of one sequence and keeps them after its end. A new prompt goes
// on from the slot that holds most of its beginning: in its place, or as a copy when another
// sequence uses that slot or would lose more than half of what it holds.
//
// Engine thread only.
class Scheduler {
 public:
  static constexpr double kAnswersWait = 0.25, kOthersWait = 1.0;
  static constexpr int kLeastRows = 16;

  explicit Scheduler(Runner& runner);

  // Sequences wait here, in order, until a slot is free. Each must be removed before it dies.
  void add(Sequence& sequence) { waiting_.push_back(&sequence); }
  void remove(Sequence& sequence);
  // One forward pass, after which some sequences may have ended. Those that were cancelled end at
  // once. False when nothing is left to run.
  bool step();

  int running() const;
  int waiting() const { return static_cast<int>(waiting_.size()); }
  int positions_held() const;  // of running sequences
  std::uint64_t passes() const { return passes_; }

 private:
  struct Slot {
    std::vector<TokenId> kept;  // ids whose K and V are held, while nobody uses the slot
    Sequence* user = nullptr;
    std::uint64_t since = 0;  // when its user came, in order
  };
  std::span<const TokenId> ids_in(const Slot& slot) const;
  void leave(Slot& slot);
  void drop_ended();
  void seat_waiting();
  int common(std::size_t slot, std::span<const TokenId> prompt) const;
  int place(std::size_t slot, std::size_t best, int keep);
  std::size_t slot_for(std::size_t best, int keep) const;
  void share_out();
  void give(std::size_t slot, int& room, int most);
  int prompt_room(int used, bool answering) const;
  void add_rows(std::size_t slot, int rows, int drafts);
  void run(std::span<const std::size_t> parts);
  void learn(int prompt_rows, double seconds);

  Runner& runner_;
  std::vector<Slot> slots_;
  std::vector<Sequence*> waiting_;
  std::vector<int> rows_;  // for every slot: rows of the next pass
  Batch batch_;
  std::uint64_t clock_ = 0, passes_ = 0;
  double row_seconds_ = 0, answer_seconds_ = 0;  // running means: a prompt's row, a pass without
};

}  // namespace bezel
