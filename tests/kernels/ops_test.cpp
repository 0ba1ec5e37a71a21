// Operations: equal to docs/numerics.md for every table, any number of threads, any split of the
// rows.
#include "kernels/ops.h"

#include <memory>

#include "base/fp_env.h"
#include "base/huge.h"
#include "kernels/packed.h"
#include "kernels/support.h"
#include "kernels/woven.h"
#include "kernels/written_out.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

// Ops with what it borrows.
struct Bench {
  ThreadPool pool;
  Scratch scratch;
  Ops op;
  Bench(const KernelTable& table, int threads, Act act = Act::Int8, std::size_t bytes = 64U << 20U)
      : pool(threads), scratch(bytes), op(table, pool, scratch, act) {}
};

Mat view(std::vector<float>& x, int rows, int cols) {
  return {x.data(), rows, cols, cols};
}

std::vector<float> flat(ConstMat x) {
  std::vector<float> all;
  for (int r = 0; r < x.rows; ++r) all.insert(all.end(), x.row(r), x.row(r) + x.cols);
  return all;
}

// Weights of a type, and the same as float32 values.
struct Weights {
  std::vector<std::byte> data;
  Linear linear;
};
Weights weights(DType type, int out, int in, std::uint64_t seed) {
  Random random(seed);
  const Format& f = format(type);
  const std::size_t stride = row_bytes(type, static_cast<std::size_t>(in));
  Weights w = {std::vector<std::byte>(stride * static_cast<std::size_t>(out)), {}};
  if (!is_quantised(type)) {
    for (std::size_t i = 0; i < w.data.size(); i += static_cast<std::size_t>(f.block_bytes)) {
      const float x = random.unit();
      const std::uint16_t half = type == DType::F16 ? f16_from_f32(x) : bf16_from_f32(x);
      if (type == DType::F32)
        std::memcpy(w.data.data() + i, &x, 4);
      else
        std::memcpy(w.data.data() + i, &half, 2);
    }
  } else {
    // Random bits; the exponents of the 16-bit scales are kept small, so that all values are
    // finite.
    for (std::byte& b : w.data) b = static_cast<std::byte>(random.next() & 0xFFU);
    for (std::size_t at = 0; at < w.data.size(); at += static_cast<std::size_t>(f.block_bytes))
      for (std::size_t i = 1; i < static_cast<std::size_t>(f.block_bytes); i += 2)
        w.data[at + i] &= std::byte{0xBF};
  }
  w.linear = {type, out, in, w.data.data(), stride};
  return w;
}

class Operations : public EveryTable {};

TEST_P(Operations, FloatProductsAreTheFormulaForAnyThreadsAndRows) {
  for (const DType type : {DType::F32, DType::F16, DType::BF16, DType::Q4_K, DType::Q8_0}) {
    const int in = type == DType::F32 ? 4500 : 4608, out = 83, rows = 50;
    const Weights w = weights(type, out, in, 3);
    Random random(4);
    auto x = values(random, rows * in, Kind::Ordinary);
    std::vector<float> want;
    {
      const FpEnv env;
      std::vector<float> row(static_cast<std::size_t>(in * out));
      for (int o = 0; o < out; ++o)
        dequantize_row(type, w.data.data() + static_cast<std::size_t>(o) * w.linear.row_bytes,
                       row.data() + o * in, static_cast<std::size_t>(in));
      for (int t = 0; t < rows; ++t)
        for (int o = 0; o < out; ++o)
          want.push_back(written_out::dot(row.data() + o * in, x.data() + t * in,
                                          static_cast<std::size_t>(in)));
    }
    for (const int threads : compared({1, 4, 2}))
      for (const int batch : {1, 3, 7, 50}) {
        Bench b(table(), threads, Act::F32);
        std::vector<float> got;
        for (int t = 0; t < rows; t += batch) {
          const auto frame = b.op.frame();
          const int n = std::min(batch, rows - t);
          const Mat y = b.op.matmul(w.linear, view(x, rows, in).row_range(t, n));
          const auto part = flat(y);
          got.insert(got.end(), part.begin(), part.end());
        }
        ASSERT_EQ(difference(got, want), "")
            << format(type).name << ", " << threads << " threads, " << batch;
      }
  }
}

// One token at a time through the scalar table's own entries.
std::vector<float> rounded_product(const Linear& w, const std::vector<float>& x, int rows) {
  const KernelTable& t = scalar_table();
  const auto in = static_cast<std::size_t>(w.in);
  std::vector<std::int8_t> q(in + 64);
  std::vector<float> scale(in / 32);
  std::vector<std::int32_t> sums(in / 16);
  std::vector<std::byte> panel(panel_bytes_q8(kCutTerms) + 64);
  const auto aligned = [](auto* p) {
    return p + (64 - reinterpret_cast<std::uintptr_t>(p) % 64) % 64;
  };
  std::vector<float> y;
  for (int r = 0; r < rows; ++r) {
    std::int8_t* qs = aligned(q.data());
    EXPECT_TRUE(t.quantize_q8(x.data() + r * w.in, w.in, {qs, scale.data(), sums.data()}));
    std::vector<std::byte> woven(woven_bytes(1, w.in));
    weave_q8({qs, scale.data(), sums.data()}, w.in, 1, 0, woven.data());
    for (int o = 0; o < w.out; o += 16) {
      const int n = std::min(16, w.out - o);
      std::vector<float> sum(16);
      for (int k = 0; k < w.in; k += kCutTerms) {
        const int n_k = std::min(kCutTerms, w.in - k);
        t.expand_q8(w.type, w.data + static_cast<std::size_t>(o) * w.row_bytes, w.row_bytes, n, k,
                    n_k, aligned(panel.data()));
        std::vector<float> part(16);
        t.product_q8(w.type, aligned(panel.data()), n_k, {woven.data(), woven.size(), k}, 1, true,
                     part.data(), 16);
        for (std::size_t i = 0; i < 16; ++i) sum[i] = k == 0 ? part[i] : sum[i] + part[i];
      }
      y.insert(y.end(), sum.begin(), sum.begin() + n);
    }
  }
  return y;
}

TEST_P(Operations, RoundedProductsAreEqualForAnyThreadsAndRows) {
  for (const DType type : {DType::Q4_0, DType::Q4_K, DType::Q6_K, DType::Q5_1}) {
    const int in = 4096 + 512, out = 150, rows = 53;
    const Weights w = weights(type, out, in, 5);
    Random random(6);
    auto x = values(random, rows * in, Kind::Ordinary);
    std::vector<float> want;
    {
      const FpEnv env;
      want = rounded_product(w.linear, x, rows);
    }
    for (const int threads : compared({1, 3, 4, 2}))
      for (const int batch : {1, 5, 53}) {
        Bench b(table(), threads);
        std::vector<float> got;
        for (int t = 0; t < rows; t += batch) {
          const auto frame = b.op.frame();
          const int n = std::min(batch, rows - t);
          const auto part = flat(b.op.matmul(w.linear, view(x, rows, in).row_range(t, n)));
          got.insert(got.end(), part.begin(), part.end());
        }
        ASSERT_EQ(difference(got, want), "")
            << format(type).name << ", " << threads << " threads, " << batch;
      }
  }
}

TEST_P(Operations, PackedProductsAreThoseOfTheFilesRowsForAnyNumberOfTokens) {
  // A part of 4096 inputs, then a part of a whole piece and a short one.
  const int in = 4096 + 512 + 256, out = 48, rows = 49;
  for (const DType type : {DType::Q4_0, DType::Q5_0, DType::Q8_0, DType::Q4_K, DType::Q6_K}) {
    const Weights w = weights(type, out, in, 5);
    const std::size_t row = packed_row_bytes(type, in);
    auto packed = HugeBuffer::take(static_cast<std::size_t>(out) * row);
    ASSERT_TRUE(packed);
    for (std::size_t o = 0; o < static_cast<std::size_t>(out); o += kPanelRows)
      pack_panel(type, w.data.data() + o * w.linear.row_bytes, w.linear.row_bytes, in,
                 packed->data() + o * row);
    const Linear linear = {type, out, in, packed->data(), row, true};
    Random random(6);
    auto x = values(random, rows * in, Kind::Ordinary);
    std::vector<float> want;
    {
      const FpEnv env;
      want = rounded_product(w.linear, x, rows);
    }
    Bench b(table(), 2);
    for (int n = 1; n <= rows; n += n == 13 ? 35 : 1) {
      const auto frame = b.op.frame();
      const auto got = flat(b.op.matmul(linear, view(x, rows, in).row_range(0, n)));
      const std::vector<float> first(want.begin(), want.begin() + n * out);
      ASSERT_EQ(difference(got, first), "") << format(type).name << ", " << n << " tokens";
    }
  }
}

TEST_P(Operations, ProductsOfAGroupAreThoseOfEachAlone) {
  const Weights a = weights(DType::Q4_0, 70, 256, 1), b = weights(DType::F16, 33, 256, 2),
                c = weights(DType::Q6_K, 16, 256, 3);
  Random random(8);
  auto x = values(random, 9 * 256, Kind::Ordinary);
  Bench bench(table(), 3);
  Ops& op = bench.op;
  const Mat in = view(x, 9, 256);
  const Mat ya = op.mat(9, 70), yb = op.mat(9, 33), yc = op.mat(9, 16);
  op.matmul({{ya, &a.linear}, {yb, &b.linear}, {yc, &c.linear}}, in);
  EXPECT_EQ(difference(flat(ya), flat(op.matmul(a.linear, in))), "");
  EXPECT_EQ(difference(flat(yb), flat(op.matmul(b.linear, in))), "");
  EXPECT_EQ(difference(flat(yc), flat(op.matmul(c.linear, in))), "");
}

TEST_P(Operations, NormsAreTheFormulaAndTellOfNonFiniteRows) {
  Random random(10);
  const int rows = 40, d = 64, heads = 5;
  auto x = values(random, rows * d * heads, Kind::Ordinary);
  const auto w = values(random, d * heads, Kind::Ordinary), wh = values(random, d, Kind::Ordinary);
  Bench b(table(), 2);
  const auto whole = flat(b.op.norm(view(x, rows, d * heads), w.data(), 1e-6F));
  auto by_head = x;
  b.op.norm_heads(view(by_head, rows, d * heads), wh.data(), d, 1e-6F);
  EXPECT_FALSE(b.op.take_non_finite());
  const FpEnv env;
  for (int r = 0; r < rows; ++r) {
    const std::vector<float> row(x.begin() + r * d * heads, x.begin() + (r + 1) * d * heads);
    ASSERT_EQ(difference(whole.data() + r * d * heads, written_out::norm(row, w, 1e-6F).data(),
                         row.size()),
              "");
    for (int h = 0; h < heads; ++h) {
      const std::vector<float> head(row.begin() + h * d, row.begin() + (h + 1) * d);
      ASSERT_EQ(difference(by_head.data() + (r * heads + h) * d,
                           written_out::norm(head, wh, 1e-6F).data(), head.size()),
                "");
    }
  }
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    x[777] = bad;
    b.op.norm(view(x, rows, d * heads), w.data(), 1e-6F);
    EXPECT_TRUE(b.op.take_non_finite()) << bad;
    EXPECT_FALSE(b.op.take_non_finite()) << "the mark is cleared";
  }
}

TEST_P(Operations, ProductsTellOfNonFiniteInputs) {
  const Weights w = weights(DType::Q4_0, 32, 64, 1);
  Random random(12);
  auto x = values(random, 3 * 64, Kind::Ordinary);
  Bench b(table(), 2);
  b.op.matmul(w.linear, view(x, 3, 64));
  EXPECT_FALSE(b.op.take_non_finite());
  x[100] = std::numeric_limits<float>::quiet_NaN();
  b.op.matmul(w.linear, view(x, 3, 64));
  EXPECT_TRUE(b.op.take_non_finite());
}

TEST_P(Operations, EmbeddingsAreScaledRowsOfTheTable) {
  for (const DType type : {DType::F32, DType::BF16, DType::Q4_K}) {
    const Weights w = weights(type, 40, 256, 14);
    Bench b(table(), 2);
    const std::vector<std::int32_t> ids = {0, 39, 7, 7, 12};
    const Mat y = b.op.mat(5, 256);
    b.op.embed(y, w.linear, ids, 1.75F);
    for (int r = 0; r < 5; ++r) {
      std::vector<float> row(256);
      dequantize_row(type,
                     w.data.data() + static_cast<std::size_t>(ids[static_cast<std::size_t>(r)]) *
                                         w.linear.row_bytes,
                     row.data(), 256);
      for (float& v : row) v *= 1.75F;
      EXPECT_EQ(difference(y.row(r), row.data(), 256), "") << format(type).name << ", row " << r;
    }
  }
}

TEST_P(Operations, RowsAreCopiedAndTaken) {
  Random random(15);
  auto x = values(random, 6 * 10, Kind::Ordinary);
  Bench b(table(), 1);
  const std::vector<int> rows = {5, 0, 5};
  const Mat taken = b.op.take_rows(view(x, 6, 10), rows);
  for (int r = 0; r < 3; ++r)
    EXPECT_EQ(difference(taken.row(r), x.data() + rows[static_cast<std::size_t>(r)] * 10, 10), "");
  const Mat all = b.op.mat(6, 10);
  b.op.copy(all, view(x, 6, 10));
  EXPECT_EQ(difference(flat(all), x), "");
}

TEST_P(Operations, ElementwiseOperationsAreTheFormulaOverThePool) {
  Random random(16);
  const int rows = 3, cols = 20'000;
  const auto x = values(random, rows * cols, Kind::Ordinary),
             other = values(random, rows * cols, Kind::Ordinary);
  Bench b(table(), 3);
  auto gelu = x, sum = x, scaled = x, capped = x, soft = x;
  auto second = other;
  for (float& v : capped) v *= 90;
  const auto before_cap = capped;
  b.op.gelu_mul(view(gelu, rows, cols), view(second, rows, cols));
  b.op.add(view(sum, rows, cols), view(second, rows, cols));
  b.op.scale(view(scaled, rows, cols), 0.3F);
  b.op.soft_cap(view(capped, rows, cols), 30.0F);
  b.op.softmax(view(soft, rows, cols));
  const FpEnv env;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(bits(gelu[i]), bits(written_out::gelu(x[i]) * other[i])) << i;
    ASSERT_EQ(bits(sum[i]), bits(x[i] + other[i])) << i;
    ASSERT_EQ(bits(scaled[i]), bits(x[i] * 0.3F)) << i;
    ASSERT_EQ(bits(capped[i]), bits(30.0F * written_out::tanh(before_cap[i] / 30.0F))) << i;
  }
  for (int r = 0; r < rows; ++r) {
    const auto want = written_out::softmax({x.begin() + r * cols, x.begin() + (r + 1) * cols});
    ASSERT_EQ(difference(soft.data() + r * cols, want.data(), want.size()), "") << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Operations,
                         ::testing::ValuesIn(all_kernel_tables().begin(),
                                             all_kernel_tables().end()),
                         table_name);

}  // namespace
}  // namespace bezel::test
