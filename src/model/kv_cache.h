// Keys and values of several sequences, in pages of 256 positions that sequences and checkpoints
// share. Global layers hold all pages of a sequence; sliding layers those that the window reaches.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "bezel/result.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "model/kv_pages.h"

namespace bezel {

struct KvShape {
  int sequences = 1;
  int context = 1;  // most positions of a sequence
  int chunk = 1;    // most new rows of one sequence in a batch
  int back = 0;     // sliding layers keep so many positions behind the window, to go back to
  DType type = DType::F16;
  std::uint64_t limit = 0;  // bytes of all pages; 0: what all sequences take when they are full
};

// Bytes, before anything is taken.
struct KvCost {
  std::uint64_t sequence = 0;  // a full one
  std::uint64_t window = 0;    // what a checkpoint of sliding layers takes, when it shares nothing
};

// Engine thread only. Memory is taken as sequences grow, never more than the limit.
class KvCache {
 public:
  KvCache(const Config& config, const KvShape& shape);

  static KvCost cost(const Config& config, const KvShape& shape);
  // A sequence of `length` positions at most; length <= context.
  std::uint64_t bytes_for(int length) const;

  int length(int seq) const { return length_[static_cast<std::size_t>(seq)]; }  // positions held
  // Makes room for positions up to `length` (exclusive), and copies the last page where others rely
  // on what would be overwritten. TooLarge: the context; NoMemory: may be tried again.
  Status reserve(int seq, int length);
  void set_length(int seq, int length);  // after a forward pass, or to go back: see can_rewind
  // False when sliding layers no longer hold every key that a query at `length` reads.
  bool can_rewind(int seq, int length) const;
  void clear(int seq);

  // The first `length` positions of a sequence, kept for later. Shares pages, copies nothing.
  class Checkpoint {
   public:
    struct Part {  // pages first, first + 1, ... of a group of layers
      int first = 0;
      std::vector<KvPagePtr> pages;
    };
    int length() const { return length_; }
    std::uint64_t own_bytes() const;  // of pages that nobody else holds
    const std::vector<Part>& parts() const { return parts_; }

   private:
    friend class KvCache;
    int length_ = 0;
    std::vector<Part> parts_;  // one for each group of layers
  };
  // 0 < length, can_rewind(seq, length).
  Checkpoint share(int seq, int length) const;
  // Whether a sequence can become the first `length` positions of it.
  bool reaches(const Checkpoint& from, int length) const;
  // Sequence `seq` becomes these positions; what it held goes.
  void restore(int seq, const Checkpoint& from, int length);
  // A checkpoint from pages that were stored; `first`: of each part. An Error when they are not
  // those of such a checkpoint of this cache.
  Result<Checkpoint> assemble(int length, std::vector<Checkpoint::Part> parts) const;
  // A page of group `group` for assemble(), to be filled.
  Result<KvPagePtr> new_page(std::size_t group);
  std::vector<std::size_t> page_bytes() const;  // of each group

  // Page tables of layer `layer` for all sequences, index = seq. Only for layers that own K/V.
  std::vector<KvPages> pages(int layer) const;
  std::uint64_t used_bytes() const { return pool_->used(); }
  std::uint64_t limit() const { return pool_->limit(); }

 private:
  struct Layer {  // one that owns K/V
    int index = 0;
    KvPages shape;
    std::size_t offset = 0;                       // in every page of its group
    std::vector<std::vector<std::byte*>> tables;  // [seq][table]: page p at p % table
  };
  // Layers that see equally far, and so hold the same pages.
  struct Group {
    int window = 0;  // 0: all
    int table = 0;   // most pages of a sequence
    std::size_t page_bytes = 0;
    std::vector<Layer> layers;
    std::vector<Checkpoint::Part> held;  // [seq]
  };
  static std::vector<Group> groups_of(const Config& config, const KvShape& shape);
  static int window_pages(const Group& group, const KvShape& shape, int rows);
  int first_read(const Group& group, int length) const;
  int first_kept(const Group& group, int length) const;
  void point(Group& group, int seq, int page, std::byte* bytes);
  void let_go(Group& group, int seq, int from, int to);
  Status make_last_writable(std::size_t group, int seq, int length);

  KvShape shape_;
  std::vector<int> length_;
  std::vector<Group> groups_;
  std::shared_ptr<KvPool> pool_;
};

}  // namespace bezel
