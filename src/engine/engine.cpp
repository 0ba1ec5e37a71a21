#include "bezel/engine.h"

#include <fmt/format.h>

#include <new>
#include <utility>

#include "base/fp_env.h"
#include "base/json.h"
#include "engine/batch/prefix_store.h"
#include "engine/local_engine.h"

namespace bezel {

namespace {

using AnswerPtr = std::unique_ptr<Answer>;

// Rows whose logits are read at once: one of every sequence and, beside them, drafts of one or rows
// of prompts that are scored.
int last_rows(const EngineOptions& o) {
  constexpr int kScored = 31;
  if (o.sequences > 1) return o.sequences + kScored;
  return o.lookup ? 1 + Pace::kLongest : 1;
}

Status check_stops(const Request& r) {
  for (const std::string& s : r.stop)
    if (s.empty()) return Error{Errc::BadInput, "a stop text must not be empty", ""};
  return Ok{};
}

TokenId turn_marker(const Tokenizer& tokenizer) {
  const auto now = tokenizer.find("<|turn>");
  return now ? *now : tokenizer.find("<start_of_turn>").value_or(-1);  // Gemma 3
}

// In the scheduler while it lives.
class Queued {
 public:
  Queued(Scheduler& scheduler, Sequence& sequence) : scheduler_(scheduler), sequence_(sequence) {
    scheduler_.add(sequence_);
  }
  ~Queued() { scheduler_.remove(sequence_); }
  Queued(const Queued&) = delete;
  Queued& operator=(const Queued&) = delete;

 private:
  Scheduler& scheduler_;
  Sequence& sequence_;
};

}  // namespace

Result<Reply> Answer::take() {
  BEZEL_TRY(Done done, sequence->take());
  if (talker == nullptr) return Reply{{}, std::move(done)};
  talker->finish(done);
  return Reply{talker->take(), std::move(done)};
}

LocalEngine::LocalEngine(std::unique_ptr<Runner> runner, std::unique_ptr<Tokenizer> tokenizer,
                         const EngineOptions& options)
    : runner_(std::move(runner)),
      tokenizer_(std::move(tokenizer)),
      style_(choose_style(*tokenizer_, runner_->model().file().chat_template,
                          runner_->config().ple_dim > 0)),
      rules_({.tokenizer = tokenizer_.get(),
              .ends = end_ids(*tokenizer_, generation_defaults(runner_->model().file()).eos),
              .suppress = runner_->config().suppress,
              .thought_open = tokenizer_->find("<|channel>").value_or(-1),
              .thought_close = tokenizer_->find("<channel|>").value_or(-1),
              .turn_open = turn_marker(*tokenizer_),
              .context = runner_->context(),
              .lookup = options.lookup}),
      constraints_(*tokenizer_, rules_.ends),
      scheduler_(*runner_) {
  const Config& c = runner_->config();
  info_ = {.family = c.family,
           .variant = c.variant,
           .isa = runner_->table().name,
           .tokenizer = tokenizer_->kind(),
           .threads = runner_->threads(),
           .sequences = runner_->sequences(),
           .context = runner_->context(),
           .model_context = c.context,
           .vocab = c.vocab,
           .width = c.width,
           .has_template = !runner_->model().file().chat_template.empty(),
           .template_note = style_.warning,
           .memory = runner_->memory()};
  if (!options.cache_folder.empty()) load_prefixes(options);
}

void LocalEngine::load_prefixes(const EngineOptions& options) {
  cache_folder_ = options.cache_folder;
  prefix_key_ = prefix_key(runner_->model(), options);
  const auto note = bezel::load_prefixes(scheduler_.prefixes(), runner_->cache(), prefix_key_,
                                         info_.vocab, cache_folder_);
  info_.cache_note = note ? *note : note.error().text();
}

Status LocalEngine::store_prefixes() {
  if (cache_folder_.empty()) return Ok{};
  const KvCache& cache = runner_->cache();
  try {
    return bezel::store_prefixes(scheduler_.prefixes(), cache, prefix_key_, cache_folder_,
                                 cache.limit());
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory to store prefixes", cache_folder_};
  }
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

std::string LocalEngine::text_of(const std::vector<TokenId>& ids) const {
  Detokenizer text(*tokenizer_, true);
  std::string out;
  for (const TokenId id : ids)
    if (id >= 0 && id < info_.vocab) out += text.push(id);
  return out + text.finish();
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
  BEZEL_DO(check_stops(r));
  BEZEL_DO(runner_->check_ids(r.prompt));
  return check_sampling(r.sampling, info_.vocab);
}

Result<AnswerPtr> LocalEngine::open(const Request& request, OnEvent on_event) {
  BEZEL_TRY(auto masks, constraints_.open(request.constraint));
  BEZEL_DO(check(request));
  auto answer = std::make_unique<Answer>();
  answer->sequence =
      std::make_unique<Sequence>(rules_, request, std::move(masks), std::move(on_event));
  return answer;
}

Result<AnswerPtr> LocalEngine::open(const std::vector<Turn>& turns, const Talk& talk,
                                    const Request& rules, OnEvent on_event) {
  BEZEL_TRY(Prompt prompt, render_chat(*tokenizer_, style_.style, turns, talk));
  output::Options options;
  options.exact = rules.constraint.kind != Constraint::Kind::None;
  options.start = prompt.in_thought ? output::Start::Thought : output::Start::Content;
  options.thinking = talk.think;
  if (!talk.tools.empty()) {
    BEZEL_TRY(options.tools, parse_json(talk.tools, "tools"));
  }
  std::size_t n_calls = 0;
  for (const Turn& t : turns) n_calls += t.calls.size();
  BEZEL_DO(check_stops(rules));

  Request request = rules;
  request.prompt = std::move(prompt.ids);
  request.stop.clear();  // they count in the text alone
  request.in_thought = prompt.in_thought;
  request.thought_budget = talk.thought_budget;
  request.show_markers = false;
  BEZEL_TRY(auto masks, constraints_.open(rules.constraint, talk, prompt.in_thought));
  BEZEL_DO(check(request));
  auto answer = std::make_unique<Answer>();
  answer->on_event = std::move(on_event);
  answer->talker = std::make_unique<Talker>(*tokenizer_, std::move(options), rules.stop, n_calls,
                                            answer->on_event);
  answer->sequence = std::make_unique<Sequence>(
      rules_, std::move(request), std::move(masks),
      [talker = answer->talker.get()](const Event& e) { return talker->push(e); });
  return answer;
}

Result<Reply> LocalEngine::run(Result<AnswerPtr> answer) {
  if (!answer) return answer.error();
  const FpEnv env;
  Sequence& sequence = *(*answer)->sequence;
  const Queued place(scheduler_, sequence);
  while (!sequence.ended()) scheduler_.step();
  return (*answer)->take();
}

Result<Done> LocalEngine::generate(const Request& request, const OnEvent& on_event) {
  try {
    BEZEL_TRY(Reply reply, run(open(request, on_event)));
    return std::move(reply.done);
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

Result<Reply> LocalEngine::reply(const std::vector<Turn>& turns, const Talk& talk,
                                 const Request& rules, const OnEvent& on_event) {
  try {
    return run(open(turns, talk, rules, on_event));
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

Result<std::unique_ptr<LocalEngine>> LocalEngine::open(const EngineOptions& options, bool serves) {
  BEZEL_TRY(std::unique_ptr<Runner> runner, Runner::open({.engine = options,
                                                          .last_rows = last_rows(options),
                                                          .states = serves,
                                                          .tokenizer = true}));
  try {
    BEZEL_TRY(std::unique_ptr<Tokenizer> tokenizer, Tokenizer::load(runner->model().file()));
    return std::unique_ptr<LocalEngine>(
        new LocalEngine(std::move(runner), std::move(tokenizer), options));
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory for the tokenizer", options.model_path};
  }
}

Result<std::unique_ptr<Engine>> Engine::load(const EngineOptions& options) {
  BEZEL_TRY(std::unique_ptr<LocalEngine> engine, LocalEngine::open(options, false));
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace bezel
