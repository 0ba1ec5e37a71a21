#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "base/fingerprint.h"
#include "base/system.h"
#include "bench/bandwidth.h"
#include "common.h"
#include "doctor/checks.h"
#include "doctor/known.h"
#include "engine/plan.h"
#include "engine/runner.h"
#include "engine/sampling/sampler.h"
#include "kernels/math/precise.h"
#include "text/prompt.h"

namespace bezel::app::doctor {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kFingerprintIds = 24, kWritten = 16;
// Times the size that enters the first layer; the real Gemma 3 270M reaches 1,500.
constexpr double kExplodes = 20'000;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string types_text(const TensorFile& file) {
  std::vector<std::pair<std::uint64_t, DType>> sizes;
  for (const Tensor& t : file.tensors) {
    const auto at =
        std::find_if(sizes.begin(), sizes.end(), [&](const auto& s) { return s.second == t.type; });
    if (at == sizes.end()) {
      sizes.emplace_back(t.data.size(), t.type);
    } else {
      at->first += t.data.size();
    }
  }
  std::sort(sizes.rbegin(), sizes.rend());
  std::string out;
  for (const auto& [bytes, type] : sizes)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", format(type).name, size_text(bytes));
  return out;
}

// One model under examination.
class Examination {
 public:
  explicit Examination(const EngineOptions& options) : options_(options) {}

  Result<Report> run() {
    auto file = open_tensor_file(options_.model_path);
    if (!file) {
      add("file", Verdict::Wrong, file.error().what);
      return std::move(report_);
    }
    fact("file", fmt::format("{}, {}, {} tensors: {}",
                             file->kind == FileKind::Gguf ? "GGUF" : "safetensors",
                             size_text(file->file_bytes), file->tensors.size(), types_text(*file)));
    const auto config = config_from(*file);
    tokenizer(*file, config ? config->family : "");
    report_.findings.push_back(weights_finding(*file));
    const bool instructed = !file->chat_template.empty();
    if (!config) {
      add("shapes", Verdict::Wrong, config.error().what);
      return std::move(report_);
    }
    fact("model", fmt::format("{} {}, {}", config->family, config->variant,
                              instructed ? "with a chat template" : "without a chat template"));
    shapes(*config);
    chat_template(*file, *config);
    BEZEL_DO(numbers(*config, instructed));
    return std::move(report_);
  }

 private:
  void add(const char* what, Verdict verdict, std::string text) {
    report_.findings.push_back({what, verdict, std::move(text)});
  }
  void fact(const char* what, std::string text) {
    report_.facts.emplace_back(what, std::move(text));
  }

  void shapes(const Config& c) {
    bool known = false;
    const std::string problem = config_problem(c, known);
    if (!known) {
      add("shapes", Verdict::Unknown, "of no published variant: nothing to compare with");
    } else if (problem.empty()) {
      add("shapes", Verdict::Ok,
          fmt::format("{} layers as {} must have them", c.n_layers(), c.variant));
    } else {
      add("shapes", Verdict::Wrong, problem);
    }
  }

  // `family` is empty where the configuration cannot be read.
  void tokenizer(const TensorFile& file, const std::string& family) {
    auto loaded = Tokenizer::load(file);
    if (!loaded) {
      add("tokenizer", Verdict::Wrong, loaded.error().what);
      return;
    }
    tokenizer_ = *std::move(loaded);
    const TokenizerSums expected = expected_sums(family), found = sums_of(*tokenizer_);
    const std::string sums = fmt::format("{:016x} {:016x}", found.pieces, found.ids);
    if (expected.pieces == 0) {
      add("tokenizer", Verdict::Unknown,
          fmt::format("{}; the model's family is not known, there is nothing to compare with",
                      sums));
    } else if (found.pieces != expected.pieces) {
      add("tokenizer", Verdict::Wrong,
          fmt::format("its pieces are not {}'s published ones ({})", family, sums));
    } else if (found.ids != expected.ids) {
      add("tokenizer", Verdict::Wrong,
          fmt::format("the built-in text does not become {}'s published ids ({})", family, sums));
    } else {
      add("tokenizer", Verdict::Ok, fmt::format("{}'s published one, {}", family, sums));
    }
  }

  void chat_template(const TensorFile& file, const Config& c) {
    if (!tokenizer_) return;
    const std::string warning =
        choose_style(*tokenizer_, file.chat_template, c.ple_dim > 0).warning;
    if (warning.empty()) {
      add("template", Verdict::Ok, "the canonical one");
    } else {
      add("template", Verdict::Unknown, warning);
    }
  }

  Status numbers(const Config& c, bool instructed) {
    std::vector<TokenId> ids;
    if (tokenizer_) {
      ids = tokenizer_->encode_plain(text());
      ids.insert(ids.begin(), std::max(tokenizer_->bos(), 0));
    }
    ids.erase(std::remove_if(ids.begin(), ids.end(), [&](TokenId id) { return id >= c.vocab; }),
              ids.end());
    if (ids.size() < 2) ids = {0, 1, 2, 3};
    auto runner = Runner::open({.engine = options_,
                                .positions = static_cast<int>(ids.size()) + kWritten + 1,
                                .every_row = true});
    if (!runner) {
      if (runner.error().code == Errc::NoMemory || runner.error().code == Errc::TooLarge)
        return runner.error();
      add("shapes", Verdict::Wrong, runner.error().what);
      return Ok{};
    }
    fact("kernels", fmt::format("{}, {} threads", (*runner)->table().name, (*runner)->threads()));
    BEZEL_TRY(const bool finite, perplexity(**runner, ids, c, instructed));
    if (!finite) return Ok{};
    BEZEL_DO(speed(**runner));
    runner->reset();
    return tables(ids);
  }

  // False: a NaN or infinity came out, and everything else is idle.
  Result<bool> perplexity(Runner& runner, const std::vector<TokenId>& ids, const Config& c,
                          bool instructed) {
    double sum = 0, entered = 0, largest = 0;
    int n = 0, largest_layer = 0, dead_layer = -1;
    Runner::Hooks hooks;
    hooks.tap = [&](const char* what, int layer, ConstMat x) {
      const std::string_view name(what);
      if (name != "embedding" && name != "layer") return;
      double s = 0;
      for (int r = 0; r < x.rows; ++r)
        for (const float v : x.row_span(r)) s += static_cast<double>(v) * v;
      const double rms = std::sqrt(s / std::max(1.0, static_cast<double>(x.rows) * x.cols));
      if (name == "embedding") entered = std::max(entered, rms);
      if (name == "layer" && rms > largest) {
        largest = rms;
        largest_layer = layer;
      }
      if (name == "layer" && rms == 0 && dead_layer < 0) dead_layer = layer;
    };
    hooks.rows = [&](int first, ConstMat logits) {
      for (int r = 0; r < logits.rows; ++r) {
        const auto next = static_cast<std::size_t>(first) + static_cast<std::size_t>(r) + 1;
        if (next >= ids.size()) continue;
        const auto row = logits.row_span(r);
        sum += log_sum_exp(row) - static_cast<double>(row[static_cast<std::size_t>(ids[next])]);
        ++n;
      }
      return !InterruptGuard::flag().load();
    };
    const Status fed = runner.feed(ids, 0, hooks);
    if (!fed && fed.error().code != Errc::Numeric) return fed.error();
    if (!fed) {
      add("layers", Verdict::Wrong, fed.error().what);
      return false;
    }
    if (dead_layer >= 0) {
      add("layers", Verdict::Wrong, fmt::format("nothing comes out of layer {}", dead_layer));
    } else if (largest > kExplodes * entered) {
      add("layers", Verdict::Wrong,
          fmt::format("layer {} gives values of {:.3g} where {:.3g} enter the model", largest_layer,
                      largest, entered));
    } else {
      add("layers", Verdict::Ok,
          fmt::format("finite, none dead; {:.3g} in, at most {:.3g} behind "
                      "layer {}",
                      entered, largest, largest_layer));
    }
    judge(math::precise_exp(std::min(sum / std::max(n, 1), 100.0)), n, c, instructed);
    return true;
  }

  void judge(double perplexity, int n, const Config& c, bool instructed) {
    const Range range = perplexity_range(c, instructed);
    const std::string found =
        fmt::format("{:.3f} on {} tokens of the built-in text", perplexity, n);
    if (range.hi == 0) {
      add("perplexity", Verdict::Unknown,
          fmt::format("{}; no range has been measured for {} {}{}", found, c.family, c.variant,
                      instructed ? " with a chat template" : ""));
      return;
    }
    const bool inside = perplexity >= range.lo && perplexity <= range.hi;
    add("perplexity", inside ? Verdict::Ok : Verdict::Wrong,
        fmt::format("{}; {} {:.2f} to {:.2f}, from {}", found, inside ? "within" : "expected",
                    range.lo, range.hi, range.on));
  }

  Status speed(Runner& runner) {
    const double bandwidth = read_bandwidth(runner.table(), runner.threads());
    const int depth = runner.length();
    std::vector<double> times;
    for (int i = 0; i < kWritten; ++i) {
      const std::vector<TokenId> one{static_cast<TokenId>(i % runner.config().vocab)};
      Runner::Hooks hooks;
      hooks.rows = [](int, ConstMat) { return !InterruptGuard::flag().load(); };
      const auto start = Clock::now();
      BEZEL_DO(runner.feed(one, 0, hooks));
      times.push_back(seconds_since(start));
    }
    std::sort(times.begin(), times.end());
    const double seconds = times[times.size() / 2];
    const double bytes =
        static_cast<double>(runner.model().bytes_per_token(depth, dtype_of(options_.kv)));
    add("speed", Verdict::Ok,
        fmt::format("{:.1f} tokens a second, {:.1f} GB/s of the {:.1f} GB/s that memory gives",
                    1 / seconds, bytes / 1e9 / seconds, bandwidth));
    return Ok{};
  }

  Status tables(std::vector<TokenId> ids) {
    ids.resize(std::min<std::size_t>(ids.size(), kFingerprintIds));
    std::string names, first;
    for (const KernelTable* t : all_kernel_tables()) {
      if (!runs_here(*t)) continue;
      EngineOptions o = options_;
      o.isa = t->name;
      o.weights = WeightKind::File;
      BEZEL_TRY(const auto runner,
                Runner::open({.engine = o, .positions = static_cast<int>(ids.size())}));
      Fingerprint fingerprint;
      Runner::Hooks hooks;
      hooks.rows = [&](int, ConstMat logits) {
        const auto row = logits.row_span(logits.rows - 1);
        fingerprint.add(row.data(), row.size());
        return !InterruptGuard::flag().load();
      };
      BEZEL_DO(runner->feed(ids, ids.size() - 1, hooks));
      if (first.empty()) first = fingerprint.hex();
      if (fingerprint.hex() != first) {
        add("tables", Verdict::Wrong,
            fmt::format("{} gives the fingerprint {}, {} gives {}", t->name, fingerprint.hex(),
                        names, first));
        return Ok{};
      }
      names += fmt::format("{}{}", names.empty() ? "" : ", ", t->name);
    }
    add("tables", Verdict::Ok, fmt::format("fingerprint {} on {}", first, names));
    return Ok{};
  }

  EngineOptions options_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Report report_;
};

}  // namespace

Result<Report> examine(const EngineOptions& options) {
  return Examination(options).run();
}

}  // namespace bezel::app::doctor
