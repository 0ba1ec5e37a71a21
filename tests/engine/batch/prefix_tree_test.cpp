// The prefix tree: what it finds, and what it forgets first.
#include "engine/batch/prefix_tree.h"

#include "engine/harness.h"

namespace bezel::test {
namespace {

using Ids = std::vector<TokenId>;

// A cache whose pages nobody reads.
class Prefixes : public testing::Test {
 protected:
  void SetUp() override {
    model_ = load_model(text_fixture("e2b/model.gguf"));
    ASSERT_NE(model_, nullptr);
    config_ = model_->config();
    for (LayerConfig& l : config_.layers)
      if (l.attn.window > 0) l.attn.window = 300;
    make({1, 4096, 512, 256, DType::F32, 0});
  }
  void make(KvShape shape) {
    tree_.reset();
    shape.limit = shape.limit > 0 ? shape.limit : 64ULL << 20U;
    cache_ = std::make_unique<KvCache>(config_, shape);
    tree_ = std::make_unique<PrefixTree>(*cache_);
  }
  // Reads ids, from what is kept on, and keeps `at`; gives how many were read.
  int read(const Ids& ids, std::vector<int> at) {
    const auto found = tree_->find(ids);
    cache_->clear(0);
    if (found.length > 0) cache_->restore(0, *found.checkpoint, found.length);
    const int from = cache_->length(0), end = static_cast<int>(ids.size());
    for (int n = from; n < end;) {
      const int next = std::min(n + 100, end);
      while (!cache_->reserve(0, next)) EXPECT_TRUE(tree_->evict_one());
      cache_->set_length(0, next);
      for (const int a : at)
        if (a > n && a <= next) tree_->insert(std::span(ids).first(idx(a)), cache_->share(0, a));
      n = next;
    }
    return end - from;
  }
  int found(const Ids& ids) { return tree_->find(ids).length; }
  static std::size_t idx(int n) { return static_cast<std::size_t>(n); }

  std::unique_ptr<Model> model_;
  Config config_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<PrefixTree> tree_;
};

Ids plus(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(Prefixes, TheLongestKeptPrefixIsFound) {
  const Ids a = random_prompt(1500, 1);
  EXPECT_EQ(found(a), 0);
  read(a, {700, 1500});
  EXPECT_EQ(found(a), 1500);
  EXPECT_EQ(found(plus(a, random_prompt(9, 2))), 1500);
  EXPECT_EQ(found(plus(head(a, 1499), {0, 0})), 1499) << "a little before a checkpoint";
  EXPECT_EQ(found(plus(head(a, 1000), {0, 0})), 700) << "the windows of 1500 end behind 1000";
  EXPECT_EQ(found(plus(head(a, 600), {0, 0})), 600);
  EXPECT_EQ(found(plus(head(a, 300), {0, 0})), 300) << "700 reaches back to the start";
  EXPECT_EQ(found({0, 0}), 0);
}

TEST_F(Prefixes, BranchesShareWhatTheyHaveInCommon) {
  const Ids stem = random_prompt(1000, 1);
  read(stem, {1000});
  const std::uint64_t before = cache_->used_bytes();
  const Ids left = plus(stem, random_prompt(100, 2)), right = plus(stem, random_prompt(90, 3));
  EXPECT_EQ(read(left, {1100}), 100);
  EXPECT_EQ(read(right, {1090}), 89) << "both go on with bos";
  EXPECT_EQ(found(left), 1100);
  EXPECT_EQ(found(right), 1090);
  EXPECT_EQ(tree_->size(), 3);
  const auto page = cache_->page_bytes();
  EXPECT_LE(cache_->used_bytes(), before + 4 * (page[0] + page[1]));
}

TEST_F(Prefixes, ACheckpointBetweenOthersLeavesThemFound) {
  const Ids a = random_prompt(2000, 1);
  read(a, {500, 2000});
  cache_->clear(0);
  tree_->find(head(a, 500));
  read(head(a, 1200), {1200});
  EXPECT_EQ(tree_->size(), 3);
  EXPECT_EQ(found(a), 2000);
  EXPECT_EQ(found(head(a, 1300)), 1200);
  std::vector<int> left;  // what is found while one after the other goes
  while (tree_->evict_one()) {
    int longest = 0;
    tree_->visit([&](std::span<const TokenId> ids, const KvCache::Checkpoint&) {
      longest = std::max(longest, static_cast<int>(ids.size()));
    });
    EXPECT_EQ(found(a), longest);
    left.push_back(longest);
  }
  EXPECT_EQ(left.size(), 3U);
  EXPECT_EQ(tree_->size(), 0);
  cache_->clear(0);
  EXPECT_EQ(cache_->used_bytes(), 0U);
}

TEST_F(Prefixes, WhatIsUsedStaysAndWhatAgesGrowsSparse) {
  const Ids old = random_prompt(2000, 1), in_use = random_prompt(2000, 2);
  std::vector<int> all;
  for (int n = 100; n <= 2000; n += 100) all.push_back(n);
  read(old, all);
  read(in_use, all);
  for (int n = 0; n < 50; ++n) found(in_use);
  ASSERT_EQ(tree_->size(), 40);
  for (int n = 0; n < 25; ++n) ASSERT_TRUE(tree_->evict_one());
  EXPECT_EQ(found(in_use), 2000);
  EXPECT_GE(found(old), 1000) << "some of the old ones are left";
}

// The longest prefix of `ids` that a checkpoint of `kept` reaches, by trying all.
int longest(const KvCache& cache, const std::vector<std::pair<Ids, KvCache::Checkpoint>>& kept,
            const Ids& ids) {
  int best = 0;
  for (const auto& [prefix, checkpoint] : kept) {
    int same = 0;
    while (same < static_cast<int>(std::min(ids.size(), prefix.size())) &&
           prefix[static_cast<std::size_t>(same)] == ids[static_cast<std::size_t>(same)])
      ++same;
    if (same > best && cache.reaches(checkpoint, same)) best = same;
  }
  return best;
}

TEST_F(Prefixes, FindsWhatASearchThroughAllCheckpointsFinds) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    make({1, 1024, 256, 0, DType::F32, 0});
    Dice dice(seed);
    std::vector<Ids> texts{random_prompt(900, seed)};
    for (int n = 0; n < 60; ++n) {
      const Ids& from = texts[idx(dice.below(static_cast<int>(texts.size())))];
      Ids ids = plus(head(from, idx(1 + dice.below(static_cast<int>(from.size())))),
                     random_prompt(1 + dice.below(40), static_cast<std::uint64_t>(n)));
      ids.resize(std::min<std::size_t>(ids.size(), 1000));
      std::vector<std::pair<Ids, KvCache::Checkpoint>> kept;
      tree_->visit([&](std::span<const TokenId> prefix, const KvCache::Checkpoint& c) {
        kept.emplace_back(Ids(prefix.begin(), prefix.end()), c);
      });
      EXPECT_EQ(found(ids), longest(*cache_, kept, ids));
      kept.clear();
      const int size = static_cast<int>(ids.size());
      read(ids, {1 + dice.below(size), size});
      if (dice.below(3) == 0) tree_->evict_one();
      texts.push_back(std::move(ids));
    }
    tree_->clear();
    cache_->clear(0);
    EXPECT_EQ(cache_->used_bytes(), 0U);
  }
}

TEST_F(Prefixes, TheNumberOfCheckpointsHasABound) {
  const Ids a = random_prompt(3000, 1);
  std::vector<int> all;
  for (int n = 1; n <= 3000; ++n) all.push_back(n);
  read(a, all);
  EXPECT_EQ(tree_->size(), PrefixTree::kMostCheckpoints);
  EXPECT_EQ(found(a), 3000);
}

}  // namespace
}  // namespace bezel::test
