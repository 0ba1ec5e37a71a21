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
  int context = 0;
  bool lookup = true;
};

// Engine thread only, its construction and destruction excepted. The rules must outlive it.
class Sequence {
 public:
  using OnEvent = std::function<bool(const Event&)>;
  // `request` has been checked; `masks`: null where anything goes.
  Sequence(const SequenceRules& rules, Request request, std::shared_ptr<constrain::Masks> masks,
           OnEvent on_event);

  // The first `reused` ids of the prompt are held by the cache; fewer than all.
  void begin(int reused);
  bool begun() const { return begun_; }
  bool reading() const { return !answering_; }
  // Wants every row of the prompt read.
  bool scores() const { return request_.prompt_logprobs || request_.embedding; }
  int left() const { return static_cast<int>(ids_.size()) - held_; }  // ids that have not run yet
  int held() const { return held_; }
  // Prompt, then chosen ids. The cache holds the first held() of them.
  std::span<const TokenId> ids() const { return ids_; }

  std::vector<TokenId> give_up_ids() noexcept;  // the held ones

  // Adds the rows that run next: up to `most` ids, behind the last one up to `most_drafts` drafts.
  void add_rows(Batch& batch, int slot, int most, int most_drafts);
  // Rows of the last add_rows() whose logits are wanted.
  int reads() const { return reads_; }
  // Those rows have run, in a pass that took `seconds`; `alone`: no other sequence was in it.
  // `logits`, and `states` behind the last norm: reads() rows.
  void ran(ConstMat logits, ConstMat states, double seconds, bool alone);

  bool cancelled() const { return request_.cancel != nullptr && request_.cancel->load(); }
  void cancel() { end(DoneReason::Cancelled); }
  void fail(Error error) { result_ = std::move(error); }
  bool ended() const { return result_.has_value(); }
  Result<Done> take() { return *std::move(result_); }

 private:
  void begin_answer();
  bool show_prompt(ConstMat logits);
  void add_states(ConstMat states);
  void choose_from(ConstMat logits);
  Result<TokenId> choose(std::span<const float> row);
  TextPiece piece_of(std::span<const float> row, TokenId id, std::string text) const;
  int room_for_drafts() const;
  void end(DoneReason reason);

  const SequenceRules& rules_;
  Request request_;
  OnEvent on_event_;
  std::vector<TokenId> ids_;
  int prompt_size_, held_ = 0;
  int rows_ = 0, reads_ = 0;  // of the last add_rows()
  bool begun_ = false, answering_ = false;
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
