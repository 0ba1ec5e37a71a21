// One model, one prompt: the same bits for any threads, chunks, company, prefix, instruction set
// and host environment. Every value of each axis; all pairs of threads x chunk x table for two
// files; the full product with BEZEL_LONG=1.
#include <fmt/format.h>

#include <cstdlib>

#include "model/harness.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif
#include <thread>

namespace bezel::test {
namespace {

bool long_run() {
  return std::getenv("BEZEL_LONG") != nullptr;
}

struct Case {
  const char* file;
  Act act;
};
constexpr Case kCases[] = {
    {"e2b/model.gguf", Act::F32},       {"e4b/model.gguf", Act::F32},
    {"12b/model.gguf", Act::F32},       {"26b-a4b/model.gguf", Act::F32},
    {"31b/model.gguf", Act::F32},       {"gemma3-270m/model.gguf", Act::F32},
    {"gemma3-4b/model.gguf", Act::F32}, {"e2b-wide/Q4_0.gguf", Act::Int8},
    {"e2b-wide/Q8_0.gguf", Act::Int8},  {"e2b-wide/Q4_K_M.gguf", Act::Int8},
    {"e2b-wide/Q2_K.gguf", Act::Int8},  {"e2b-wide/IQ4_XS.gguf", Act::Int8},
    {"26b-wide/Q4_0.gguf", Act::Int8},  {"26b-wide/Q4_K_M.gguf", Act::Int8},
};

constexpr int kPrompt = 70;  // ids; past the window of every fixture

std::vector<std::int32_t> prompt_ids(int n, int vocab, unsigned seed) {
  std::vector<std::int32_t> ids{2};
  std::uint64_t x = seed + 1;
  while (static_cast<int>(ids.size()) < n) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<std::int32_t>((x >> 33U) % static_cast<std::uint64_t>(vocab)));
  }
  return ids;
}

std::string print_of(const Model& m, const RunSetup& s) {
  Runner runner(m, s, 512);
  return fingerprint(runner.feed(prompt_ids(kPrompt, m.config().vocab, 1), kPrompt));
}

class SameBits : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    model_ = load_model(text_fixture(GetParam().file));
    ASSERT_NE(model_, nullptr);
    want_ = print_of(*model_, base());
  }
  RunSetup base() const {
    return {.threads = 1, .chunk = 64, .kv = DType::F16, .act = GetParam().act};
  }
  std::unique_ptr<Model> model_;
  std::string want_;
};

TEST_P(SameBits, ForEveryNumberOfThreads) {
  for (const int threads : {2, 3, 4}) {
    RunSetup s = base();
    s.threads = threads;
    EXPECT_EQ(print_of(*model_, s), want_) << threads << " threads";
  }
}

TEST_P(SameBits, ForEveryChunkSize) {
  for (int chunk = 1; chunk < 64; chunk += long_run() || chunk < 8 ? 1 : 9) {
    RunSetup s = base();
    s.chunk = chunk;
    EXPECT_EQ(print_of(*model_, s), want_) << "chunks of " << chunk;
  }
}

TEST_P(SameBits, OnEveryTable) {
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) {
      fmt::print("skipped aloud: this machine cannot run the table {}\n", table->name);
      continue;
    }
    RunSetup s = base();
    s.table = table;
    EXPECT_EQ(print_of(*model_, s), want_) << table->name;
  }
}

TEST_P(SameBits, FromPackedWeights) {
  const auto packed = load_model(text_fixture(GetParam().file));
  const std::uint64_t size = packed->packed_bytes(false);
  EXPECT_GT(size, 0U);
  ThreadPool pool(2);
  for (int again = 0; again < 2; ++again) {  // the second time there is nothing left to do
    ASSERT_TRUE(packed->pack(pool, false));
    EXPECT_EQ(packed->packed_bytes(false), size);
  }
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const int chunk : {1, 2, 7, 64}) {
      RunSetup s = base();
      s.table = table;
      s.chunk = chunk;
      s.threads = 1 + chunk % 3;
      EXPECT_EQ(print_of(*packed, s), want_) << table->name << ", chunks of " << chunk;
    }
  }
}

TEST_P(SameBits, InTheCompanyOfOtherSequences) {
  const int vocab = model_->config().vocab;
  const auto ids = prompt_ids(kPrompt, vocab, 1);
  for (int n_seqs = 2; n_seqs <= 8; n_seqs += long_run() ? 1 : 3) {
    RunSetup s = base();
    Runner runner(*model_, s, 512, n_seqs, n_seqs * 16);
    const int mine = n_seqs / 2;
    std::vector<float> got;
    for (int at = 0; at < kPrompt; at += 10) {  // the others run at their own lengths and paces
      Batch b;
      std::vector<int> rows_of_mine;
      for (int seq = 0; seq < n_seqs; ++seq) {
        const int n = seq == mine ? 10 : 1 + (seq * 5 + at / 10) % 9;
        const auto other = prompt_ids(512, vocab, static_cast<unsigned>(seq) + 7);
        const int from = runner.kv().length(seq);
        const bool own = seq == mine;
        const auto* next = own ? ids.data() + at : other.data() + from;
        for (int i = 0; i < n; ++i) {
          if (own) rows_of_mine.push_back(static_cast<int>(b.read.size()));
          b.add(seq, from + i, next[i], own || i == n - 1);
        }
      }
      const auto logits = runner.run(b);
      for (const int r : rows_of_mine) {
        const auto first = logits.begin() + std::ptrdiff_t{r} * vocab;
        got.insert(got.end(), first, first + vocab);
      }
    }
    EXPECT_EQ(fingerprint(got), want_) << n_seqs << " sequences";
  }
}

TEST_P(SameBits, WithACachedPrefixAndAfterGoingBack) {
  const auto ids = prompt_ids(kPrompt, model_->config().vocab, 1);
  for (const int prefix : {1, 17, 40, 69}) {
    RunSetup s = base();
    Runner cold(*model_, s, 512), warm(*model_, s, 512);
    const std::vector<std::int32_t> head(ids.begin(), ids.begin() + prefix),
        tail(ids.begin() + prefix, ids.end());
    const int n = static_cast<int>(tail.size());
    const auto want = cold.feed(ids, n);
    warm.feed(ids, 0);
    ASSERT_TRUE(warm.kv().can_rewind(0, prefix));
    warm.kv().set_length(0, prefix);
    EXPECT_EQ(fingerprint(warm.feed(tail, n)), fingerprint(want)) << "prefix " << prefix;
  }
}

TEST_P(SameBits, WhenOnlyTheLastRowIsRead) {
  const auto ids = prompt_ids(kPrompt, model_->config().vocab, 1);
  Runner all(*model_, base(), 512), last(*model_, base(), 512);
  const auto rows = all.feed(ids, kPrompt);
  const std::vector<float> want(rows.end() - model_->config().vocab, rows.end());
  EXPECT_EQ(fingerprint(last.feed(ids, 1)), fingerprint(want));
}

TEST_P(SameBits, OfTheStatesWhereNoLogitsAreWanted) {
  const auto ids = prompt_ids(20, model_->config().vocab, 1);
  std::vector<float> states[2];
  for (const bool logits : {false, true}) {
    Runner runner(*model_, base(), 64);
    Batch b;
    b.logits = logits;
    for (int i = 0; i < 20; ++i) b.add(0, i, ids[static_cast<std::size_t>(i)], i >= 10);
    const auto got = runner.run(b, [&](std::string_view what, int, ConstMat x) {
      if (what != "final_norm") return;
      for (int r = 0; r < x.rows; ++r) {
        const auto row = x.row_span(r);
        states[logits ? 1 : 0].insert(states[logits ? 1 : 0].end(), row.begin(), row.end());
      }
    });
    const std::size_t vocab = static_cast<std::size_t>(model_->config().vocab);
    EXPECT_EQ(got.size(), logits ? 10 * vocab : 0);
    EXPECT_EQ(runner.kv().length(0), 20);
  }
  EXPECT_FALSE(states[0].empty());
  EXPECT_EQ(states[0], states[1]);
}

#if defined(__x86_64__)
TEST_P(SameBits, OnThreadsThatFlushDenormalsToZero) {
  std::string got;
  std::thread host([&] {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040U);  // flush to zero, denormals are zero
    RunSetup s = base();
    s.threads = 2;
    got = print_of(*model_, s);
    EXPECT_EQ(_mm_getcsr() & 0x8040U, 0x8040U) << "the caller's own state must come back";
    _mm_setcsr(before);
  });
  host.join();
  EXPECT_EQ(got, want_);
}
#endif

INSTANTIATE_TEST_SUITE_P(Files, SameBits, testing::ValuesIn(kCases), [](const auto& file) {
  std::string name = file.param.file;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST(SameBitsPairs, ThreadsAndChunksAndTablesTogether) {
  std::vector<Case> cases{kCases[0], kCases[9]};
  std::vector<int> chunks{1, 2, 5, 16, 33, 64};
  if (long_run()) {  // the full product
    cases.assign(std::begin(kCases), std::end(kCases));
    chunks.clear();
    for (int chunk = 1; chunk <= 64; ++chunk) chunks.push_back(chunk);
  }
  for (const Case& c : cases) {
    const auto model = load_model(text_fixture(c.file));
    ASSERT_NE(model, nullptr);
    const std::string want = print_of(*model, {.chunk = 64, .kv = DType::F16, .act = c.act});
    for (const KernelTable* table : all_kernel_tables()) {
      if (!runs_here(*table)) continue;
      for (int threads = 1; threads <= 4; ++threads)
        for (const int chunk : chunks) {
          const RunSetup s{
              .threads = threads, .chunk = chunk, .kv = DType::F16, .act = c.act, .table = table};
          ASSERT_EQ(print_of(*model, s), want)
              << c.file << " " << table->name << " " << threads << " " << chunk;
        }
    }
  }
}

}  // namespace
}  // namespace bezel::test
