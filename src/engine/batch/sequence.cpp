#include "engine/batch/sequence.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"

namespace bezel {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

float logprob_of(std::span<const float> row, TokenId id) {
  const double x = static_cast<double>(row[static_cast<std::size_t>(id)]);
  return static_cast<float>(x - log_sum_exp(row));
}

}  // namespace

Sequence::Sequence(const SequenceRules& rules, Request request,
                   std::shared_ptr<constrain::Masks> masks, OnEvent on_event)
    : rules_(rules),
      request_(std::move(request)),
      on_event_(std::move(on_event)),
      ids_(std::move(request_.prompt)),
      prompt_size_(static_cast<int>(ids_.size())),
      masks_(std::move(masks)),
      sampler_(request_.sampling, rules.suppress, ids_),
      thought_(rules.thought_open, rules.thought_close, request_),
      stop_(request_.stop),
      text_(*rules.tokenizer, request_.show_markers) {}

void Sequence::begin(int reused) {
  BEZEL_CHECK(reused < prompt_size_);
  begun_ = true;
  held_ = reused;
  start_ = Clock::now();
  done_.prompt_tokens = prompt_size_;
  done_.reused_tokens = reused;
}

std::vector<TokenId> Sequence::give_up_ids() noexcept {
  ids_.resize(static_cast<std::size_t>(held_));  // fewer: takes no memory
  return std::move(ids_);
}

// Drafts behind the next id: neither context nor answer ends before them.
int Sequence::room_for_drafts() const {
  int room = rules_.context - held_ - 1;
  if (request_.max_tokens > 0)
    room = std::min(room, request_.max_tokens - static_cast<int>(done_.ids.size()) - 1);
  return rules_.lookup ? room : 0;
}

void Sequence::add_rows(Batch& batch, int slot, int most, int most_drafts) {
  rows_ = std::min(most, left());
  reads_ = 0;
  const auto add = [&](int pos, TokenId id, bool read) {
    batch.add(slot, pos, id, read);
    reads_ += read ? 1 : 0;
  };
  for (int pos = held_; pos < held_ + rows_; ++pos)
    add(pos, ids_[static_cast<std::size_t>(pos)],
        pos + 1 == static_cast<int>(ids_.size()) || (scores() && reading()));
  draft_.clear();
  right_ = 0;
  const int room = std::min(room_for_drafts(), most_drafts);
  if (reading() || room <= 0) return;
  draft_ = lookup_.draft(std::min(room, pace_.wanted()));
  for (std::size_t i = 0; i < draft_.size(); ++i)
    add(held_ + 1 + static_cast<int>(i), draft_[i], true);
}

void Sequence::ran(ConstMat logits, double seconds, bool alone) {
  held_ += rows_;
  if (reading()) {
    const bool shown = show_prompt(logits);
    if (!on_event_(PromptProgress{held_, prompt_size_}) || !shown || cancelled()) return cancel();
    if (left() > 0) return;
    begin_answer();
    return choose_from(logits.row_range(logits.rows - 1, 1));
  }
  choose_from(logits);
  done_.drafted += static_cast<int>(draft_.size());
  if (!draft_.empty())
    pace_.tried(static_cast<int>(draft_.size()), static_cast<int>(right_), seconds);
  else if (alone)
    pace_.plain(seconds);
}

// The log-probabilities of the prompt's ids behind the rows that have just run.
bool Sequence::show_prompt(ConstMat logits) {
  if (!scores()) return true;
  bool go_on = true;
  for (int r = 0; r < logits.rows; ++r) {
    const int next = held_ - logits.rows + r + 1;
    if (next >= prompt_size_) break;
    const auto row = logits.row_span(r);
    const TokenId id = ids_[static_cast<std::size_t>(next)];
    PromptToken token{id, logprob_of(row, id), {}};
    if (request_.logprobs > 0) token.best = best_logprobs(row, request_.logprobs);
    go_on = on_event_(token) && go_on;
  }
  return go_on;
}

void Sequence::begin_answer() {
  done_.prompt_seconds = seconds_since(start_);
  start_ = Clock::now();
  answering_ = true;
  if (masks_ != nullptr) masker_.emplace(masks_);
  if (rules_.lookup) lookup_.push(ids_);
}

// The next id of the answer, by the model's row and by what the constraint allows.
Result<TokenId> Sequence::choose(std::span<const float> row) {
  TokenId id = thought_.forced();
  const auto position = static_cast<std::uint64_t>(held_);
  if (id < 0 && !masker_) {
    BEZEL_TRY(id, sampler_.choose(row, position));
  } else if (id < 0) {
    const auto mask = masker_->mask();
    BEZEL_TRY(id, sampler_.choose(row, position, mask.get()));
  }
  thought_.push(id);
  if (masker_ && !masker_->accept(id))
    return Error{Errc::Unsupported, "the answer cannot go on within its constraint", ""};
  return id;
}

TextPiece Sequence::piece_of(std::span<const float> row, TokenId id, std::string text) const {
  TextPiece piece;
  piece.text = std::move(text);
  piece.id = id;
  if (request_.logprobs < 0) return piece;
  piece.logprob = logprob_of(row, id);
  if (request_.logprobs > 0) piece.best = best_logprobs(row, request_.logprobs);
  return piece;
}

// Row 0 is the one behind the last held id, the others are those of the drafts. Chooses until an id
// comes that has not run.
void Sequence::choose_from(ConstMat logits) {
  for (int r = 0;; ++r) {
    const auto row = logits.row_span(r);
    const Result<TokenId> chosen = choose(row);
    if (!chosen) return fail(chosen.error());
    const TokenId id = *chosen;
    done_.ids.push_back(id);
    const auto& ends = rules_.ends;
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) return end(DoneReason::EndToken);
    const bool go_on = on_event_(piece_of(row, id, stop_.push(text_.push(id))));
    if (stop_.stopped()) return end(DoneReason::StopText);
    if (!go_on || cancelled()) return end(DoneReason::Cancelled);
    if (static_cast<int>(done_.ids.size()) == request_.max_tokens)
      return end(DoneReason::MaxTokens);
    if (held_ == rules_.context) return end(DoneReason::ContextFull);
    ids_.push_back(id);
    if (rules_.lookup) lookup_.push(id);
    if (right_ == draft_.size() || draft_[right_] != id) return;
    ++right_;
    ++held_;
    ++done_.accepted;
  }
}

void Sequence::end(DoneReason reason) {
  done_.reason = reason;
  if (answering_) {
    std::string rest = stop_.push(text_.finish());  // in this order: finish() gives what is held
    rest += stop_.finish();
    if (stop_.stopped()) done_.reason = DoneReason::StopText;
    if (!rest.empty()) {
      TextPiece last;
      last.text = std::move(rest);
      on_event_(last);
    }
    done_.answer_seconds = seconds_since(start_);
  } else if (begun_) {
    done_.prompt_seconds = seconds_since(start_);
  }
  done_.stop_text = stop_.found();
  result_ = std::move(done_);
}

}  // namespace bezel
