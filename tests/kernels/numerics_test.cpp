// The scalar table against docs/numerics.md written out in plain loops.
#include "base/fp_env.h"
#include "kernels/support.h"
#include "kernels/written_out.h"

namespace bezel::test {
namespace {

std::vector<float> functions_grid() {
  std::vector<float> x;
  for (std::uint32_t u = 0; u < 0x7F800000U; u += 9973) {
    x.push_back(std::bit_cast<float>(u));
    x.push_back(-std::bit_cast<float>(u));
  }
  for (int i = -3000; i <= 3000; ++i) x.push_back(static_cast<float>(i) / 97.0F);
  return x;
}

TEST(Numerics, ScalarExpIsTheFormula) {
  const FpEnv env;
  for (const float x : functions_grid()) {
    if (x > 0 || x < -1e30F) continue;
    float top = 0, sum = 0, o = 0;
    scalar_table().join_segment(&top, &sum, &o, x, 1.0F, &o, 1);
    ASSERT_EQ(bits(sum), bits(written_out::exp(x))) << x;
  }
}

TEST(Numerics, ScalarTanhAndGeluAreTheFormula) {
  const FpEnv env;
  for (const float x : functions_grid()) {
    float capped = x, gelu = x;
    const float one = 1;
    scalar_table().soft_cap(&capped, 1.0F, 1);
    scalar_table().gelu_mul(&gelu, &one, 1);
    ASSERT_EQ(bits(capped), bits(written_out::tanh(x))) << x;
    ASSERT_EQ(bits(gelu), bits(written_out::gelu(x))) << x;
    float thirty = x;
    scalar_table().soft_cap(&thirty, 30.0F, 1);
    ASSERT_EQ(bits(thirty), bits(30.0F * written_out::tanh(x / 30.0F))) << x;
  }
}

TEST(Numerics, ScalarSumsNormAndSoftmaxAreTheFormula) {
  const FpEnv env;
  Random random(3);
  for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
    for (int n = 1; n < 200; ++n) {
      const auto x = values(random, n, kind), w = values(random, n, kind);
      const float sum = scalar_table().sum_squares(x.data(), n);
      ASSERT_EQ(bits(sum), bits(written_out::sum_squares(x))) << n;
      auto y = x;
      const float r = 1.0F / std::sqrt(sum / static_cast<float>(n) + 1e-6F);
      scalar_table().scale_weight(y.data(), x.data(), r, w.data(), n);
      ASSERT_EQ(difference(y, written_out::norm(x, w, 1e-6F)), "") << n;
      y = x;
      scalar_table().softmax(y.data(), n);
      ASSERT_EQ(difference(y, written_out::softmax(x)), "") << n;
    }
}

TEST(Numerics, ScalarRotationIsTheFormula) {
  const FpEnv env;
  Random random(5);
  const int half = 20, pairs = 13;
  const auto x = values(random, 2 * half, Kind::Ordinary);
  const auto c = values(random, pairs, Kind::Ordinary), s = values(random, pairs, Kind::Ordinary);
  auto y = x;
  scalar_table().rope(y.data(), c.data(), s.data(), pairs, half);
  auto want = x;
  for (std::size_t i = 0; i < pairs; ++i) {
    want[i] = std::fma(x[i], c[i], -(x[i + half] * s[i]));
    want[i + half] = std::fma(x[i + half], c[i], x[i] * s[i]);
  }
  EXPECT_EQ(difference(y, want), "");
}

TEST(Numerics, ScalarFloatProductIsOneChainAndGoesOnFromY) {
  const FpEnv env;
  Random random(7);
  const int n = 300;
  const auto panel = values(random, n * 16, Kind::Ordinary), x = values(random, n, Kind::Ordinary);
  const float* row = x.data();
  const float* rest = x.data() + 100;
  std::vector<float> whole(16), pieces(16), want(16);
  const auto product = [&](std::size_t from, int n_k, const float* const* in, float* y) {
    scalar_table().product_f32(DType::F32, reinterpret_cast<const std::byte*>(&panel[16 * from]), 0,
                               1, n_k, in, 1, from == 0, y, 16);
  };
  product(0, n, &row, whole.data());
  product(0, 100, &row, pieces.data());
  product(100, n - 100, &rest, pieces.data());
  for (std::size_t lane = 0; lane < 16; ++lane)
    for (std::size_t k = 0; k < n; ++k)
      want[lane] = std::fma(panel[k * 16 + lane], x[k], want[lane]);
  EXPECT_EQ(difference(whole, want), "");
  EXPECT_EQ(difference(pieces, want), "");
}

TEST(Numerics, ScalarAttentionOfOneSegmentIsTheFormula) {
  const FpEnv env;
  Random random(9);
  const int d = 24;
  std::vector<std::vector<float>> keys, vals;
  std::vector<std::byte> k(std::size_t{kSegment} * d * 4), v(k.size());
  for (int j = 0; j < kSegment; ++j) {
    keys.push_back(values(random, d, Kind::Ordinary));
    vals.push_back(values(random, d, Kind::Ordinary));
    scalar_table().store_kv(DType::F32, k.data(), v.data(), j, keys.back().data(),
                            vals.back().data(), d);
  }
  const auto q = values(random, d, Kind::Ordinary);
  for (const auto& [first, last] : {std::pair{0, 256}, {17, 18}, {5, 99}}) {
    float m, l;
    std::vector<float> o(d);
    scalar_table().attend_segment(
        {q.data(), d, 1, &first, &last, k.data(), v.data(), DType::F32, d, &m, &l, o.data(), d});
    for (float& x : o) x *= 1.0F / l;
    const auto want = written_out::attention(
        q, first, last, [&](int j) { return keys[static_cast<std::size_t>(j)]; },
        [&](int j) { return vals[static_cast<std::size_t>(j)]; });
    EXPECT_EQ(difference(o, want), "") << first << " to " << last;
  }
}

}  // namespace
}  // namespace bezel::test
