// How much memory a model will take, and how long a context fits: computed before anything is
// taken.
#pragma once
#include <cstdint>

#include "bezel/engine.h"
#include "bezel/result.h"
#include "formats/dtype.h"
#include "model/model.h"

namespace bezel {

// What the size of a run depends on besides its context.
struct RunShape {
  int chunk = 0;        // most rows of a forward pass
  int max_read = 0;     // most rows of a pass whose logits are wanted, <= chunk
  bool states = false;  // a pass without logits may read every row
  int threads = 1;
  int sequences = 1;
  int back = 0;              // positions that sliding layers keep beyond what a pass needs
  std::uint64_t cache = 0;   // bytes of keys and values that were asked for; 0: whole contexts
  std::uint64_t kept = 0;    // without `cache`: for prefixes, beside whole contexts
  std::uint64_t memory = 0;  // most bytes to take; 0: what is free
  DType kv = DType::F16;
  bool tokenizer = false;     // one is loaded too
  bool packs = false;         // weights are packed
  bool floats_as_q8 = false;  // float ones too
};

// Of an engine, which keeps prefixes: a prompt that differs from an earlier one so many positions
// before a checkpoint still goes on from there.
constexpr int kKeptBack = 256;

DType dtype_of(KvKind kind);

// Bytes that a run may take now.
std::uint64_t free_for(const RunShape& shape);

KvShape kv_shape(const RunShape& shape, int context);

// Rows of a forward pass when nobody says otherwise: 512, or, where every row's logits are wanted,
// as many as take 64 MiB of logits, 16 to 512.
int default_chunk(int vocab, bool every_row);

// Arena bytes of the largest pass.
std::size_t scratch_bytes(const Model& model, const RunShape& shape, int context);

// `context` >= 1 positions of each sequence.
MemoryPlan plan_memory(const Model& model, const RunShape& shape, int context);

// Whether weights are packed when an answer begins: nothing else was asked for, and they fit beside
// everything else with a sixteenth of `free_bytes` left.
bool packing_pays(const Model& model, const EngineOptions& options, const RunShape& shape,
                  int context, std::uint64_t free_bytes);

// What prefixes may take beside whole contexts when nobody says: eight windows, and half of what
// everything else leaves of the free memory at most.
std::uint64_t default_kept(const Model& model, const RunShape& shape, int context,
                           std::uint64_t free_bytes);

// Memory that a context chosen by us may take: half of what is free, and no more than the mapped
// weights leave of it; an eighth when they leave nothing (they can be read again from disk).
std::uint64_t default_budget(std::uint64_t free_bytes, std::uint64_t mapped_bytes);

// The longest context of each sequence, in whole pages and at most the model's, whose plan stays
// within `budget` and of which one sequence fits shape.cache; at least one page.
int fitting_context(const Model& model, const RunShape& shape, std::uint64_t budget);

// `wanted` positions checked against the model and the free memory, or with 0 the fitting context.
// An Error has the numbers.
Result<int> choose_context(const Model& model, const RunShape& shape, int wanted);

// "1.5 GiB", "12 MiB".
std::string size_text(std::uint64_t bytes);

}  // namespace bezel
