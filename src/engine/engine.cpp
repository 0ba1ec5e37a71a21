// Engine: a Runner with a tokenizer, and the loop that turns logits into an answer.
#include "bezel/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>
#include <span>

#include "base/fp_env.h"
#include "base/json.h"
#include "engine/constraint.h"
#include "engine/lookup.h"
#include "engine/runner.h"
#include "engine/sampling/sampler.h"
#include "engine/talk/stop.h"
#include "engine/talk/talker.h"
#include "engine/talk/thought.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace bezel {

namespace {

using Clock = std::chrono::steady_clock;
using OnEvent = std::function<bool(const Event&)>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool cancelled(const Request& r) {
  return r.cancel != nullptr && r.cancel->load();
}

using MaskerPtr = std::unique_ptr<constrain::Masker>;

// A constraint's start; too little memory for it is an Error.
template <class Open>
Result<MaskerPtr> opened(const Open& open) {
  try {
    return open();
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory for the constraint", ""};
  }
}

class LocalEngine final : public Engine {
 public:
  LocalEngine(std::unique_ptr<Runner> runner, std::unique_ptr<Tokenizer> tokenizer, bool lookup);

  const EngineInfo& info() const override { return info_; }
  Sampling default_sampling() const override;
  std::vector<TokenId> raw_prompt(std::string_view text, bool markers) const override;
  Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns,
                                           const Talk& talk) const override;
  Result<Done> generate(const Request& request, const OnEvent& on_event) override;
  Result<Reply> reply(const std::vector<Turn>& turns, const Talk& talk, const Request& rules,
                      const OnEvent& on_event) override;

 private:
  Status check(const Request& request) const;
  Result<bool> read_prompt(const Request& request, const OnEvent& on_event, Done& done);
  Result<Done> answer(const Request& request, const OnEvent& on_event, constrain::Masker* masker,
                      Done done);
  Result<TokenId> choose(Sampler& sampler, constrain::Masker* masker, ThoughtGuard& thought) const;
  Result<Done> run(const Request& request, constrain::Masker* masker, const OnEvent& on_event);
  TextPiece piece_of(const Request& request, TokenId id, std::string text) const;
  std::size_t room_for_drafts(const Request& request, const Done& done) const;
  Status advance(TokenId id, std::size_t room, Done& done);
  Status feed(std::span<const TokenId> ids);
  bool take_row(TokenId id);
  void drop_drafts();
  bool ends_answer(TokenId id) const {
    return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end();
  }

  std::unique_ptr<Runner> runner_;
  std::unique_ptr<Tokenizer> tokenizer_;
  StyleChoice style_;
  std::vector<TokenId> end_ids_;
  Constraints constraints_;
  EngineInfo info_;
  std::vector<TokenId> held_;  // ids whose keys and values the cache holds; drafts not among them
  std::vector<float> row_;     // logits of the last position, [V]

  // Speculation: ids that were run ahead, and the logits after each of them.
  bool lookup_on_;
  Lookup lookup_;
  Pace pace_;
  std::vector<TokenId> draft_;
  std::vector<std::vector<float>> draft_rows_;
  std::size_t right_ = 0;     // ids of draft_ that were chosen
  double draft_seconds_ = 0;  // of the pass that ran them
};

LocalEngine::LocalEngine(std::unique_ptr<Runner> runner, std::unique_ptr<Tokenizer> tokenizer,
                         bool lookup)
    : runner_(std::move(runner)),
      tokenizer_(std::move(tokenizer)),
      style_(choose_style(*tokenizer_, runner_->model().file().chat_template,
                          runner_->config().ple_dim > 0)),
      end_ids_(end_ids(*tokenizer_, generation_defaults(runner_->model().file()).eos)),
      constraints_(*tokenizer_, end_ids_),
      lookup_on_(lookup) {
  const Config& c = runner_->config();
  info_ = {.family = c.family,
           .variant = c.variant,
           .isa = runner_->table().name,
           .tokenizer = tokenizer_->kind(),
           .threads = runner_->threads(),
           .context = runner_->context(),
           .model_context = c.context,
           .vocab = c.vocab,
           .has_template = !runner_->model().file().chat_template.empty(),
           .template_note = style_.warning,
           .memory = runner_->memory()};
}

Sampling LocalEngine::default_sampling() const {
  const GenerationDefaults d = generation_defaults(runner_->model().file());
  Sampling s;
  s.temperature = d.temperature;
  s.top_k = d.top_k;
  s.top_p = d.top_p;
  return s;
}

std::vector<TokenId> LocalEngine::raw_prompt(std::string_view text, bool markers) const {
  std::vector<TokenId> ids = markers ? tokenizer_->encode(text) : tokenizer_->encode_plain(text);
  const TokenId bos = tokenizer_->bos();
  if (bos >= 0 && (ids.empty() || ids.front() != bos)) ids.insert(ids.begin(), bos);
  return ids;
}

Result<std::vector<TokenId>> LocalEngine::chat_prompt(const std::vector<Turn>& turns,
                                                      const Talk& talk) const {
  BEZEL_TRY(Prompt prompt, render_chat(*tokenizer_, style_.style, turns, talk));
  return std::move(prompt.ids);
}

Status LocalEngine::check(const Request& r) const {
  if (r.prompt.empty()) return Error{Errc::BadInput, "the prompt is empty", ""};
  const auto room = static_cast<std::size_t>(info_.context);
  if (r.prompt.size() > room)
    return Error{Errc::TooLarge,
                 fmt::format("the prompt has {} tokens and the context {}; shorten the prompt{}",
                             r.prompt.size(), room,
                             info_.context < info_.model_context ? " or raise --ctx" : ""),
                 ""};
  if (r.max_tokens < 0)
    return Error{Errc::BadInput, fmt::format("an answer cannot have {} tokens", r.max_tokens), ""};
  for (const std::string& s : r.stop)
    if (s.empty()) return Error{Errc::BadInput, "a stop text must not be empty", ""};
  return check_sampling(r.sampling, info_.vocab);
}

// Brings the cache to the whole prompt and row_ to its last logits. False when cancelled.
Result<bool> LocalEngine::read_prompt(const Request& r, const OnEvent& on_event, Done& done) {
  const auto start = Clock::now();
  const auto common = static_cast<std::size_t>(
      std::mismatch(r.prompt.begin(), r.prompt.end(), held_.begin(), held_.end()).first -
      r.prompt.begin());
  // The last token always runs: its logits are needed.
  const std::size_t keep = std::min(common, r.prompt.size() - 1);
  const std::size_t kept = runner_->rewind(static_cast<int>(keep)) ? keep : 0;
  held_.resize(kept);  // true also when an exception ends this early
  const std::span<const TokenId> fresh = std::span(r.prompt).subspan(kept);
  const int total = static_cast<int>(r.prompt.size());
  done.prompt_tokens = total;
  done.reused_tokens = static_cast<int>(kept);

  Runner::Hooks hooks;
  hooks.rows = [&](int, ConstMat logits) {
    const auto last = logits.row_span(logits.rows - 1);
    row_.assign(last.begin(), last.end());
    return true;
  };
  hooks.progress = [&](int n) {
    return on_event(PromptProgress{static_cast<int>(kept) + n, total}) && !cancelled(r);
  };
  const Status read = runner_->feed(fresh, fresh.size() - 1, hooks);
  held_.assign(r.prompt.begin(), r.prompt.begin() + runner_->length());
  done.prompt_seconds = seconds_since(start);
  if (read) return true;
  if (read.error().code == Errc::Cancelled) return false;
  return read.error();
}

TextPiece LocalEngine::piece_of(const Request& r, TokenId id, std::string text) const {
  TextPiece piece;
  piece.text = std::move(text);
  piece.id = id;
  if (r.logprobs < 0) return piece;
  const double x = static_cast<double>(row_[static_cast<std::size_t>(id)]);
  piece.logprob = static_cast<float>(x - log_sum_exp(row_));
  if (r.logprobs > 0) piece.best = best_logprobs(row_, r.logprobs);
  return piece;
}

// Runs an id and drafts; row_ and draft_rows_ become the logits after them.
Status LocalEngine::feed(std::span<const TokenId> ids) {
  draft_rows_.resize(ids.size() - 1);
  Runner::Hooks hooks;
  hooks.rows = [&](int first, ConstMat logits) {
    for (int r = 0; r < logits.rows; ++r) {
      const auto from = logits.row_span(r);
      const int at = first + r;
      (at == 0 ? row_ : draft_rows_[static_cast<std::size_t>(at) - 1])
          .assign(from.begin(), from.end());
    }
    return true;
  };
  return runner_->feed(ids, 0, hooks);
}

// Whether `id` is the next of the drafts; then row_ is the logits after it.
bool LocalEngine::take_row(TokenId id) {
  if (right_ == draft_.size() || draft_[right_] != id) return false;
  row_.swap(draft_rows_[right_++]);
  return true;
}

// The cache forgets drafts that were not chosen.
void LocalEngine::drop_drafts() {
  if (!draft_.empty()) {
    pace_.tried(static_cast<int>(draft_.size()), static_cast<int>(right_), draft_seconds_);
    BEZEL_CHECK(runner_->rewind(static_cast<int>(held_.size())));  // less than a chunk
  }
  draft_.clear();
  right_ = 0;
}

// Ids that may be run ahead behind the next one: neither context nor answer ends before them.
std::size_t LocalEngine::room_for_drafts(const Request& r, const Done& done) const {
  std::size_t room = static_cast<std::size_t>(info_.context) - held_.size() - 1;
  if (r.max_tokens > 0)
    room = std::min(room, static_cast<std::size_t>(r.max_tokens) - done.ids.size() - 1);
  return lookup_on_ ? std::min(room, static_cast<std::size_t>(runner_->max_read() - 1)) : 0;
}

// Goes one chosen id further; row_ becomes the logits after it. Runs at most `room` drafts.
Status LocalEngine::advance(TokenId id, std::size_t room, Done& done) {
  if (lookup_on_) lookup_.push(id);
  if (take_row(id)) {
    held_.push_back(id);
    ++done.accepted;
    return Ok{};
  }
  drop_drafts();
  if (room > 0) draft_ = lookup_.draft(std::min(static_cast<int>(room), pace_.wanted()));
  std::vector<TokenId> ids = {id};
  ids.insert(ids.end(), draft_.begin(), draft_.end());
  const auto start = Clock::now();
  Status status = feed(ids);
  draft_seconds_ = seconds_since(start);
  if (!status) {
    draft_.clear();
    return status;
  }
  if (draft_.empty()) pace_.plain(draft_seconds_);
  done.drafted += static_cast<int>(draft_.size());
  held_.push_back(id);
  return Ok{};
}

// The next id of the answer, by row_ and by what the constraint allows.
Result<TokenId> LocalEngine::choose(Sampler& sampler, constrain::Masker* masker,
                                    ThoughtGuard& thought) const {
  TokenId id = thought.forced();
  if (id < 0 && masker == nullptr) {
    BEZEL_TRY(id, sampler.choose(row_, held_.size()));
  } else if (id < 0) {
    const auto mask = masker->mask();
    BEZEL_TRY(id, sampler.choose(row_, held_.size(), *mask));
  }
  thought.push(id);
  if (masker != nullptr && !masker->accept(id))
    return Error{Errc::Unsupported, "the answer cannot go on within its constraint", ""};
  return id;
}

Result<Done> LocalEngine::answer(const Request& r, const OnEvent& on_event,
                                 constrain::Masker* masker, Done done) {
  const auto start = Clock::now();
  Sampler sampler(r.sampling, runner_->config().suppress, r.prompt);
  ThoughtGuard thought(tokenizer_->find("<|channel>").value_or(-1),
                       tokenizer_->find("<channel|>").value_or(-1), r);
  StopScanner stop(r.stop);
  Detokenizer text(*tokenizer_, r.show_markers);
  lookup_ = Lookup();
  if (lookup_on_) lookup_.push(r.prompt);
  draft_.clear();
  right_ = 0;
  std::optional<DoneReason> reason;
  while (!reason) {
    BEZEL_TRY(const TokenId id, choose(sampler, masker, thought));
    done.ids.push_back(id);
    if (ends_answer(id)) {
      reason = DoneReason::EndToken;
      break;
    }
    const bool go_on = on_event(piece_of(r, id, stop.push(text.push(id))));
    if (stop.stopped()) {
      reason = DoneReason::StopText;
    } else if (!go_on || cancelled(r)) {
      reason = DoneReason::Cancelled;
    } else if (static_cast<int>(done.ids.size()) == r.max_tokens) {
      reason = DoneReason::MaxTokens;
    } else if (static_cast<int>(held_.size()) == info_.context) {
      reason = DoneReason::ContextFull;
    } else if (const Status fed = advance(id, room_for_drafts(r, done), done); !fed) {
      held_.resize(static_cast<std::size_t>(runner_->length()));
      return fed.error();
    }
  }
  drop_drafts();
  std::string rest = stop.push(text.finish());  // in this order: finish() gives out what is held
  rest += stop.finish();
  if (stop.stopped()) reason = DoneReason::StopText;
  if (!rest.empty()) {
    TextPiece last;
    last.text = std::move(rest);
    on_event(last);
  }
  done.reason = *reason;
  done.stop_text = stop.found();
  done.answer_seconds = seconds_since(start);
  return done;
}

Result<Done> LocalEngine::generate(const Request& request, const OnEvent& on_event) {
  BEZEL_TRY(const auto masker, opened([&] { return constraints_.open(request.constraint); }));
  return run(request, masker.get(), on_event);
}

Result<Done> LocalEngine::run(const Request& request, constrain::Masker* masker,
                              const OnEvent& on_event) {
  const FpEnv env;
  BEZEL_DO(check(request));
  try {
    Done done;
    BEZEL_TRY(const bool read, read_prompt(request, on_event, done));
    if (read) return answer(request, on_event, masker, std::move(done));
    done.reason = DoneReason::Cancelled;
    return done;
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory for the answer", ""};
  }
}

Result<Reply> LocalEngine::reply(const std::vector<Turn>& turns, const Talk& talk,
                                 const Request& rules, const OnEvent& on_event) {
  BEZEL_TRY(Prompt prompt, render_chat(*tokenizer_, style_.style, turns, talk));
  output::Options options;
  options.start = prompt.in_thought ? output::Start::Thought : output::Start::Content;
  options.thinking = talk.think;
  if (!talk.tools.empty()) {
    BEZEL_TRY(options.tools, parse_json(talk.tools, "tools"));
  }
  std::size_t n_calls = 0;
  for (const Turn& t : turns) n_calls += t.calls.size();
  for (const std::string& s : rules.stop)
    if (s.empty()) return Error{Errc::BadInput, "a stop text must not be empty", ""};
  Talker talker(*tokenizer_, std::move(options), rules.stop, n_calls, on_event);

  Request request = rules;
  request.prompt = std::move(prompt.ids);
  request.stop.clear();  // they count in the text alone
  request.in_thought = prompt.in_thought;
  request.thought_budget = talk.thought_budget;
  request.show_markers = false;
  BEZEL_TRY(const auto masker,
            opened([&] { return constraints_.open(rules.constraint, talk, prompt.in_thought); }));
  BEZEL_TRY(Done done, run(request, masker.get(), [&](const Event& e) { return talker.push(e); }));
  talker.finish(done);
  return Reply{talker.take(), std::move(done)};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const EngineOptions& options) {
  BEZEL_TRY(std::unique_ptr<Runner> runner,
            Runner::open({.engine = options,
                          .last_rows = options.lookup ? 1 + Pace::kLongest : 1,
                          .tokenizer = true}));
  try {
    BEZEL_TRY(std::unique_ptr<Tokenizer> tokenizer, Tokenizer::load(runner->model().file()));
    return std::unique_ptr<Engine>(
        std::make_unique<LocalEngine>(std::move(runner), std::move(tokenizer), options.lookup));
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory for the tokenizer", options.model_path};
  }
}

}  // namespace bezel
