// One answer in the making: which ids must run next, and what becomes of the logits.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bezel/engine.h"
#include "engine/lookup.h"
#include "engine/sampling/sampler.h"
#include "engine/talk/stop.h"
#include "engine/talk/thought.h"
#include "model/model.h"
#include "text/constrain/masker.h"
#include "text/tokenizer.h"

namespace bezel {

// What all answers of an engine share.
struct SequenceRules {
  const Tokenizer* tokenizer = nullptr;
  std::vector<TokenId> ends, suppress;
  TokenId thought_open = -1, thought_close = -1;
  TokenId turn_open = -1;  // begins every turn of a conversation
  int context = 0;
  bool lookup = true;
};

// How an answer ends when memory runs out.
inline Error no_memory() {
  return {Errc::NoMemory, "not enough memory for the answer", ""};
}

// Engine thread only, its construction and destruction excepted. The rules must outlive it.
class Sequence {
 public:
  using OnEvent = std::function<bool(const Event&)>;
  // `request` has been checked; `masks`: null where anything goes.
  Sequence(const SequenceRules& rules, Request request, std::shared_ptr<constrain::Masks> masks,
           OnEvent on_event);

  // Ids that may be gone on from without running: not the last one, whose logits are needed, and
  // none that are still to be read.
  int reusable() const {
    return scores() && !answering_ ? scored_ : static_cast<int>(ids_.size()) - 1;
  }
  // The first `held` ids are held by the cache, reusable() at most. At the start, and again after
  // preempt().
  void begin(int held);
  // What it held is gone.
  void preempt();
  // Not all ids but the last have run: more than one at a time may.
  bool reading() const { return !answering_ || left() > 1; }
  // Wants every row of the prompt read.
  bool scores() const { return request_.prompt_logprobs || request_.embedding; }
  bool wants_logits() const { return !request_.embedding || request_.prompt_logprobs; }
  int left() const { return static_cast<int>(ids_.size()) - held_; }  // ids that have not run yet
  int held() const { return held_; }
  // Prompt, then chosen ids. The cache holds the first held() of them.
  std::span<const TokenId> ids() const { return ids_; }
  // A good place to go on from later: the end of the prompt, before a turn, and now and then.
  bool boundary(int position) const;

  // Adds the rows that run next: up to `most` ids, behind the last one up to `most_drafts` drafts.
  void add_rows(Batch& batch, int slot, int most, int most_drafts);
  // Rows of the last add_rows() whose logits are wanted.
  int reads() const { return reads_; }
  // Those rows have run; `logits`: reads() rows. Chooses the next id, when all ids have. Touches
  // nothing but this sequence and masks(): any thread, and those that share no masks at once.
  void choose_ahead(ConstMat logits) noexcept;
  // Of these rows the first so many are scored: each on its own, by any thread.
  int rows_to_score() const { return static_cast<int>(prompt_tokens_.size()); }
  void score(int row, std::span<const float> logits) noexcept;
  const constrain::Masks* masks() const { return masks_.get(); }
  // What follows from that: events, and the choices behind drafts. `states` behind the last norm:
  // reads() rows. The pass took `seconds`; `alone`: no other sequence was in it.
  void ran(ConstMat logits, ConstMat states, double seconds, bool alone);

  bool cancelled() const { return request_.cancel != nullptr && request_.cancel->load(); }
  void cancel() { end(DoneReason::Cancelled); }
  void fail(Error error) { result_ = std::move(error); }
  bool ended() const { return result_.has_value(); }
  Result<Done> take() { return *std::move(result_); }

 private:
  // The next id with what is told of it.
  struct Choice {
    TokenId id = 0;
    float logprob = 0;
    std::vector<TokenLogprob> best;
  };
  void begin_answer();
  bool show_prompt();
  void add_states(ConstMat states);
  void choose_from(ConstMat logits);
  Result<Choice> choose(std::span<const float> row, int position);
  Result<TokenId> choose_id(std::span<const float> row, int position);
  int room_for_drafts() const;
  void end(DoneReason reason);

  const SequenceRules& rules_;
  Request request_;
  OnEvent on_event_;
  std::vector<TokenId> ids_;
  int prompt_size_, held_ = 0;
  int rows_ = 0, reads_ = 0;  // of the last add_rows()
  int scored_ = 0;            // prompt rows that were shown
  bool begun_ = false, answering_ = false;
  std::optional<Result<Choice>> choice_;    // from choose_ahead(), for ran()
  std::vector<PromptToken> prompt_tokens_;  // from score(), for ran(); id -1: no memory
  std::shared_ptr<constrain::Masks> masks_;
  std::optional<constrain::Masker> masker_;
  Sampler sampler_;
  ThoughtGuard thought_;
  StopScanner stop_;
  Detokenizer text_;
  Lookup lookup_;
  Pace pace_;
  std::vector<TokenId> draft_;
  std::size_t right_ = 0;  // ids of draft_ that were chosen
  std::chrono::steady_clock::time_point start_;
  std::vector<double> states_;  // of the prompt, added up; only for an embedding
  Done done_;
  std::optional<Result<Done>> result_;
};

}  // namespace bezel
