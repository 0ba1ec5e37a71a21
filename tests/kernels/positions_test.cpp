// Rotary embedding and attention over sequences: equal to docs/numerics.md for any chunking and any
// number of threads.
#include "base/fp_env.h"
#include "kernels/ops.h"
#include "kernels/support.h"
#include "kernels/written_out.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

struct Bench {
  ThreadPool pool;
  Scratch scratch;
  Ops op;
  Bench(const KernelTable& table, int threads, std::size_t bytes = 64U << 20U)
      : pool(threads), scratch(bytes), op(table, pool, scratch, Act::Int8) {}
};

class Positions : public EveryTable {};

TEST_P(Positions, AnglesAreRightToTheLastPositionOfTheLongestContext) {
  Bench b(table(), 2);
  const RopeShape shapes[] = {{256, 128, 1e4, 1.0}, {512, 64, 1e6, 1.0}, {256, 128, 1e6, 8.0}};
  for (const RopeShape& shape : shapes) {
    std::vector<RowPos> rows;
    for (int pos = 0; pos <= 262'143; pos += pos < 300 ? 1 : 3'449) rows.push_back({0, pos});
    rows.push_back({0, 262'143});
    const auto frame = b.op.frame();
    const RopeAngles angles = b.op.rope_angles(shape, rows);
    for (int r = 0; r < angles.cos.rows; ++r)
      for (int i = 0; i < shape.pairs; ++i) {
        const long double angle =
            rows[static_cast<std::size_t>(r)].pos / static_cast<long double>(shape.scale) *
            std::pow(static_cast<long double>(shape.base), -2.0L * i / shape.head_dim);
        // Half a unit in the last place of float32 below 1, and what the double angle loses.
        const long double bound = 0x1p-25L + 1e-9L;
        ASSERT_LT(std::fabs(angles.cos.row(r)[i] - std::cos(angle)), bound) << r << ' ' << i;
        ASSERT_LT(std::fabs(angles.sin.row(r)[i] - std::sin(angle)), bound) << r << ' ' << i;
      }
  }
}

TEST_P(Positions, RotationTurnsEveryHeadAndLeavesTheRestAlone) {
  Bench b(table(), 2);
  Random random(1);
  const RopeShape shape = {32, 5, 1e4, 1.0};
  const std::vector<RowPos> rows = {{0, 0}, {0, 3}, {1, 1000}};
  auto x = values(random, 3 * 64, Kind::Ordinary);
  const auto before = x;
  const RopeAngles angles = b.op.rope_angles(shape, rows);
  b.op.rope({x.data(), 3, 64, 64}, shape, angles);
  const FpEnv env;
  for (int r = 0; r < 3; ++r)
    for (int h = 0; h < 2; ++h)
      for (int i = 0; i < 32; ++i) {
        const int at = r * 64 + h * 32, pair = i % 16;
        const float* old = before.data() + at;
        float want = old[i];
        if (pair < 5) {
          const float c = angles.cos.row(r)[pair], s = angles.sin.row(r)[pair];
          want = i < 16 ? std::fma(old[i], c, -(old[i + 16] * s))
                        : std::fma(old[i], c, old[i - 16] * s);
        }
        ASSERT_EQ(bits(x[static_cast<std::size_t>(at + i)]), bits(want))
            << r << ' ' << h << ' ' << i;
      }
}

// A sequence's inputs, all positions at once.
struct Sequence {
  int length, heads_q, heads_kv, head_dim;
  std::vector<float> q, k, v;
  Sequence(int n, int hq, int hk, int d, std::uint64_t seed)
      : length(n), heads_q(hq), heads_kv(hk), head_dim(d) {
    Random random(seed);
    q = values(random, n * hq * d, Kind::Ordinary);
    k = values(random, n * hk * d, Kind::Ordinary);
    v = values(random, n * hk * d, Kind::Ordinary);
    for (float& x : q) x *= 3;
  }
  ConstMat rows(const std::vector<float>& x, int first, int n) const {
    const int cols = static_cast<int>(x.size()) / length;
    return {x.data() + static_cast<std::ptrdiff_t>(first) * cols, n, cols, cols};
  }
};

float stored(DType type, float x) {
  if (type == DType::F16) return f32_from_f16(f16_from_f32(x));
  return type == DType::BF16 ? f32_from_bf16(bf16_from_f32(x)) : x;
}

std::vector<float> formula(const Sequence& s, DType type, int window) {
  const FpEnv env;
  std::vector<float> all;
  for (int pos = 0; pos < s.length; ++pos)
    for (int h = 0; h < s.heads_q; ++h) {
      const int kv = h / (s.heads_q / s.heads_kv);
      const auto row = [&](const std::vector<float>& x, int heads, int at, int head) {
        const float* p = x.data() + (static_cast<std::ptrdiff_t>(at) * heads + head) * s.head_dim;
        return written_out::Row(p, p + s.head_dim);
      };
      const auto side = [&](const std::vector<float>& x) {
        return [&, type](int j) {
          auto r = row(x, s.heads_kv, j, kv);
          for (float& value : r) value = stored(type, value);
          return r;
        };
      };
      const int first = window > 0 ? std::max(0, pos - window + 1) : 0;
      const auto out =
          written_out::attention(row(s.q, s.heads_q, pos, h), first, pos + 1, side(s.k), side(s.v));
      all.insert(all.end(), out.begin(), out.end());
    }
  return all;
}

// Pages of one layer, of which nothing is initialised to a number.
struct Store {
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::byte*> pages;
  KvPages kv;
  Store(int n_pages, DType type, int heads, int head_dim) {
    kv = {nullptr, n_pages, type, heads, head_dim};
    for (int p = 0; p < n_pages; ++p) {
      memory.emplace_back(kv.page_bytes(), std::byte{0xFF});
      pages.push_back(memory.back().data());
    }
    kv.pages = pages.data();
  }
};

std::vector<float> in_chunks(Bench& b, const Sequence& s, DType type, int window, int chunk,
                             int n_pages) {
  Store store(n_pages, type, s.heads_kv, s.head_dim);
  const AttnShape shape = {s.heads_q, s.heads_kv, s.head_dim, window};
  std::vector<float> all;
  for (int at = 0; at < s.length; at += chunk) {
    const auto frame = b.op.frame();
    const int n = std::min(chunk, s.length - at);
    std::vector<RowPos> rows;
    for (int i = 0; i < n; ++i) rows.push_back({0, at + i});
    b.op.kv_append({&store.kv, 1}, rows, s.rows(s.k, at, n), s.rows(s.v, at, n));
    const Mat out = b.op.attention(s.rows(s.q, at, n), {&store.kv, 1}, rows, shape);
    for (int r = 0; r < n; ++r) all.insert(all.end(), out.row(r), out.row(r) + out.cols);
  }
  return all;
}

TEST_P(Positions, AttentionIsTheFormulaForAnyChunksAndThreads) {
  const Sequence s(520, 4, 2, 16, 21);
  for (const DType type : {DType::F32, DType::F16, DType::BF16}) {
    const auto want = formula(s, type, 0);
    for (const int threads : compared({1, 4, 2}))
      for (const int chunk : {1, 37, 256, 520}) {
        Bench b(table(), threads);
        ASSERT_EQ(difference(in_chunks(b, s, type, 0, chunk, 3), want), "")
            << format(type).name << ", " << threads << " threads, chunks of " << chunk;
      }
  }
}

TEST_P(Positions, WindowsInARingOfPagesAreTheFormula) {
  const Sequence s(1100, 3, 1, 24, 22);
  for (const int window : {1, 64, 300}) {
    const auto want = formula(s, DType::F16, window);
    for (const int threads : compared({1, 3}))
      for (const int chunk : {1, 50, 200}) {
        Bench b(table(), threads);
        // Window and chunk reach over at most 500 positions, which lie in at most 3 pages.
        ASSERT_EQ(difference(in_chunks(b, s, DType::F16, window, chunk, 3), want), "")
            << "window " << window << ", " << threads << " threads, chunks of " << chunk;
      }
  }
}

TEST_P(Positions, SequencesOfABatchDoNotMeet) {
  const Sequence a(300, 8, 1, 16, 23), c(40, 8, 1, 16, 24);
  Bench b(table(), 4);
  const auto alone_a = in_chunks(b, a, DType::F16, 0, 300, 2),
             alone_c = in_chunks(b, c, DType::F16, 0, 40, 2);
  Store first(2, DType::F16, 1, 16), second(2, DType::F16, 1, 16);
  const std::vector<KvPages> seqs = {second.kv, first.kv};
  std::vector<RowPos> rows;
  std::vector<float> q, k, v;
  const auto append = [&](const Sequence& s, int seq) {
    for (int i = 0; i < s.length; ++i) rows.push_back({seq, i});
    q.insert(q.end(), s.q.begin(), s.q.end());
    k.insert(k.end(), s.k.begin(), s.k.end());
    v.insert(v.end(), s.v.begin(), s.v.end());
  };
  append(a, 1);
  append(c, 0);
  const int n = a.length + c.length;
  b.op.kv_append(seqs, rows, {k.data(), n, 16, 16}, {v.data(), n, 16, 16});
  const Mat out = b.op.attention({q.data(), n, 128, 128}, seqs, rows, {8, 1, 16, 0});
  for (int r = 0; r < n; ++r) {
    const float* want =
        r < a.length ? alone_a.data() + r * 128 : alone_c.data() + (r - a.length) * 128;
    ASSERT_EQ(difference(out.row(r), want, 128), "") << r;
  }
}

TEST_P(Positions, ScratchBoundHoldsForProductsAndAttention) {
  for (const int threads : {1, 2, 5})
    for (const int rows : {1, 17, 64}) {
      const int in = 512, heads = 8, d = 64, context = 2048;
      const std::size_t results = Scratch::mat_bytes(static_cast<std::size_t>(rows), heads * d);
      const std::size_t bound = Ops::scratch_bytes(rows, in, heads, d, context, threads);
      Bench b(table(), threads, results + bound);  // more would abort
      Random random(2);
      const auto x = values(random, rows * heads * d, Kind::Ordinary);
      const std::vector<std::byte> weights(row_bytes(DType::Q4_0, in) * heads * d);
      const Linear w = {DType::Q4_0, heads * d, in, weights.data(), row_bytes(DType::Q4_0, in)};
      {
        const auto frame = b.op.frame();
        b.op.matmul(w, {x.data(), rows, in, in});
      }
      Store store(context / kSegment, DType::F16, 1, d);
      for (auto& page : store.memory) std::fill(page.begin(), page.end(), std::byte{0});
      std::vector<RowPos> where;
      for (int r = 0; r < rows; ++r) where.push_back({0, context - rows + r});
      const auto frame = b.op.frame();
      b.op.attention({x.data(), rows, heads * d, heads * d}, {&store.kv, 1}, where,
                     {heads, 1, d, 0});
      EXPECT_LE(b.scratch.peak_bytes(), results + bound);
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Positions,
                         ::testing::ValuesIn(all_kernel_tables().begin(),
                                             all_kernel_tables().end()),
                         table_name);

}  // namespace
}  // namespace bezel::test
