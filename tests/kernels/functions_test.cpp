// exp, tanh, gelu, sine and cosine against long double, with the bounds that docs/numerics.md
// states.
#include "base/fp_env.h"
#include "kernels/math/precise.h"
#include "kernels/support.h"

namespace bezel::test {
namespace {

// |got - want| in units in the last place of `want` as a float32.
double ulps(float got, long double want) {
  int exponent;
  std::frexp(static_cast<double>(want), &exponent);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want)) *
         std::ldexp(1.0, 24 - std::max(exponent, -125));
}

float float_exp(float x) {  // x <= 0
  float top = 0, sum = 0, unused = 0;
  best_kernels().join_segment(&top, &sum, &unused, x, 1.0F, &unused, 1);
  return sum;
}

TEST(Exp, IsWithinOneUlpFromMinus87ToZero) {
  const FpEnv env;
  double worst = 0;
  for (std::uint32_t i = 0; i < 4'000'000; ++i) {
    const float x = -87.0F * static_cast<float>(i) / 4e6F;
    worst = std::max(worst, ulps(float_exp(x), std::exp(static_cast<long double>(x))));
  }
  RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_LT(worst, 1.0);
}

TEST(Exp, IsZeroBelowMinus87AndOneAtZero) {
  const FpEnv env;
  EXPECT_EQ(bits(float_exp(-0.0F)), bits(1.0F));
  EXPECT_GE(float_exp(-87.0F), 0x1p-126F);
  EXPECT_EQ(bits(float_exp(std::nextafter(-87.0F, -88.0F))), bits(0.0F));
  EXPECT_EQ(bits(float_exp(-std::numeric_limits<float>::infinity())), bits(0.0F));
}

// tanh of n consecutive floats, the first of them `from`, through the table's soft cap (x / 1 and 1
// · t are exact).
std::vector<float> tanh_from(std::uint32_t from, std::uint32_t n) {
  std::vector<float> x(n);
  for (std::uint32_t i = 0; i < n; ++i) x[i] = std::bit_cast<float>(from + i);
  best_kernels().soft_cap(x.data(), 1.0F, static_cast<int>(n));
  return x;
}

TEST(Tanh, NeverDecreasesOverEveryFloatAndReachesOne) {
  const FpEnv env;
  constexpr std::uint32_t kPiece = 1U << 14U;
  float before = 0;
  // Every float from 2^-13, below which tanh x = x, to 16, where it has long been 1.
  for (std::uint32_t at = std::bit_cast<std::uint32_t>(0x1p-13F);
       at < std::bit_cast<std::uint32_t>(16.0F); at += kPiece) {
    const auto y = tanh_from(at, kPiece);
    bool falls = y[0] < before;
    for (std::uint32_t i = 1; i < kPiece; ++i) falls |= y[i] < y[i - 1];
    ASSERT_FALSE(falls) << "between " << std::bit_cast<float>(at) << " and the next " << kPiece;
    before = y[kPiece - 1];
  }
  EXPECT_EQ(before, 1.0F);
  float huge[] = {1e10F, 3e38F, std::numeric_limits<float>::infinity()};
  best_kernels().soft_cap(huge, 1.0F, 3);
  for (const float y : huge) EXPECT_EQ(y, 1.0F);
}

TEST(Tanh, IsTheArgumentWhereItIsSmall) {
  const FpEnv env;
  for (const float x : {0.0F, 1e-45F, 0x1p-126F, 1e-20F, 0x1p-13F}) {
    float y[] = {x, -x};
    best_kernels().soft_cap(y, 1.0F, 2);
    EXPECT_EQ(bits(y[0]), bits(x));
    EXPECT_EQ(bits(y[1]), bits(-x));
  }
}

TEST(Tanh, IsOddAndWithinTwoUlps) {
  const FpEnv env;
  double worst = 0;
  for (std::uint32_t at = std::bit_cast<std::uint32_t>(0x1p-14F);
       at < std::bit_cast<std::uint32_t>(12.0F); at += 61) {
    const float x = std::bit_cast<float>(at);
    float y[] = {x, -x};
    best_kernels().soft_cap(y, 1.0F, 2);
    ASSERT_EQ(bits(y[1]), bits(-y[0])) << x;
    worst = std::max(worst, ulps(y[0], std::tanh(static_cast<long double>(x))));
  }
  RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_LT(worst, 2.0);
}

TEST(Gelu, IsNearItsDefinition) {
  const FpEnv env;
  for (float x = -12; x < 12; x += 0.00037F) {
    float y = x;
    const float one = 1;
    best_kernels().gelu_mul(&y, &one, 1);
    const long double u = 0.7978845608028653558798921L * (x + 0.044715L * x * x * x);
    const long double want = 0.5L * x * (1 + std::tanh(u));
    ASSERT_NEAR(y, static_cast<double>(want), 3e-7 * std::max(1.0F, std::fabs(x))) << x;
  }
}

TEST(Precise, ExpAndLogAreWithinTheirBounds) {
  const FpEnv env;
  Random random(41);
  for (int i = 0; i < 200'000; ++i) {
    const double x = 700.0 * static_cast<double>(random.unit());
    const long double want = std::exp(static_cast<long double>(x));
    ASSERT_LT(std::fabs(math::precise_exp(x) / want - 1), 0x1p-50L) << x;
    const double y = static_cast<double>(want);
    const long double log = std::log(static_cast<long double>(y));
    ASSERT_LT(std::fabs(math::precise_log(y) - log), 0x1p-50L * std::max(0.25L, std::fabs(log)))
        << y;
  }
}

TEST(Precise, SineAndCosineAreRightUpToAMillion) {
  const FpEnv env;
  Random random(43);
  for (int i = 0; i < 400'000; ++i) {
    const double x = (static_cast<double>(random.unit()) + 1) * (i % 2 == 0 ? 0x1p19 : 10.0);
    const auto got = math::precise_sincos(x);
    ASSERT_LT(std::fabs(got.sin - std::sin(static_cast<long double>(x))), 0x1p-50L) << x;
    ASSERT_LT(std::fabs(got.cos - std::cos(static_cast<long double>(x))), 0x1p-50L) << x;
  }
}

TEST(Precise, MultiplesOfHalfPiKeepTheirSigns) {
  const FpEnv env;
  for (int n = 0; n < 100'000; n += 7) {
    const double x = n * 1.5707963267948966;
    const auto got = math::precise_sincos(x);
    ASSERT_LT(std::fabs(got.sin - std::sin(static_cast<long double>(x))), 0x1p-50L) << n;
    ASSERT_LT(std::fabs(got.cos - std::cos(static_cast<long double>(x))), 0x1p-50L) << n;
  }
}

}  // namespace
}  // namespace bezel::test
