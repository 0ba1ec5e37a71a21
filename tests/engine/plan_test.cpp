// The memory plan: its numbers, what a context is chosen from, and that no more is ever taken.
#include "engine/plan.h"

#include <malloc.h>

#include "base/system.h"
#include "engine/harness.h"
#include "engine/runner.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

class Plan : public testing::Test {
 protected:
  void SetUp() override {
    model_ = load_model(text_fixture("e2b/model.gguf"));
    ASSERT_NE(model_, nullptr);
  }
  RunShape shape_{.chunk = 512, .max_read = 1, .threads = 2, .kv = DType::F32};
  std::unique_ptr<Model> model_;
};

TEST_F(Plan, KeysAndValuesAreTheNumbersThatTheShapeGives) {
  // e2b: layers 0 to 3 slide (1 head of 16), layer 4 sees all (1 head of 32), the others borrow.
  // A ring for window 8 and chunks of 512 is 4 pages of 256 positions; K and V, 4 bytes each.
  EXPECT_EQ(plan_memory(*model_, shape_, 4096).kv,
            4ULL * 4 * 256 * 16 * 2 * 4 + 16ULL * 256 * 32 * 2 * 4);
  EXPECT_EQ(plan_memory(*model_, shape_, 1).kv, 4ULL * 256 * 16 * 2 * 4 + 256ULL * 32 * 2 * 4);
  shape_.kv = DType::F16;
  EXPECT_EQ(plan_memory(*model_, shape_, 4096).kv,
            4ULL * 4 * 256 * 16 * 2 * 2 + 16ULL * 256 * 32 * 2 * 2);
  EXPECT_EQ(dtype_of(KvKind::F32), DType::F32);
  EXPECT_EQ(dtype_of(KvKind::F16), DType::F16);
  EXPECT_EQ(dtype_of(KvKind::BF16), DType::BF16);
}

TEST_F(Plan, PackedWeightsArePartOfItWhenTheyFit) {
  const auto model = load_model(text_fixture("e2b-wide/Q4_0.gguf"));
  const MemoryPlan plain = plan_memory(*model, shape_, 256);
  EXPECT_EQ(plain.packed, 0U);
  shape_.packs = true;
  const MemoryPlan packed = plan_memory(*model, shape_, 256);
  EXPECT_EQ(packed.packed, model->packed_bytes(false));
  EXPECT_EQ(packed.anonymous(), plain.anonymous() + packed.packed);
  shape_.packs = false;
  const std::uint64_t need = packed.anonymous();
  const auto packs = [&](const EngineOptions& options, std::uint64_t free_bytes) {
    return packing_pays(*model, options, shape_, 256, free_bytes);
  };
  EngineOptions options;
  EXPECT_TRUE(packs(options, need / 15 * 16 + 64));
  EXPECT_FALSE(packs(options, need));
  options.weights = WeightKind::File;
  EXPECT_FALSE(packs(options, UINT64_MAX));
  options = {};
  options.act = ActKind::F32;
  EXPECT_FALSE(packs(options, UINT64_MAX)) << "float products read the file";
}

TEST_F(Plan, StatesEveryPart) {
  const MemoryPlan bare = plan_memory(*model_, shape_, 1024);
  EXPECT_EQ(bare.mapped, std::filesystem::file_size(text_fixture("e2b/model.gguf")));
  EXPECT_EQ(bare.tokenizer, 0U);
  EXPECT_EQ(bare.scratch, model_->scratch_bytes(512, 1, 1024, 2));
  EXPECT_EQ(bare.anonymous(), bare.kv + bare.scratch + bare.base);
  shape_.tokenizer = true;
  const MemoryPlan with = plan_memory(*model_, shape_, 1024);
  EXPECT_GT(with.tokenizer, 320U * 32);
  const std::uint64_t sampler = 320U * 12;  // of one sequence: a row, and its values with their ids
  EXPECT_EQ(with.anonymous(), bare.anonymous() + with.tokenizer + sampler);
  shape_.sequences = 3;
  const MemoryPlan many = plan_memory(*model_, shape_, 1024);
  EXPECT_EQ(many.kv, 3 * with.kv);
  EXPECT_EQ(many.base, with.base + 2 * sampler);
}

TEST_F(Plan, GrowsWithContextChunkThreadsAndReadRows) {
  std::uint64_t before = 0;
  for (int context = 1; context <= 4096; context += 45) {
    const std::uint64_t now = plan_memory(*model_, shape_, context).anonymous();
    EXPECT_GE(now, before) << context;
    before = now;
  }
  const auto with = [&](auto change) {
    RunShape shape = shape_;
    change(shape);
    return plan_memory(*model_, shape, 4096).anonymous();
  };
  const std::uint64_t base = with([](RunShape&) {});
  EXPECT_GT(with([](RunShape& s) { s.chunk = 1024; }), base);
  EXPECT_GT(with([](RunShape& s) { s.threads = 8; }), base);
  EXPECT_GT(with([](RunShape& s) { s.max_read = 512; }), base);
  EXPECT_GT(with([](RunShape& s) { s.states = true; }), base) << "of the rows without logits";
  EXPECT_LT(with([](RunShape& s) { s.states = true; }),
            with([](RunShape& s) { s.max_read = 512; }));
}

TEST_F(Plan, FittingContextIsTheLongestWithinTheBudget) {
  const auto need = [&](int context) { return plan_memory(*model_, shape_, context).anonymous(); };
  const std::uint64_t least = need(256), most = need(4096);
  EXPECT_EQ(fitting_context(*model_, shape_, most), 4096);
  EXPECT_EQ(fitting_context(*model_, shape_, most - 1), 4096 - 256);
  EXPECT_EQ(fitting_context(*model_, shape_, least), 256);
  EXPECT_EQ(fitting_context(*model_, shape_, 0), 256) << "one page at least";
  for (std::uint64_t budget = least; budget < most + 100000; budget += 7001) {
    const int context = fitting_context(*model_, shape_, budget);
    EXPECT_LE(need(context), budget);
    EXPECT_EQ(context % 256, 0);
    if (context < 4096) {
      EXPECT_GT(need(context + 256), budget) << budget;
    }
  }
}

TEST_F(Plan, ChooseContextRefusesWithNumbers) {
  const auto refused = [&](int wanted, Errc code) {
    const auto got = choose_context(*model_, shape_, wanted);
    EXPECT_FALSE(got) << wanted;
    if (got) return std::string();
    EXPECT_EQ(got.error().code, code);
    return got.error().what;
  };
  EXPECT_NE(refused(-5, Errc::BadInput).find("-5"), std::string::npos);
  const std::string long_one = refused(4097, Errc::TooLarge);
  EXPECT_NE(long_one.find("4097"), std::string::npos) << long_one;
  EXPECT_NE(long_one.find("4096"), std::string::npos) << long_one;
  shape_.chunk = 1 << 30;  // terabytes of intermediate results; nothing is taken
  const std::string need = size_text(plan_memory(*model_, shape_, 4000).anonymous());
  const std::string large = refused(4000, Errc::TooLarge);
  EXPECT_NE(large.find("4000"), std::string::npos) << large;
  EXPECT_NE(large.find(need), std::string::npos) << large;
  EXPECT_NE(large.find("iB are free"), std::string::npos) << large;
}

TEST_F(Plan, ChooseContextTakesWhatFits) {
  for (const int wanted : {1, 255, 256, 257, 4096}) {
    const auto got = choose_context(*model_, shape_, wanted);
    ASSERT_TRUE(got) << got.error().text();
    EXPECT_EQ(*got, wanted);
  }
  const auto free_choice = choose_context(*model_, shape_, 0);
  ASSERT_TRUE(free_choice);
  EXPECT_GE(*free_choice, 256);
  EXPECT_LE(*free_choice, 4096);
}

TEST(Budget, IsHalfOfTheFreeMemoryAndLeavesRoomForTheWeights) {
  EXPECT_EQ(default_budget(8000, 0), 4000U);
  EXPECT_EQ(default_budget(8000, 4000), 4000U);
  EXPECT_EQ(default_budget(8000, 5000), 3000U);
  EXPECT_EQ(default_budget(8000, 7000), 1000U);
  EXPECT_EQ(default_budget(8000, 7500), 1000U) << "an eighth at least";
  EXPECT_EQ(default_budget(8000, 8000), 1000U);
  EXPECT_EQ(default_budget(8000, ~0ULL), 1000U);
  EXPECT_EQ(default_budget(0, 0), 0U);
}

TEST(Chunk, IsShorterWhereEveryRowOfLogitsIsKept) {
  EXPECT_EQ(default_chunk(262144, false), 512);
  EXPECT_EQ(default_chunk(262144, true), 64);  // 64 rows of 1 MiB
  EXPECT_EQ(default_chunk(320, true), 512);
  EXPECT_EQ(default_chunk(1 << 22, true), 16);
}

TEST(SizeText, HasTheUnitThatFits) {
  EXPECT_EQ(size_text(0), "0 bytes");
  EXPECT_EQ(size_text(1023), "1023 bytes");
  EXPECT_EQ(size_text(1024), "1.0 KiB");
  EXPECT_EQ(size_text(12U << 20U), "12.0 MiB");
  EXPECT_EQ(size_text(3ULL << 29U), "1.50 GiB");
}

struct Case {
  const char* file;
  int chunk, threads;
  bool every_row;
  KvKind kv;
};

TEST(PlanHolds, MemoryReallyTakenStaysWithinThePlan) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory would be counted";
  const Case cases[] = {{"e2b/model.gguf", 512, 1, false, KvKind::F32},
                        {"e2b/model.gguf", 2048, 3, true, KvKind::F32},
                        {"26b-a4b/model.gguf", 256, 2, false, KvKind::F16},
                        {"12b/model.gguf", 64, 2, true, KvKind::F32},
                        {"e2b-wide/Q4_K_M.gguf", 512, 2, false, KvKind::BF16}};
  for (const Case& c : cases) {
    RunnerOptions o;
    o.engine = tiny(text_fixture(c.file));
    o.engine.context = 4096;
    o.engine.chunk = c.chunk;
    o.engine.threads = c.threads;
    o.engine.kv = c.kv;
    o.engine.act = ActKind::Int8;
    o.every_row = c.every_row;
    ::malloc_trim(0);  // or pages that earlier tests gave back would be taken again unseen
    const std::uint64_t before = resident_memory().anonymous;
    auto opened = bezel::Runner::open(o);
    ASSERT_TRUE(opened) << opened.error().text();
    bezel::Runner& runner = **opened;
    const MemoryPlan plan = runner.memory();
    const int n = std::string(c.file).find("26b") == 0 ? 1500 : 4096;
    const auto ids = random_prompt(n, 5);
    ASSERT_TRUE(runner.feed(ids, c.every_row ? 0 : ids.size(), {}));
    const std::uint64_t after = resident_memory().anonymous;
    EXPECT_LE(after, before + plan.anonymous()) << c.file;
    if (n == 4096) {
      EXPECT_GE(after + (1U << 20U), before + plan.kv) << c.file << ": the measure sees the cache";
    }
  }
}

TEST(PlanHolds, TheCacheNeverTakesMoreThanItsPlanAndNearlyAllOfIt) {
  for (const char* file : {"e2b/model.gguf", "12b/model.gguf", "gemma3-270m/model.gguf"}) {
    const auto model = load_model(text_fixture(file));
    ASSERT_NE(model, nullptr);
    for (const int chunk : {1, 100, 512})
      for (const int context : {1, 256, 257, 2000}) {
        const RunShape shape{.chunk = chunk, .max_read = 1, .threads = 1, .kv = DType::F16};
        const std::uint64_t plan = plan_memory(*model, shape, context).kv;
        KvCache kv(model->config(), kv_shape(shape, context));
        EXPECT_EQ(kv.used_bytes(), 0U);
        std::uint64_t most = 0, page = 0;  // chunks that begin elsewhere may need a page more
        for (const std::size_t bytes : kv.page_bytes()) page += bytes;
        for (int at = 0; at < context; at += chunk) {
          ASSERT_TRUE(kv.reserve(0, std::min(context, at + chunk)));
          kv.set_length(0, std::min(context, at + chunk));
          most = std::max(most, kv.used_bytes());
        }
        EXPECT_LE(most, plan);
        EXPECT_GE(most + page, plan) << file << " " << chunk << " " << context;
      }
  }
}

}  // namespace
}  // namespace bezel::test
