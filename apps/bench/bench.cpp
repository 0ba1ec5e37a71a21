// bezel bench: speed of reading a prompt and of writing an answer, at several depths.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/fingerprint.h"
#include "base/json.h"
#include "bench/bandwidth.h"
#include "bench/peer.h"
#include "common.h"
#include "engine/sampling/random.h"

namespace bezel::app {

namespace {

using Clock = std::chrono::steady_clock;

struct BenchFlags {
  ModelFlags with;
  int prompt = 512, answer = 32, batch = 1, repeat = 3;
  std::string depths = "0,4096", compare;
  bool json = false;
};

struct BenchRow {
  int depth = 0;
  double prefill = 0, decode = 0;  // tokens a second, medians; of all answers together
  // 10^9 bytes of weights, keys and values a second; of experts, with several answers, at least
  double decode_gbps = 0;
  double memory_share = 0;  // of what memory gives to a plain walk just before and after
  std::string fingerprint;  // of the rows read: the prompt's last, then every decoded one
};

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  const std::size_t half = v.size() / 2;
  return v.size() % 2 == 1 ? v[half] : (v[half - 1] + v[half]) / 2;
}

// Ids that depend on their position and answer alone, so that fingerprints can be compared between
// machines.
std::vector<TokenId> bench_ids(int first, int n, int vocab, int answer = 0) {
  std::vector<TokenId> ids;
  for (int i = first; i < first + n; ++i)
    ids.push_back(static_cast<TokenId>(
        random_bits(1 + static_cast<std::uint64_t>(answer), static_cast<std::uint64_t>(i)) %
        static_cast<std::uint64_t>(vocab)));
  return ids;
}

class Bench {
 public:
  Bench(const BenchFlags& flags, Runner& runner)
      : flags_(flags), runner_(runner), memory_(runner.table(), runner.threads()) {}

  double read_bandwidth() { return memory_.read(walk_s_); }

  Result<BenchRow> at_depth(int depth, int repeat) {
    BenchRow row;
    row.depth = depth;
    std::vector<double> prefill, decode, shares;
    for (int i = 0; i < repeat; ++i) {
      Fingerprint fingerprint;
      if (flags_.prompt > 0) {
        BEZEL_DO(go_to(depth));
        BEZEL_TRY(const double rate,
                  timed(depth, flags_.prompt, runner_.chunk(), false, fingerprint));
        prefill.push_back(rate);
      }
      if (flags_.answer > 0) {
        BEZEL_DO(go_to(depth));
        // What others leave of the memory changes from moment to moment: measured on both sides.
        const double before = memory_.read(walk_s_);
        BEZEL_TRY(const double rate, flags_.batch > 1
                                         ? timed_batch(depth, fingerprint)
                                         : timed(depth, flags_.answer, 1, true, fingerprint));
        decode.push_back(rate);
        const double memory = (before + memory_.read(walk_s_)) / 2;
        if (memory > 0) shares.push_back(rate * bytes_per_token(depth) / 1e9 / memory);
      }
      if (i > 0 && fingerprint.hex() != row.fingerprint)
        return Error{Errc::Numeric,
                     fmt::format("the fingerprint at depth {} changed from {} to {}", depth,
                                 row.fingerprint, fingerprint.hex()),
                     ""};
      row.fingerprint = fingerprint.hex();
    }
    row.prefill = median(prefill);
    row.decode = median(decode);
    row.decode_gbps = row.decode * bytes_per_token(depth) / 1e9;
    row.memory_share = median(shares);
    return row;
  }

  // Two tokens of an answer, so that weights are packed before anything is timed.
  Status warm_up() {
    const auto ids = bench_ids(0, 2, runner_.config().vocab);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      BEZEL_DO(runner_.feed(std::span(ids).subspan(i, 1), 0, {}));
      const std::chrono::duration<double> token = std::chrono::steady_clock::now() - start;
      walk_s_ = std::min(kWalkSeconds, flags_.answer * token.count());  // no longer than an answer
    }
    runner_.clear();
    return Ok{};
  }

 private:
  // Of weights and of keys and values, for each token of each answer.
  double bytes_per_token(int depth) const {
    const DType kv = dtype_of(flags_.with.options.kv);
    const auto weights = static_cast<double>(runner_.model().bytes_per_token(0, kv));
    const double keys = static_cast<double>(runner_.model().bytes_per_token(depth, kv)) - weights;
    return weights / flags_.batch + keys;
  }

  // The sequence holds exactly `depth` ids after this.
  Status go_to(int depth) {
    if (runner_.rewind(depth)) return Ok{};
    Progress bar("filling the context", "tokens", static_cast<std::uint64_t>(depth));
    Runner::Hooks hooks;
    hooks.progress = [&](int done) {
      bar.update(static_cast<std::uint64_t>(done));
      return !InterruptGuard::flag().load();
    };
    const auto ids = bench_ids(0, depth, runner_.config().vocab);
    return runner_.feed(ids, ids.size(), hooks);
  }

  // Tokens a second for n ids fed `step` at a time; the last row is read, or that of every step.
  Result<double> timed(int depth, int n, int step, bool every_step, Fingerprint& fingerprint) {
    const auto ids = bench_ids(depth, n, runner_.config().vocab);
    Runner::Hooks hooks;
    std::vector<float> last;  // kept, so that the fingerprint is no part of the time
    hooks.rows = [&](int, ConstMat logits) {
      const auto row = logits.row_span(logits.rows - 1);
      last.assign(row.begin(), row.end());
      return true;
    };
    hooks.progress = [](int) { return !InterruptGuard::flag().load(); };
    double seconds = 0;
    for (int at = 0; at < n; at += step) {
      const int k = std::min(step, n - at);
      const std::span<const TokenId> part =
          std::span(ids).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(k));
      const bool read = every_step || at + k == n;
      const auto start = Clock::now();
      BEZEL_DO(runner_.feed(part, read ? part.size() - 1 : part.size(), hooks));
      seconds += std::chrono::duration<double>(Clock::now() - start).count();
      if (read) fingerprint.add(last.data(), last.size());
    }
    return static_cast<double>(n) / std::max(seconds, 1e-9);
  }

  // Tokens a second of `batch` answers that are written at once, each behind the same context.
  Result<double> timed_batch(int depth, Fingerprint& fingerprint) {
    KvCache& cache = runner_.cache();
    for (int seq = 1; seq < flags_.batch; ++seq) {
      cache.clear(seq);
      if (depth > 0) cache.restore(seq, cache.share(0, depth), depth);
    }
    double seconds = 0;
    std::vector<float> rows;
    for (int at = depth; at < depth + flags_.answer; ++at) {
      Batch batch;
      for (int seq = 0; seq < flags_.batch; ++seq)
        batch.add(seq, at, bench_ids(at, 1, runner_.config().vocab, seq).front(), true);
      const auto start = Clock::now();
      BEZEL_DO(runner_.pass(batch, {}, [&](ConstMat logits) {
        rows.clear();
        for (int r = 0; r < logits.rows; ++r)
          rows.insert(rows.end(), logits.row(r), logits.row(r) + logits.cols);
      }));
      seconds += std::chrono::duration<double>(Clock::now() - start).count();
      fingerprint.add(rows.data(), rows.size());
      if (InterruptGuard::flag().load()) return Error{Errc::Cancelled, "stopped", ""};
    }
    return static_cast<double>(flags_.answer) * flags_.batch / std::max(seconds, 1e-9);
  }

  const BenchFlags& flags_;
  Runner& runner_;
  Bandwidth memory_;
  double walk_s_ = kWalkSeconds;
};

Result<std::vector<int>> parse_depths(const std::string& text) {
  BEZEL_TRY(std::vector<TokenId> depths, parse_ids(text, "--depth"));
  std::sort(depths.begin(), depths.end());
  depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
  return depths;
}

Json json_of(const BenchFlags& f, const Runner& r, double bandwidth,
             const std::vector<BenchRow>& rows) {
  const Config& c = r.config();
  Json out = {{"model", f.with.options.model_path},
              {"family", c.family},
              {"variant", c.variant},
              {"file_bytes", r.model().file().file_bytes},
              {"isa", r.table().name},
              {"threads", r.threads()},
              {"act", f.with.options.act == ActKind::Int8 ? "int8" : "f32"},
              {"kv", format(dtype_of(f.with.options.kv)).name},
              {"chunk", r.chunk()},
              {"repeat", f.repeat},
              {"numerics", kNumericsVersion},
              {"read_gb_s", bandwidth},
              {"results", Json::array()}};
  for (const BenchRow& row : rows)
    out["results"].push_back({{"depth", row.depth},
                              {"prefill_tokens", f.prompt},
                              {"prefill_tok_s", row.prefill},
                              {"decode_tokens", f.answer},
                              {"batch", f.batch},
                              {"decode_tok_s", row.decode},
                              {"decode_gb_s", row.decode_gbps},
                              {"decode_memory_share", row.memory_share},
                              {"fingerprint", row.fingerprint}});
  return out;
}

void print_head(const BenchFlags& f, const Runner& r, double bandwidth) {
  const Config& c = r.config();
  output().write(
      fmt::format("{} {}, {}; {}, {} threads, act {}, kv {}, chunk {}; numerics {}; medians of {}\n"
                  "memory reads at {:.1f} GB/s with these threads\n\n"
                  "{:>8}  {:>14}  {:>14}  {:>8}  {:>9}  {}\n",
                  c.family, c.variant, size_text(r.model().file().file_bytes), r.table().name,
                  r.threads(), f.with.options.act == ActKind::Int8 ? "int8" : "f32",
                  format(dtype_of(f.with.options.kv)).name, r.chunk(), kNumericsVersion, f.repeat,
                  bandwidth, "depth", fmt::format("read {} tok/s", f.prompt),
                  f.batch == 1 ? fmt::format("write {} tok/s", f.answer)
                               : fmt::format("write {} x {} tok/s", f.batch, f.answer),
                  "GB/s", "of memory", "fingerprint"));
}

// One test, ours and theirs in turns.
struct Race {
  PeerSpeed test;
  std::vector<double> ours, theirs, shares;  // shares: of what memory gave, ours
};

// Adds a turn: the peer's speeds, and ours of the same tests.
Status turn(const BenchFlags& f, Bench& bench, const std::vector<int>& depths,
            std::vector<Race>& races) {
  std::vector<BenchRow> rows;
  for (const int depth : depths) {
    BEZEL_TRY(const BenchRow row, bench.at_depth(depth, 1));
    rows.push_back(row);
  }
  BEZEL_TRY(const std::vector<PeerSpeed> speeds, run_peer(f.compare));
  for (const BenchRow& row : rows)
    for (const bool reads : {true, false}) {
      const int tokens = reads ? f.prompt : f.answer;
      for (const PeerSpeed& p : speeds) {
        if (p.reads != reads || p.tokens != tokens || p.depth != row.depth || tokens == 0) continue;
        if (!reads && p.batch != f.batch) continue;
        auto race = std::find_if(races.begin(), races.end(), [&](const Race& r) {
          return r.test.reads == reads && r.test.depth == row.depth;
        });
        if (race == races.end()) race = races.insert(races.end(), Race{p, {}, {}, {}});
        race->ours.push_back(reads ? row.prefill : row.decode);
        race->theirs.push_back(p.rate);
        if (!reads) race->shares.push_back(row.memory_share);
        break;
      }
    }
  if (races.empty())
    return Error{Errc::BadInput,
                 fmt::format("the command measured other tests; wanted pp{} or tg{} at one of the "
                             "depths {}",
                             f.prompt, f.answer, f.depths),
                 "--compare"};
  return Ok{};
}

std::string spread(const std::vector<double>& v) {
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  return fmt::format("{:.2f} to {:.2f}", *low, *high);
}

// The ratio of every turn, so that what slows the machine down slows both.
std::vector<double> ratios(const Race& r) {
  std::vector<double> out;
  for (std::size_t i = 0; i < r.ours.size(); ++i) out.push_back(r.ours[i] / r.theirs[i]);
  return out;
}

void print_races(const BenchFlags& f, const std::vector<Race>& races) {
  if (f.json) {
    Json out = Json::array();
    for (const Race& r : races)
      out.push_back({{"reads", r.test.reads},
                     {"tokens", r.test.tokens},
                     {"depth", r.test.depth},
                     {"batch", r.test.batch},
                     {"tok_s", r.ours},
                     {"peer_tok_s", r.theirs},
                     {"ratio", median(ratios(r))},
                     {"memory_share", median(r.shares)}});
    output().write(dump_json(out) + "\n");
    return;
  }
  output().write(fmt::format("{:>10} {:>7}  {:>10}  {:>10}  {:>7}  {:>9}  {}\n", "test", "depth",
                             "tok/s", "peer tok/s", "ratio", "of memory",
                             "ratio from turn to turn"));
  for (const Race& r : races)
    output().write(fmt::format("{:>10} {:>7}  {:>10.2f}  {:>10.2f}  {:>7.2f}  {:>9}  {}\n",
                               fmt::format("{} {}", r.test.reads ? "read" : "write", r.test.tokens),
                               r.test.depth, median(r.ours), median(r.theirs), median(ratios(r)),
                               r.test.reads ? "" : fmt::format("{:.0f}%", 100 * median(r.shares)),
                               spread(ratios(r))));
}

Status compare(const BenchFlags& f, Bench& bench, const std::vector<int>& depths) {
  std::vector<Race> races;
  Progress bar("taking turns", "turns", static_cast<std::uint64_t>(f.repeat));
  for (int i = 0; i < f.repeat; ++i) {
    BEZEL_DO(turn(f, bench, depths, races));
    bar.update(static_cast<std::uint64_t>(i) + 1);
    if (InterruptGuard::flag().load()) return Error{Errc::Cancelled, "interrupted", ""};
  }
  print_races(f, races);
  return Ok{};
}

Status bench(const BenchFlags& f) {
  BEZEL_TRY(const std::vector<int> depths, parse_depths(f.depths));
  if (f.prompt == 0 && f.answer == 0)
    return Error{Errc::BadInput, "-p and -n are both 0: there is nothing to measure", ""};
  const std::int64_t positions = std::int64_t{depths.back()} + std::max(f.prompt, f.answer);
  if (positions > (1 << 30))
    return Error{Errc::TooLarge, "the depth is too large for any model", ""};
  EngineOptions options = f.with.options;
  options.sequences = f.batch;
  BEZEL_TRY(
      const std::unique_ptr<Runner> runner,
      Runner::open(
          {.engine = options, .positions = static_cast<int>(positions), .last_rows = f.batch}));
  const InterruptGuard guard;
  Bench bench(f, *runner);
  if (f.answer > 0 && positions > 1) BEZEL_DO(bench.warm_up());
  std::vector<BenchRow> rows;
  const double bandwidth = bench.read_bandwidth();
  if (!f.json && f.compare.empty()) print_head(f, *runner, bandwidth);
  output().flush();
  if (!f.compare.empty()) return compare(f, bench, depths);
  for (const int depth : depths) {
    BEZEL_TRY(const BenchRow row, bench.at_depth(depth, f.repeat));
    rows.push_back(row);
    if (f.json) continue;
    output().write(fmt::format("{:>8}  {:>14.2f}  {:>14.2f}  {:>8.2f}  {:>8.0f}%  {}\n", row.depth,
                               row.prefill, row.decode, row.decode_gbps, 100 * row.memory_share,
                               row.fingerprint));
    output().flush();
  }
  if (f.json) output().write(dump_json(json_of(f, *runner, bandwidth, rows)) + "\n");
  return Ok{};
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto f = std::make_shared<BenchFlags>();
  CLI::App* c = app.add_subcommand("bench", "Measure reading and writing speed");
  c->footer(
      "At every depth (tokens already in the context) a prompt is read and an answer is written, "
      "with\n"
      "ids that depend on their position alone. GB/s: weights, keys and values that writing "
      "touches,\n"
      "beside what this machine's memory gives to a plain walk.\n"
      "The fingerprint of the logits is the same on every machine, for any number of threads and "
      "any\n"
      "kernels. The model's tokenizer is not read.\n\n"
      "Examples:\n"
      "  bezel bench model.gguf\n"
      "  bezel bench model.gguf -p 128 -n 64 -d 0,1024,8192 --threads 4 --json\n"
      "  bezel bench model.gguf -d 0 --threads 2 --repeat 5 --compare \\\n"
      "    'llama-bench -m model.gguf -t 2 -p 512 -n 32 -r 1 -fa 1 2>/dev/null'\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  c->add_option("-p,--prompt", f->prompt, "tokens to read (512); 0: skip")
      ->type_name("N")
      ->check(range(0, 1 << 20));
  c->add_option("-n,--answer", f->answer, "tokens to write (32); 0: skip")
      ->type_name("N")
      ->check(range(0, 1 << 20));
  c->add_option("-b,--batch", f->batch, "answers written at once (1)")
      ->type_name("N")
      ->check(range(1, 256));
  c->add_option("-d,--depth", f->depths, "depths, separated by commas (0,4096)")->type_name("LIST");
  c->add_option("--repeat", f->repeat, "runs, of which the median counts (3)")
      ->type_name("N")
      ->check(range(1, 1000));
  c->add_option("--compare", f->compare,
                "another engine's benchmark: run in turns with ours, speeds side by side")
      ->type_name("COMMAND");
  c->add_flag("--json", f->json, "results as JSON");
  f->with.add(*c);
  c->callback([f, &action] {
    action = [f] {
      const Status status = bench(*f);
      return status ? kDone : fail(status.error());
    };
  });
}

}  // namespace bezel::app
