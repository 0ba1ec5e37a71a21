// Keys and values of several sequences, in pages of 256 positions. Global layers hold all pages of
// a sequence; sliding layers a ring of pages just long enough for window + largest chunk.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "bezel/result.h"
#include "kernels/ops.h"
#include "model/config.h"

namespace bezel {

// Engine thread only. Memory is taken when a sequence is opened (rings) and as it grows (global
// pages), never more than plan_bytes() said.
class KvCache {
 public:
  // `context`: most positions of a sequence; `max_chunk`: most new rows of one sequence in a batch.
  KvCache(const Config& config, int n_seqs, int context, int max_chunk, DType type);
  ~KvCache();

  static std::uint64_t plan_bytes(const Config& config, int n_seqs, int context, int max_chunk,
                                  DType type);

  int context() const { return context_; }
  int length(int seq) const;  // positions held
  // Makes room for positions up to `length` (exclusive). NoMemory / TooLarge as an Error.
  Status reserve(int seq, int length);
  void set_length(int seq, int length);  // after a forward pass, or to go back: see can_rewind
  // Going back to `length` keeps every key a later query may need only while the ring still has
  // them.
  bool can_rewind(int seq, int length) const;
  void clear(int seq);
  // `to` becomes the first `length` positions of `from`: what from can_rewind() to, and `to` can
  // rewind where `from` could. NoMemory as an Error; `to` is then in no good state until clear().
  Status copy(int from, int to, int length);
  // Page tables of layer `layer` for all sequences, index = seq. Only for layers that own K/V.
  std::vector<KvPages> pages(int layer) const;
  std::uint64_t used_bytes() const;

 private:
  struct LayerStore;
  Status take_page(LayerStore& store, int seq, int page);
  const Config& config_;
  int n_seqs_, context_, max_chunk_;
  std::vector<int> length_, high_;  // per sequence; high: most positions since clear()
  std::vector<std::unique_ptr<LayerStore>> layers_;  // null where a layer borrows K/V
  std::uint64_t used_bytes_ = 0;
};

}  // namespace bezel
