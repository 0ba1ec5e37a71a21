// Prefixes of what was read and written, kept so that nothing is read twice.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "bezel/engine.h"
#include "model/kv_cache.h"

namespace bezel {

// A node is a checkpoint: the keys and values of the ids on the way to it. Because sliding layers
// forget, only checkpoints can be gone on from, and the few positions before one that it still
// reaches. A checkpoint holds its pages itself, so any node may go at any time.
//
// Engine thread only; the cache must outlive it.
class PrefixTree {
 public:
  static constexpr int kMostCheckpoints = 1024;

  explicit PrefixTree(const KvCache& cache) : cache_(cache) {}

  struct Found {
    const KvCache::Checkpoint* checkpoint = nullptr;  // valid until the next change
    int length = 0;                                   // so many ids of it can be gone on from
  };
  // The longest prefix of `ids` that is kept; counts as a use of it.
  Found find(std::span<const TokenId> ids);
  // Keeps a checkpoint of `ids` (at least one), unless there is one. May throw std::bad_alloc: then
  // nothing has changed, but that room was made where the tree was full.
  void insert(std::span<const TokenId> ids, KvCache::Checkpoint checkpoint);
  // Forgets the checkpoint whose loss costs least: the fewest ids to read again since the one
  // before it, over the time since its last use. So what is used stays, and what ages grows
  // sparse. One that frees memory goes before one that frees none. False: the tree is empty.
  bool evict_one();
  void clear();

  int size() const { return size_; }
  // fn(ids, checkpoint) for every checkpoint, the latest used first.
  using Visit =
      std::function<void(std::span<const TokenId> ids, const KvCache::Checkpoint& checkpoint)>;
  void visit(const Visit& fn);

 private:
  struct Node {
    Node* parent = nullptr;
    std::vector<TokenId> ids;  // since the parent
    KvCache::Checkpoint checkpoint;
    std::uint64_t used = 0;
    std::vector<std::unique_ptr<Node>> children;
  };
  void find_below(Node& node, std::span<const TokenId> ids, int length, Node*& best,
                  Found& found) const;
  Node& descend(std::span<const TokenId>& ids);
  static void each(Node& node, const std::function<void(Node&)>& fn);
  void remove(Node& node);

  const KvCache& cache_;
  Node root_;  // length 0, no checkpoint
  int size_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace bezel
