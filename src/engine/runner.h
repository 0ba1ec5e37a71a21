// A loaded model with all that a forward pass needs, for one sequence of ids or several. Knows no
// text.
#pragma once
#include <functional>
#include <memory>
#include <span>

#include "base/pool.h"
#include "base/scratch.h"
#include "bezel/engine.h"
#include "bezel/result.h"
#include "engine/plan.h"
#include "kernels/ops.h"
#include "model/kv_cache.h"
#include "model/model.h"

namespace bezel {

struct RunnerOptions {
  EngineOptions engine;
  int positions =
      0;  // with a context of 0: exactly this many; with another: at most that many; 0 = any
  bool every_row = false;  // logits of every row will be read, not only of a chunk's last
  int last_rows = 1;       // without every_row: so many rows at the end of a feed may be read
  bool states = false;     // every row may be read in passes without logits
  bool tokenizer = false;  // for the memory plan
};

// One thread at a time.
class Runner {
 public:
  // std::bad_alloc becomes an Error.
  static Result<std::unique_ptr<Runner>> open(const RunnerOptions& options);

  const Model& model() const { return *model_; }
  const Config& config() const { return model_->config(); }
  const KernelTable& table() const { return *table_; }
  int threads() const { return shape_.threads; }
  int chunk() const { return shape_.chunk; }
  // Most rows that one pass may read.
  int max_read(bool logits = true) const {
    return !logits && shape_.states ? shape_.chunk : shape_.max_read;
  }
  int sequences() const { return shape_.sequences; }
  int context() const { return context_; }
  MemoryPlan memory() const { return plan_memory(*model_, shape_, context_); }
  KvCache& cache() { return kv_; }
  int length(int seq = 0) const { return kv_.length(seq); }  // positions held

  void clear(int seq = 0) { kv_.clear(seq); }
  // Forgets the positions from `length` on. False, and everything is forgotten, when a sliding
  // layer no longer holds what a query at `length` reads.
  bool rewind(int length, int seq = 0);
  // fn(item) for every item in [0, n_items), shared out over the threads. It must not throw.
  void share_out(int n_items, const std::function<void(int item)>& fn) {
    pool_.run(n_items, [&fn](int item, int /*worker*/) { fn(item); });
  }

  // One forward pass over 1 to chunk() rows, at most max_read(batch.logits) of them read. `rows`
  // sees their logits. An Error: no memory, no room, or Numeric; which sequences have grown is then
  // open.
  Status pass(const Batch& batch, const Tap& tap, const std::function<void(ConstMat)>& rows);
  // Ids outside the vocabulary are an Error.
  Status check_ids(std::span<const TokenId> ids) const;

  // All callbacks run on this thread; those that return a bool cancel with false.
  struct Hooks {
    // Logits of fed ids [first, first + rows), valid during the call.
    std::function<bool(int first, ConstMat logits)> rows;
    std::function<bool(int done)> progress;  // after every chunk: ids fed so far
    Tap tap;                                 // sees rows of one chunk at a time
  };
  // Appends ids to sequence 0, chunk by chunk, and reads the rows from `read_from` on. An Error:
  // id out of range, no room, Cancelled, Numeric (the sequence is then cleared).
  Status feed(std::span<const TokenId> ids, std::size_t read_from, const Hooks& hooks);

 private:
  Runner(std::unique_ptr<Model> model, const KernelTable& table, const RunShape& shape, int context,
         Act act);
  static Result<std::unique_ptr<Runner>> open_unguarded(const RunnerOptions& options);
  void pack_to_write(const Batch& batch);
  Status pack();

  std::unique_ptr<Model> model_;
  const KernelTable* table_;
  RunShape shape_;
  int context_;
  ThreadPool pool_;
  Scratch scratch_;
  Ops ops_;
  KvCache kv_;
  bool packed_ = false;  // has been tried
};

}  // namespace bezel
