#include "engine/batch/sequence.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/check.h"

namespace bezel {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEvery = 2048;  // positions between checkpoints of a text without turns

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

void Sequence::begin(int held) {
  BEZEL_CHECK(held < static_cast<int>(ids_.size()));
  held_ = held;
  if (begun_) return;
  begun_ = true;
  start_ = Clock::now();
  done_.prompt_tokens = prompt_size_;
  done_.reused_tokens = held;
}

void Sequence::preempt() {
  held_ = 0;
  ++done_.preemptions;
}

bool Sequence::boundary(int position) const {
  if (position == prompt_size_ || position % kEvery == 0) return true;
  return rules_.turn_open >= 0 && position < prompt_size_ &&
         ids_[static_cast<std::size_t>(position)] == rules_.turn_open;
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
        pos + 1 == static_cast<int>(ids_.size()) || (scores() && !answering_ && pos >= scored_));
  const int scored = request_.prompt_logprobs && !answering_
                         ? std::min(held_ + rows_, prompt_size_ - 1) - scored_
                         : 0;
  prompt_tokens_.assign(static_cast<std::size_t>(std::max(scored, 0)), {-1, 0, {}});
  draft_.clear();
  right_ = 0;
  const int room = std::min(room_for_drafts(), most_drafts);
  if (reading() || room <= 0) return;
  draft_ = lookup_.draft(std::min(room, pace_.wanted()));
  for (std::size_t i = 0; i < draft_.size(); ++i)
    add(held_ + 1 + static_cast<int>(i), draft_[i], true);
}

void Sequence::choose_ahead(ConstMat logits) noexcept {
  choice_.reset();
  if (rows_ < left() || request_.embedding) return;
  try {
    if (masks_ != nullptr && !masker_) masker_.emplace(masks_);
    choice_ = choose(logits.row_span(answering_ ? 0 : logits.rows - 1), held_ + rows_);
  } catch (const std::bad_alloc&) {  // ran() says so
  }
}

void Sequence::ran(ConstMat logits, ConstMat states, double seconds, bool alone) {
  held_ += rows_;
  const bool answered = answering_;
  if (!answered) {
    const bool shown = show_prompt();
    if (request_.embedding) add_states(states);
    if (!on_event_(PromptProgress{held_, prompt_size_}) || !shown || cancelled()) return cancel();
  }
  if (left() > 0) return;
  if (request_.embedding) return end(DoneReason::EndToken);
  if (!answered) {
    begin_answer();
    return choose_from(logits.row_range(logits.rows - 1, 1));
  }
  done_.drafted += static_cast<int>(draft_.size());
  choose_from(logits);
  if (!draft_.empty())
    pace_.tried(static_cast<int>(draft_.size()), static_cast<int>(right_), seconds);
  else if (alone && rows_ == 1)
    pace_.plain(seconds);
}

// The log-probability of the prompt's id behind a row.
void Sequence::score(int row, std::span<const float> logits) noexcept {
  PromptToken& token = prompt_tokens_[static_cast<std::size_t>(row)];
  try {
    const TokenId id = ids_[static_cast<std::size_t>(scored_ + row) + 1];
    if (request_.logprobs > 0) token.best = best_logprobs(logits, request_.logprobs);
    token.logprob = logprob_of(logits, id);
    token.id = id;
  } catch (const std::bad_alloc&) {  // ran() says so
  }
}

bool Sequence::show_prompt() {
  bool go_on = true;
  for (const PromptToken& token : prompt_tokens_) {
    if (token.id < 0) throw std::bad_alloc();
    go_on = on_event_(token) && go_on;
  }
  scored_ = std::max(scored_, held_);
  return go_on;
}

void Sequence::add_states(ConstMat states) {
  if (states.rows == 0) return;  // rows that are read again after a preemption
  states_.resize(static_cast<std::size_t>(states.cols));
  for (int r = 0; r < states.rows; ++r) {
    const auto row = states.row_span(r);
    for (std::size_t i = 0; i < states_.size(); ++i) states_[i] += static_cast<double>(row[i]);
  }
  if (left() > 0) return;
  for (const double sum : states_)
    done_.embedding.push_back(static_cast<float>(sum / prompt_size_));
}

void Sequence::begin_answer() {
  done_.prompt_seconds = seconds_since(start_);
  start_ = Clock::now();
  answering_ = true;
  if (rules_.lookup) lookup_.push(ids_);
}

// The next id of the answer, by the model's row and by what the constraint allows.
Result<TokenId> Sequence::choose_id(std::span<const float> row, int position) {
  TokenId id = thought_.forced();
  const auto at = static_cast<std::uint64_t>(position);
  if (id < 0 && !masker_) {
    BEZEL_TRY(id, sampler_.choose(row, at));
  } else if (id < 0) {
    const auto mask = masker_->mask();
    BEZEL_TRY(id, sampler_.choose(row, at, mask.get()));
  }
  thought_.push(id);
  if (masker_ && !masker_->accept(id))
    return Error{Errc::Unsupported, "the answer cannot go on within its constraint", ""};
  return id;
}

Result<Sequence::Choice> Sequence::choose(std::span<const float> row, int position) {
  Choice choice;
  BEZEL_TRY(choice.id, choose_id(row, position));
  if (request_.logprobs >= 0) choice.logprob = logprob_of(row, choice.id);
  if (request_.logprobs > 0) choice.best = best_logprobs(row, request_.logprobs);
  return choice;
}

// Row 0 is the one behind the last held id, for which choose_ahead() has chosen; the others are
// those of the drafts. Chooses until an id comes that has not run.
void Sequence::choose_from(ConstMat logits) {
  if (!choice_) throw std::bad_alloc();
  for (int r = 0;; ++r) {
    if (r > 0) choice_ = choose(logits.row_span(r), held_);
    if (!*choice_) return fail(choice_->error());
    Choice& choice = **choice_;
    const TokenId id = choice.id;
    done_.ids.push_back(id);
    const auto& ends = rules_.ends;
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) return end(DoneReason::EndToken);
    TextPiece piece{stop_.push(text_.push(id)), id, choice.logprob, std::move(choice.best)};
    const bool go_on = on_event_(piece);
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
  done_.thought_tokens = thought_.total();
  result_ = std::move(done_);
}

}  // namespace bezel
