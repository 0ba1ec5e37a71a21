// Keys and values in shared pages: what others rely on never changes, and no page is lost.
#include "model/kv_cache.h"

#include <cstring>
#include <random>

#include "model/harness.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

TEST(KvCache, TakesNoMoreThanItsPlan) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  const int context = 4096, chunk = 64;
  Runner runner(*model, {.chunk = chunk, .kv = DType::F16}, context);
  std::vector<std::int32_t> ids(2000, 9);
  runner.feed(ids, 0);
  EXPECT_LE(runner.kv().used_bytes(),
            KvCache::cost(model->config(), {1, context, chunk, 0, DType::F16, 0}).sequence);
  EXPECT_GT(runner.kv().used_bytes(), 0U);
}

TEST(KvCache, APromptBeyondTheContextIsRefusedWithNumbers) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  KvCache kv(model->config(), {1, 100, 512, 0, DType::F16, 0});
  const auto ok = kv.reserve(0, 101);
  ASSERT_FALSE(ok);
  EXPECT_NE(ok.error().text().find("101"), std::string::npos);
  EXPECT_NE(ok.error().text().find("100"), std::string::npos);
}

TEST(KvCache, GoingBackIsRefusedWhereTheWindowHasPassed) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  Runner runner(*model, {.chunk = 64}, 4096);
  runner.feed(std::vector<std::int32_t>(2000, 9), 0);
  EXPECT_TRUE(runner.kv().can_rewind(0, 1999));
  EXPECT_FALSE(runner.kv().can_rewind(0, 100));
}

TEST(KvCache, ALimitIsSaidWithNumbersAndMayBeTriedAgain) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  KvShape shape{2, 2048, 256, 0, DType::F16, 0};
  shape.limit = KvCache::cost(model->config(), shape).sequence;
  KvCache kv(model->config(), shape);
  const auto fill = [&](int seq) -> Status {
    for (int n = 256; n <= 2048; n += 256) {
      BEZEL_DO(kv.reserve(seq, n));
      kv.set_length(seq, n);
    }
    return Ok{};
  };
  ASSERT_TRUE(fill(0));
  const Status second = fill(1);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::NoMemory);
  EXPECT_NE(second.error().what.find(std::to_string(shape.limit)), std::string::npos)
      << second.error().what;
  kv.clear(0);
  kv.clear(1);
  EXPECT_TRUE(fill(1));
}

// What a position holds stands for all ids up to it, so that a wrong page shows.
class Tagged {
 public:
  using History = std::vector<std::uint32_t>;

  Tagged(const Config& config, const KvShape& shape)
      : config_(config), kv(config, shape), history(static_cast<std::size_t>(shape.sequences)) {}

  void append(int seq, int n, std::mt19937& dice) {
    const int from = kv.length(seq);
    const auto s = static_cast<std::size_t>(seq);
    for (int i = 0; i < n; ++i) history[s].push_back(static_cast<std::uint32_t>(dice()));
    for (int l = 0; l < config_.n_layers(); ++l)
      for (int p = from; owns(l) && p < from + n; ++p) {
        std::byte* to = kv.pages(l)[s].k(p / kSegment, 0) + p % kSegment * 4;
        std::memcpy(to, &history[s][static_cast<std::size_t>(p)], 4);
      }
    kv.set_length(seq, from + n);
  }
  void cut(int seq, int length) {
    kv.set_length(seq, length);
    history[static_cast<std::size_t>(seq)].resize(static_cast<std::size_t>(length));
  }
  // Everything that a query at the end of the sequence may read.
  bool whole(int seq) const {
    const auto s = static_cast<std::size_t>(seq);
    for (int l = 0; l < config_.n_layers(); ++l) {
      if (!owns(l)) continue;
      const int window = config_.layers[static_cast<std::size_t>(l)].attn.window;
      const int length = kv.length(seq), first = window > 0 ? std::max(0, length - window + 1) : 0;
      const KvPages pages = kv.pages(l)[s];
      for (int p = first; p < length; ++p)
        if (std::memcmp(pages.k(p / kSegment, 0) + p % kSegment * 4,
                        &history[s][static_cast<std::size_t>(p)], 4) != 0)
          return false;
    }
    return true;
  }

 private:
  bool owns(int l) const { return config_.layers[static_cast<std::size_t>(l)].kv_from == l; }
  const Config& config_;

 public:
  KvCache kv;
  std::vector<History> history;
};

struct Kept {
  KvCache::Checkpoint checkpoint;
  Tagged::History history;
};

// One step of a random walk: some sequence grows, goes back, is kept, or becomes something kept.
void step(Tagged& t, std::vector<Kept>& kept, const KvShape& shape, std::mt19937& dice) {
  const auto below = [&](int n) {
    return static_cast<int>(dice() % static_cast<std::uint32_t>(n));
  };
  const int seq = below(shape.sequences), length = t.kv.length(seq);
  auto& history = t.history[static_cast<std::size_t>(seq)];
  const int what = below(10);
  if (what < 5) {
    const int n = std::min(1 + below(shape.chunk), shape.context - length);
    if (n > 0 && t.kv.reserve(seq, length + n)) t.append(seq, n, dice);
  } else if (what == 5 && length > 0) {
    const int to = std::max(1, length - below(300));
    if (t.kv.can_rewind(seq, to)) t.cut(seq, to);
  } else if (what == 6 && length > 0) {
    const int at = std::max(1, length - below(40));
    if (!t.kv.can_rewind(seq, at)) return;
    kept.push_back({t.kv.share(seq, at), history});
    kept.back().history.resize(static_cast<std::size_t>(at));
  } else if (what == 7 && !kept.empty()) {
    const Kept& from = kept[static_cast<std::size_t>(below(static_cast<int>(kept.size())))];
    const int length_then = from.checkpoint.length();
    ASSERT_TRUE(t.kv.reaches(from.checkpoint, length_then));
    int at = std::max(1, length_then - below(400));
    if (!t.kv.reaches(from.checkpoint, at)) at = length_then;
    t.kv.restore(seq, from.checkpoint, at);
    history = from.history;
    history.resize(static_cast<std::size_t>(at));
  } else if (what == 8 && !kept.empty()) {
    kept.erase(kept.begin() + below(static_cast<int>(kept.size())));
  } else if (what == 9 && below(4) == 0) {
    t.kv.clear(seq);
    history.clear();
  }
}

TEST(KvCache, SharedPagesHoldWhatWasWrittenWhateverOthersDo) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  for (const int window : {8, 300, 1024})
    for (std::uint32_t seed = 0; seed < 6; ++seed) {
      Config config = model->config();
      for (LayerConfig& l : config.layers)
        if (l.attn.window > 0) l.attn.window = window;
      KvShape shape{3, 2000, 40 + 100 * static_cast<int>(seed), 256, DType::F32, 0};
      shape.limit = KvCache::cost(config, shape).sequence * (2 + seed % 3);
      Tagged t(config, shape);
      std::vector<Kept> kept;
      std::mt19937 dice(seed);
      for (int n = 0; n < (kSanitized ? 300 : 1500); ++n) {
        ASSERT_NO_FATAL_FAILURE(step(t, kept, shape, dice)) << n;
        ASSERT_LE(t.kv.used_bytes(), shape.limit);
        for (int seq = 0; seq < shape.sequences; ++seq)
          ASSERT_TRUE(t.whole(seq)) << window << " " << seed << " " << n;
      }
      // Each checkpoint still is what it was.
      for (const Kept& k : kept) {
        t.kv.restore(0, k.checkpoint, k.checkpoint.length());
        t.history[0] = k.history;
        ASSERT_TRUE(t.whole(0));
      }
      for (int seq = 0; seq < shape.sequences; ++seq) t.kv.clear(seq);
      kept.clear();
      EXPECT_EQ(t.kv.used_bytes(), 0U) << "pages are lost";
    }
}

// Layers that own K/V, of these sizes.
Config config_of(int sliding, int heads, int global, int global_heads, int window) {
  Config c;
  for (int i = 0; i < sliding + global; ++i) {
    LayerConfig l;
    l.kv_from = i;
    l.sliding = i < sliding;
    l.attn.heads_kv = l.sliding ? heads : global_heads;
    l.attn.head_dim = l.sliding ? 256 : 512;
    l.attn.window = l.sliding ? window : 0;
    c.layers.push_back(l);
  }
  return c;
}

TEST(KvCache, TheCostOfAWindowIsStatedBeforeItIsTaken) {
  const KvShape shape{1, 8192, 512, 256, DType::F16, 0};
  const auto page = [](std::uint64_t layers, std::uint64_t heads, std::uint64_t dim) {
    return layers * heads * dim * 2 * 2 * 256;  // K and V, 2 bytes, 256 positions
  };
  // E2B: 12 of the 15 layers that own K/V slide, over 512. 512 - 1 + 256 positions touch 4 pages.
  const KvCost e2b = KvCache::cost(config_of(12, 1, 3, 1, 512), shape);
  EXPECT_EQ(e2b.window, 4 * page(12, 1, 256));
  EXPECT_EQ(e2b.sequence, 6 * page(12, 1, 256) + 32 * page(3, 1, 512));
  // 26B-A4B: 25 of 30 layers, over 1024.
  const KvCost b26 = KvCache::cost(config_of(25, 8, 5, 2, 1024), shape);
  EXPECT_EQ(b26.window, 6 * page(25, 8, 256));
  EXPECT_EQ(b26.sequence, 8 * page(25, 8, 256) + 32 * page(5, 2, 512));
}

TEST(KvCache, ACheckpointTakesNoMemoryUntilTheSequencesPart) {
  const auto model = load_model(text_fixture("e2b/model.gguf"));
  const KvShape shape{2, 2048, 256, 256, DType::F32, 0};
  Tagged t(model->config(), shape);
  std::mt19937 dice(1);
  for (int n = 0; n < 4; ++n) {
    ASSERT_TRUE(t.kv.reserve(0, 250 * (n + 1)));
    t.append(0, 250, dice);
  }
  const std::uint64_t before = t.kv.used_bytes();
  const auto kept = t.kv.share(0, 1000);
  EXPECT_EQ(t.kv.used_bytes(), before);
  EXPECT_EQ(kept.own_bytes(), 0U);
  ASSERT_TRUE(t.kv.reserve(0, 1010));  // behind the checkpoint, in the same page
  t.append(0, 10, dice);
  const std::uint64_t now = t.kv.used_bytes();
  EXPECT_LE(now, before);
  t.kv.restore(1, kept, 1000);
  t.history[1].assign(t.history[0].begin(), t.history[0].begin() + 1000);
  EXPECT_EQ(t.kv.used_bytes(), now);
  ASSERT_TRUE(t.kv.reserve(1, 1001));  // the last page is copied, in both kinds of layers
  const auto page = t.kv.page_bytes();
  EXPECT_EQ(t.kv.used_bytes(), now + page[0] + page[1]);
  t.append(1, 1, dice);
  EXPECT_TRUE(t.whole(0) && t.whole(1));
}

}  // namespace
}  // namespace bezel::test
