#include "engine/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/system.h"

namespace bezel {

DType dtype_of(KvKind kind) {
  switch (kind) {
    case KvKind::F32:
      return DType::F32;
    case KvKind::F16:
      return DType::F16;
    case KvKind::BF16:
      return DType::BF16;
  }
  return DType::F16;
}

std::uint64_t free_for(const RunShape& shape) {
  const std::uint64_t free = free_memory_bytes();
  return shape.memory == 0 ? free : std::min(free, shape.memory);
}

KvShape kv_shape(const RunShape& shape, int context) {
  KvShape kv;
  kv.sequences = shape.sequences;
  kv.context = context;
  kv.chunk = shape.chunk;
  kv.back = shape.back;
  kv.type = shape.kv;
  return kv;
}

int default_chunk(int vocab, bool every_row) {
  constexpr int kChunk = 512;
  if (!every_row) return kChunk;
  return std::clamp((64 << 20) / (4 * std::max(vocab, 1)), 16, kChunk);
}

std::size_t scratch_bytes(const Model& model, const RunShape& shape, int context) {
  const std::size_t logits =
      model.scratch_bytes(shape.chunk, shape.max_read, context, shape.threads);
  if (!shape.states) return logits;
  return std::max(logits,
                  model.scratch_bytes(shape.chunk, shape.chunk, context, shape.threads, false));
}

MemoryPlan plan_memory(const Model& model, const RunShape& shape, int context) {
  constexpr std::uint64_t kPieceBytes = 150;      // one piece with its share of merges and look-ups
  constexpr std::uint64_t kSamplerBytes = 4 + 8;  // one value with its id
  constexpr std::uint64_t kProgram = 5U << 20U, kPerThread = 64U << 10U;
  MemoryPlan plan;
  plan.mapped = model.file().file_bytes;
  const KvCost cost = KvCache::cost(model.config(), kv_shape(shape, context));
  plan.sequence = cost.sequence;
  plan.window = cost.window;
  plan.kv = shape.cache > 0
                ? shape.cache
                : cost.sequence * static_cast<std::uint64_t>(shape.sequences) + shape.kept;
  plan.scratch = scratch_bytes(model, shape, context);
  const auto vocab = static_cast<std::uint64_t>(model.config().vocab);
  plan.base = kProgram + kPerThread * static_cast<std::uint64_t>(shape.threads);
  if (shape.tokenizer) {  // an Engine, whose samplers keep a row and its candidates
    plan.tokenizer = kPieceBytes * vocab;
    plan.base += kSamplerBytes * vocab * static_cast<std::uint64_t>(shape.sequences);
  }
  if (shape.packs) plan.packed = model.packed_bytes(shape.floats_as_q8);
  return plan;
}

bool packing_pays(const Model& model, const EngineOptions& options, const RunShape& shape,
                  int context, std::uint64_t free_bytes) {
  if (options.act != ActKind::Int8 || options.weights != WeightKind::Auto) return false;
  RunShape packed = shape;
  packed.packs = true;
  return plan_memory(model, packed, context).anonymous() <= free_bytes - free_bytes / 16;
}

std::uint64_t default_kept(const Model& model, const RunShape& shape, int context,
                           std::uint64_t free_bytes) {
  constexpr std::uint64_t kWindows = 8;
  const MemoryPlan plan = plan_memory(model, shape, context);
  const std::uint64_t left = free_bytes - std::min(free_bytes, plan.anonymous());
  return std::min(kWindows * plan.window, left / 2);
}

std::uint64_t default_budget(std::uint64_t free_bytes, std::uint64_t mapped_bytes) {
  if (mapped_bytes >= free_bytes) return free_bytes / 8;
  return std::clamp(free_bytes - mapped_bytes, free_bytes / 8, free_bytes / 2);
}

int fitting_context(const Model& model, const RunShape& shape, std::uint64_t budget) {
  const int most = model.config().context;
  const auto fits = [&](int context) {
    const MemoryPlan plan = plan_memory(model, shape, context);
    return plan.anonymous() <= budget && (shape.cache == 0 || plan.sequence <= shape.cache);
  };
  if (most <= kSegment || fits(most)) return most;
  int good = 1, bad = most / kSegment + 1;  // in pages
  while (good + 1 < bad) {
    const int middle = good + (bad - good) / 2;
    (fits(middle * kSegment) ? good : bad) = middle;
  }
  return good * kSegment;
}

namespace {

// One sequence at least must fit what was asked for.
Status check_cache(const MemoryPlan& plan, const RunShape& shape, int context) {
  if (shape.cache == 0 || plan.sequence <= shape.cache) return Ok{};
  return Error{Errc::TooLarge,
               fmt::format("keys and values of {} tokens need {}, more than the {} of "
                           "--cache-memory; raise it, or choose a smaller --ctx or --chunk",
                           context, size_text(plan.sequence), size_text(shape.cache)),
               ""};
}

}  // namespace

Result<int> choose_context(const Model& model, const RunShape& shape, int wanted) {
  const std::uint64_t free = free_for(shape);
  if (wanted == 0) {
    const std::uint64_t budget = default_budget(free, model.file().file_bytes);
    const int context = fitting_context(model, shape, budget);
    BEZEL_DO(check_cache(plan_memory(model, shape, context), shape, context));
    return context;
  }
  const int most = model.config().context;
  if (wanted < 1)
    return Error{Errc::BadInput,
                 fmt::format("a context must have 1 position or more, not {}", wanted), ""};
  if (wanted > most)
    return Error{
        Errc::TooLarge,
        fmt::format("a context of {} tokens is more than the {} that the model was made for",
                    wanted, most),
        ""};
  const MemoryPlan plan = plan_memory(model, shape, wanted);
  BEZEL_DO(check_cache(plan, shape, wanted));
  if (plan.anonymous() > free)
    return Error{
        Errc::TooLarge,
        fmt::format("a context of {} tokens needs {} beside the model, and {} are free; choose "
                    "a smaller --ctx, {}a smaller --chunk or --kv f16",
                    wanted, size_text(plan.anonymous()), size_text(free),
                    shape.sequences > 1 ? "a smaller --parallel, " : ""),
        ""};
  return wanted;
}

std::string size_text(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1U << 30U) return fmt::format("{:.2f} GiB", value / (1U << 30U));
  if (bytes >= 1U << 20U) return fmt::format("{:.1f} MiB", value / (1U << 20U));
  if (bytes >= 1U << 10U) return fmt::format("{:.1f} KiB", value / (1U << 10U));
  return fmt::format("{} bytes", bytes);
}

}  // namespace bezel
