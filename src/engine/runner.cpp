#include "engine/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "base/fp_env.h"
#include "base/system.h"

namespace bezel {

namespace {

constexpr int kMaxThreads = 1024, kMaxChunk = 65536, kMaxSequences = 1024;

Status check_options(const EngineOptions& o) {
  if (o.threads < 0 || o.threads > kMaxThreads)
    return Error{Errc::BadInput,
                 fmt::format("threads must be from 1 to {}, not {}", kMaxThreads, o.threads), ""};
  if (o.chunk < 0 || o.chunk > kMaxChunk)
    return Error{Errc::BadInput,
                 fmt::format("a chunk must have 1 to {} rows, not {}", kMaxChunk, o.chunk), ""};
  if (o.weights == WeightKind::Q8_0 && o.act != ActKind::Int8)
    return Error{Errc::BadInput, "weights as Q8_0 need int8 activations (--act int8)", ""};
  if (o.sequences < 1 || o.sequences > kMaxSequences)
    return Error{
        Errc::BadInput,
        fmt::format("1 to {} answers can run at the same time, not {}", kMaxSequences, o.sequences),
        ""};
  return Ok{};
}

// The context to ask for when `positions` are needed.
Result<int> wanted_context(const Config& config, const RunnerOptions& o) {
  if (o.positions == 0) return o.engine.context;
  if (o.positions > config.context)
    return Error{Errc::TooLarge,
                 fmt::format("{} tokens are more than the {} that the model was made for",
                             o.positions, config.context),
                 ""};
  if (o.engine.context != 0 && o.positions > o.engine.context)
    return Error{Errc::TooLarge,
                 fmt::format("{} tokens do not fit the context of {}; raise --ctx", o.positions,
                             o.engine.context),
                 ""};
  return o.engine.context != 0 ? o.engine.context : o.positions;
}

KvShape limited(KvShape shape, std::uint64_t limit) {
  shape.limit = limit;
  return shape;
}

bool all_finite(ConstMat x) {
  for (int r = 0; r < x.rows; ++r)
    for (const float v : x.row_span(r))
      if (!std::isfinite(v)) return false;
  return true;
}

}  // namespace

Runner::Runner(std::unique_ptr<Model> model, const KernelTable& table, const RunShape& shape,
               int context, Act act)
    : model_(std::move(model)),
      table_(&table),
      shape_(shape),
      context_(context),
      pool_(shape.threads),
      scratch_(scratch_bytes(*model_, shape, context)),
      ops_(table, pool_, scratch_, act),
      kv_(model_->config(),
          limited(kv_shape(shape, context), plan_memory(*model_, shape, context).kv)) {}

Result<std::unique_ptr<Runner>> Runner::open(const RunnerOptions& options) {
  try {
    return open_unguarded(options);
  } catch (const std::bad_alloc&) {
    return Error{Errc::NoMemory, "not enough memory to load the model", options.engine.model_path};
  }
}

Result<std::unique_ptr<Runner>> Runner::open_unguarded(const RunnerOptions& options) {
  const EngineOptions& o = options.engine;
  BEZEL_DO(check_options(o));
  BEZEL_TRY(const KernelTable* table, find_kernels(o.isa));
  BEZEL_TRY(TensorFile file, open_tensor_file(o.model_path));
  BEZEL_TRY(std::unique_ptr<Model> model, Model::load(std::move(file)));
  BEZEL_TRY(const int wanted, wanted_context(model->config(), options));

  RunShape shape;
  shape.threads = o.threads > 0 ? o.threads : usable_cores();
  shape.kv = dtype_of(o.kv);
  shape.sequences = o.sequences;
  shape.back = options.tokenizer ? kKeptBack : 0;
  shape.cache = options.tokenizer ? o.cache_memory : 0;
  shape.memory = o.memory;
  shape.chunk = o.chunk > 0 ? o.chunk : default_chunk(model->config().vocab, options.every_row);
  shape.chunk = std::min(shape.chunk, wanted > 0 ? wanted : model->config().context);
  shape.chunk = std::max(shape.chunk, o.sequences);
  shape.states = options.states;
  shape.max_read = options.every_row ? shape.chunk : std::min(options.last_rows, shape.chunk);
  shape.tokenizer = options.tokenizer;
  shape.packs = shape.floats_as_q8 = o.weights == WeightKind::Q8_0;
  BEZEL_TRY(const int context, choose_context(*model, shape, wanted));
  shape.chunk = std::max(std::min(shape.chunk, context), o.sequences);
  shape.max_read = std::min(shape.max_read, shape.chunk);
  const Act act = o.act == ActKind::Int8 ? Act::Int8 : Act::F32;
  const std::uint64_t free = free_for(shape);
  if (shape.floats_as_q8 && plan_memory(*model, shape, context).anonymous() > free)
    return Error{Errc::TooLarge,
                 fmt::format("weights as Q8_0 need {}, and {} are free; leave --weights out",
                             size_text(model->packed_bytes(true)), size_text(free)),
                 o.model_path};
  if (!shape.packs) shape.packs = packing_pays(*model, o, shape, context, free);
  if (options.tokenizer && shape.cache == 0)
    shape.kept = default_kept(*model, shape, context, free);
  std::unique_ptr<Runner> runner(new Runner(std::move(model), *table, shape, context, act));
  if (shape.floats_as_q8) BEZEL_DO(runner->pack());
  return runner;
}

bool Runner::rewind(int length, int seq) {
  if (length == this->length(seq)) return true;
  if (length > 0 && kv_.can_rewind(seq, length)) {
    kv_.set_length(seq, length);
    return true;
  }
  clear(seq);
  return length == 0;
}

// Before the first ids of an answer run: few rows, all of them read, behind something. Reading a
// prompt gains little, and may be all there is.
void Runner::pack_to_write(const Batch& batch) {
  const bool few = batch.size() <= std::max(kFewTokens, shape_.sequences);
  const bool answers = batch.read.size() == batch.ids.size() && batch.rows.front().pos > 0;
  if (packed_ || !shape_.packs || !few || !answers) return;
  // Others may have taken the memory since. The file does as well.
  const std::uint64_t free = free_for(shape_);
  if (model_->packed_bytes(shape_.floats_as_q8) > free - free / 16 || !pack()) {
    shape_.packs = false;
    packed_ = true;
  }
}

Status Runner::pack() {
  packed_ = true;
  return model_->pack(pool_, shape_.floats_as_q8);
}

Status Runner::check_ids(std::span<const TokenId> ids) const {
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= config().vocab)
      return Error{Errc::BadInput,
                   fmt::format("id {} (number {} of the list) is not in the vocabulary of {} ids",
                               ids[i], i + 1, config().vocab),
                   ""};
  return Ok{};
}

Status Runner::pass(const Batch& batch, const Tap& tap, const std::function<void(ConstMat)>& rows) {
  const FpEnv env;
  BEZEL_CHECK(batch.size() <= shape_.chunk);
  BEZEL_CHECK(static_cast<int>(batch.read.size()) <= max_read(batch.logits));
  pack_to_write(batch);
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const RowPos& r = batch.rows[i];
    const bool last = i + 1 == batch.rows.size() || batch.rows[i + 1].seq != r.seq;
    if (last) BEZEL_DO(kv_.reserve(r.seq, r.pos + 1));
  }
  const auto frame = scratch_.frame();
  BEZEL_TRY(const Mat logits, model_->forward(batch, kv_, ops_, tap));
  if (!all_finite(logits))
    return Error{Errc::Numeric, "the logits became infinite or not a number", "output"};
  if (rows) rows(logits);
  return Ok{};
}

Status Runner::feed(std::span<const TokenId> ids, std::size_t read_from, const Hooks& hooks) {
  BEZEL_DO(check_ids(ids));
  const std::size_t room = static_cast<std::size_t>(context_ - length());
  if (ids.size() > room)
    return Error{Errc::TooLarge,
                 fmt::format("{} tokens do not fit: {} of the context's {} positions are left",
                             ids.size(), room, context_),
                 ""};
  const Error cancelled{Errc::Cancelled, "stopped", ""};
  Batch batch;
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t n = std::min(ids.size() - at, static_cast<std::size_t>(shape_.chunk));
    const int start = length();
    batch.ids.clear();
    batch.rows.clear();
    batch.read.clear();
    for (std::size_t i = 0; i < n; ++i)
      batch.add(0, start + static_cast<int>(i), ids[at + i], at + i >= read_from);
    const auto first = static_cast<int>(std::max(at, read_from));
    bool go_on = true;
    const Status passed = pass(batch, hooks.tap, [&](ConstMat logits) {
      go_on = logits.rows == 0 || !hooks.rows || hooks.rows(first, logits);
    });
    if (!passed && passed.error().code == Errc::Numeric) clear();
    if (!passed) return passed.error();
    at += n;
    if (!go_on) return cancelled;
    if (hooks.progress && !hooks.progress(static_cast<int>(at))) return cancelled;
  }
  return Ok{};
}

}  // namespace bezel
