// bezel logits: a model's numbers for given ids, written to a safetensors file. Needs no tokenizer.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common.h"
#include "engine/sampling/sampler.h"
#include "formats/tensor_file.h"

namespace bezel::app {

namespace {

struct LogitsFlags {
  std::string output;
  IdsFlags ids;
  ModelFlags with;
  bool layers = false;
  int greedy = 0, last = 0;
};

// The tensors of the output file and where each stands in it.
struct Layout {
  std::vector<SafetensorsWriter::Slot> slots;
  std::size_t embedding = 0, first_layer = 0, final_norm = 0, greedy = 0, greedy_logits = 0;

  Layout(const LogitsFlags& f, const Config& c, std::int64_t n_rows, std::int64_t n_ids) {
    slots.push_back({"logits", DType::F32, {n_rows, c.vocab}});
    const auto add = [&](std::string name, DType type, std::vector<std::int64_t> shape) {
      slots.push_back({std::move(name), type, std::move(shape)});
      return slots.size() - 1;
    };
    if (f.layers) {
      embedding = add("embedding", DType::F32, {n_ids, c.width});
      first_layer = slots.size();
      for (int i = 0; i < c.n_layers(); ++i)
        add(fmt::format("layer.{}", i), DType::F32, {n_ids, c.width});
      final_norm = add("final_norm", DType::F32, {n_ids, c.width});
    }
    if (f.greedy > 0) {
      greedy = add("greedy", DType::I32, {f.greedy});
      greedy_logits = add("greedy_logits", DType::F32, {f.greedy, c.vocab});
    }
  }
};

class Recorder {
 public:
  Recorder(const LogitsFlags& f, Runner& runner, std::span<const TokenId> ids)
      : flags_(f),
        runner_(runner),
        ids_(ids),
        n_rows_(f.last > 0 ? static_cast<std::size_t>(f.last) : ids.size()),
        layout_(f, runner.config(), static_cast<std::int64_t>(n_rows_),
                static_cast<std::int64_t>(ids.size())),
        bar_("reading the ids", "tokens", ids.size()) {}

  Status record() {
    BEZEL_TRY(file_, SafetensorsWriter::create(flags_.output, layout_.slots));
    BEZEL_DO(read_prompt());
    for (int i = 0; i < flags_.greedy; ++i) BEZEL_DO(step(i + 1 == flags_.greedy));
    return file_->finish();
  }

 private:
  void append(std::size_t slot, ConstMat x, int first_row) {
    for (int r = first_row; r < x.rows; ++r)
      file_->append(slot, x.row(r), static_cast<std::size_t>(x.cols) * sizeof(float));
  }

  Status read_prompt() {
    const std::size_t skipped = ids_.size() - n_rows_;
    Runner::Hooks hooks;
    hooks.rows = [&](int first, ConstMat logits) {
      const auto from = static_cast<std::size_t>(first);
      append(0, logits,
             from < skipped
                 ? static_cast<int>(std::min(skipped - from, static_cast<std::size_t>(logits.rows)))
                 : 0);
      const auto last = logits.row_span(logits.rows - 1);
      row_.assign(last.begin(), last.end());
      return !InterruptGuard::flag().load();
    };
    hooks.progress = [&](int done) {
      bar_.update(static_cast<std::uint64_t>(done));
      return !InterruptGuard::flag().load();
    };
    if (flags_.layers) {
      hooks.tap = [&](const char* what, int layer, ConstMat x) {
        const std::string_view name = what;
        append(name == "embedding" ? layout_.embedding
               : name == "layer"   ? layout_.first_layer + static_cast<std::size_t>(layer)
                                   : layout_.final_norm,
               x, 0);
      };
    }
    // With --layers every row is read, so that none is left out of a layer.
    return runner_.feed(ids_, flags_.layers ? 0 : skipped, hooks);
  }

  // One greedy step from row_: no end id ends it, nothing is suppressed.
  Status step(bool last) {
    const TokenId id = argmax(row_);
    file_->append(layout_.greedy, &id, sizeof id);
    file_->append(layout_.greedy_logits, row_.data(), row_.size() * sizeof(float));
    if (last) return Ok{};
    Runner::Hooks hooks;
    hooks.rows = [&](int, ConstMat logits) {
      row_.assign(logits.row(0), logits.row(0) + logits.cols);
      return !InterruptGuard::flag().load();
    };
    return runner_.feed({&id, 1}, 0, hooks);
  }

  const LogitsFlags& flags_;
  Runner& runner_;
  std::span<const TokenId> ids_;
  std::size_t n_rows_;
  Layout layout_;
  Progress bar_;
  std::unique_ptr<SafetensorsWriter> file_;
  std::vector<float> row_;
};

Status logits_of(const LogitsFlags& f) {
  constexpr std::size_t kMostIds = std::size_t{1} << 30U;
  BEZEL_TRY(const std::vector<TokenId> ids, f.ids.read());
  if (f.last > 0 && static_cast<std::size_t>(f.last) > ids.size())
    return Error{
        Errc::BadInput,
        fmt::format("--last {} asks for more rows than the {} ids give", f.last, ids.size()), ""};
  const std::size_t positions = ids.size() + static_cast<std::size_t>(std::max(0, f.greedy - 1));
  if (positions > kMostIds)
    return Error{Errc::TooLarge, "there are too many ids for any context", ""};
  const bool every_row = f.layers || f.last != 1;
  BEZEL_TRY(const std::unique_ptr<Runner> runner,
            Runner::open({.engine = f.with.options,
                          .positions = static_cast<int>(positions),
                          .every_row = every_row}));
  const InterruptGuard guard;
  Recorder recorder(f, *runner, ids);
  return recorder.record();
}

}  // namespace

void add_logits(CLI::App& app, Action& action) {
  auto f = std::make_shared<LogitsFlags>();
  CLI::App* c = app.add_subcommand("logits", "Write a model's numbers for given ids to a file");
  c->footer(
      "Writes float32 `logits` [ids or --last N, vocabulary], after the soft cap and before every "
      "rule\n"
      "of choosing. --layers adds `embedding`, `layer.N` and `final_norm` [ids, width]. --greedy N "
      "adds\n"
      "`greedy` [N], the best continuation, and `greedy_logits` [N, vocabulary]; no id ends it. "
      "The\n"
      "model's tokenizer is not read.\n\n"
      "Examples:\n"
      "  bezel logits model.gguf --ids 2,5,7 --output numbers.safetensors\n"
      "  bezel logits model.gguf --ids-file ids.txt --act f32 --kv f32 --layers --greedy 24 \\\n"
      "      --output numbers.safetensors\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  f->ids.add(*c, true);
  c->add_option("--output", f->output, "the file to write")->required()->type_name("O.safetensors");
  c->add_flag("--layers", f->layers, "what every layer gives, too");
  c->add_option("--greedy", f->greedy, "go on with the N best ids")
      ->type_name("N")
      ->check(range(1, 1 << 20));
  c->add_option("--last", f->last, "logits of the last N ids only")
      ->type_name("N")
      ->check(range(1, 1 << 30));
  f->with.add(*c);
  c->callback([f, &action] {
    if (f->ids.ids.empty() && f->ids.file.empty())
      throw CLI::ValidationError("logits needs --ids or --ids-file");
    action = [f] {
      const Status status = logits_of(*f);
      return status ? kDone : fail(status.error());
    };
  });
}

}  // namespace bezel::app
