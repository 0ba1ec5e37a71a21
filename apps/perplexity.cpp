// bezel perplexity: how well a model predicts a text.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "common.h"
#include "engine/sampling/sampler.h"
#include "kernels/math/precise.h"
#include "text/tokenizer.h"

namespace bezel::app {

namespace {

constexpr std::uint64_t kMaxTextBytes = 1U << 30U;

struct PerplexityFlags {
  std::string text, per_token;
  IdsFlags ids;
  ModelFlags with;
  int window = 0;
  bool json = false;
};

// The ids to score: those of the ids file as they are, or bos and those of the text.
Result<std::vector<TokenId>> scored_ids(const PerplexityFlags& f) {
  if (!f.ids.file.empty()) return f.ids.read();
  BEZEL_TRY(const std::string text, read_file(f.text, kMaxTextBytes));
  BEZEL_TRY(const TensorFile file, open_tensor_file(f.with.options.model_path));
  BEZEL_TRY(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::load(file));
  std::vector<TokenId> ids = tokenizer->encode_plain(text);
  if (tokenizer->bos() >= 0) ids.insert(ids.begin(), tokenizer->bos());
  return ids;
}

// Scores ids[1 .. n): each given all before it, or, with a window of w ids, the first id and those
// since the window's begin. Windows hold w - 1 scored ids each.
class Scorer {
 public:
  Scorer(Runner& runner, std::span<const TokenId> ids, std::unique_ptr<AtomicFile> per_token)
      : runner_(runner),
        ids_(ids),
        per_token_(std::move(per_token)),
        bar_("scoring", "tokens", ids.size() - 1) {}

  Status score(int window) {
    const std::size_t step = window > 0 ? static_cast<std::size_t>(window) - 1 : ids_.size() - 1;
    for (std::size_t at = 1; at < ids_.size(); at += step) {
      const std::size_t n = std::min(step, ids_.size() - at);
      std::vector<TokenId> piece{ids_[0]};
      piece.insert(piece.end(), ids_.begin() + static_cast<std::ptrdiff_t>(at),
                   ids_.begin() + static_cast<std::ptrdiff_t>(at + n - 1));
      Runner::Hooks hooks;
      hooks.rows = [&](int first, ConstMat logits) {
        take_rows(at + static_cast<std::size_t>(first), logits);
        return !InterruptGuard::flag().load();
      };
      runner_.clear();
      BEZEL_DO(runner_.feed(piece, 0, hooks));
    }
    if (per_token_) return per_token_->commit();
    return Ok{};
  }

  std::size_t n_scored() const { return n_; }
  double nll() const { return -sum_ / static_cast<double>(n_); }

 private:
  // Row r holds the logits for ids_[target + r].
  void take_rows(std::size_t target, ConstMat logits) {
    for (int r = 0; r < logits.rows; ++r, ++target) {
      const TokenId id = ids_[target];
      const auto row = logits.row_span(r);
      const double logprob =
          static_cast<double>(row[static_cast<std::size_t>(id)]) - log_sum_exp(row);
      sum_ += logprob;
      ++n_;
      if (per_token_) {
        const std::string line =
            dump_json({{"pos", target}, {"id", id}, {"logprob", logprob}}) + "\n";
        per_token_->write(line.data(), line.size());
      }
    }
    bar_.update(n_);
  }

  Runner& runner_;
  std::span<const TokenId> ids_;
  std::unique_ptr<AtomicFile> per_token_;
  Progress bar_;
  double sum_ = 0;
  std::size_t n_ = 0;
};

void print_scores(const PerplexityFlags& f, std::size_t n, double nll) {
  const double perplexity = nll < 700 ? math::precise_exp(nll) : 0;
  if (f.json) {
    Json out = {{"tokens", n}, {"nll", nll}, {"perplexity", perplexity}};
    if (nll >= 700) out["perplexity"] = nullptr;
    output().write(dump_json(out) + "\n");
  } else {
    output().write(
        fmt::format("perplexity {:.4f} (mean negative log-likelihood {:.6f} nats, {} tokens)\n",
                    perplexity, nll, n));
  }
}

Status perplexity_of(const PerplexityFlags& f) {
  BEZEL_TRY(const std::vector<TokenId> ids, scored_ids(f));
  if (ids.size() < 2)
    return Error{Errc::BadInput, "at least two ids are needed to score one, and there is one", ""};
  const std::size_t longest = f.window > 0
                                  ? std::min(ids.size() - 1, static_cast<std::size_t>(f.window) - 1)
                                  : ids.size() - 1;
  if (longest > (1U << 30U)) return Error{Errc::TooLarge, "the text is too long; use --window", ""};
  BEZEL_TRY(
      const std::unique_ptr<Runner> runner,
      Runner::open(
          {.engine = f.with.options, .positions = static_cast<int>(longest), .every_row = true}));
  for (const TokenId id : ids)
    if (id < 0 || id >= runner->config().vocab)
      return Error{
          Errc::BadInput,
          fmt::format("id {} is not in the vocabulary of {} ids", id, runner->config().vocab), ""};
  std::unique_ptr<AtomicFile> per_token;
  if (!f.per_token.empty()) {
    BEZEL_TRY(per_token, AtomicFile::create(f.per_token));
  }
  const InterruptGuard guard;
  Scorer scorer(*runner, ids, std::move(per_token));
  BEZEL_DO(scorer.score(f.window));
  print_scores(f, scorer.n_scored(), scorer.nll());
  return Ok{};
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  auto f = std::make_shared<PerplexityFlags>();
  CLI::App* c = app.add_subcommand("perplexity", "How well a model predicts a text");
  c->footer(
      "A text is scored as one sequence with bos in front; the ids of --ids-file are taken as "
      "they\n"
      "are. Every id but the first is scored. With --window N the sequence is read in windows of "
      "N\n"
      "ids that each begin with the sequence's first id: less memory, and a shorter memory of the\n"
      "text. --per-token writes a line {\"pos\", \"id\", \"logprob\"} for every id scored.\n\n"
      "Examples:\n"
      "  bezel perplexity model.gguf text.txt\n"
      "  bezel perplexity model.gguf --ids-file ids.txt --act f32 --kv f32 --json\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  auto* text = c->add_option("FILE", f->text, "text file, or - for standard input")->type_name("");
  f->ids.add(*c, false);
  c->add_option("--window", f->window, "score in windows of N ids")
      ->type_name("N")
      ->check(range(2, 1 << 30));
  c->add_option("--per-token", f->per_token, "write every id's log-probability")
      ->type_name("OUT.jsonl");
  c->add_flag("--json", f->json, "{\"tokens\", \"nll\", \"perplexity\"} on standard output");
  f->with.add(*c);
  text->excludes("--ids-file");
  c->callback([f, &action] {
    if (f->text.empty() && f->ids.file.empty())
      throw CLI::ValidationError("perplexity needs a text FILE or --ids-file");
    action = [f] {
      const Status status = perplexity_of(*f);
      return status ? kDone : fail(status.error());
    };
  });
}

}  // namespace bezel::app
