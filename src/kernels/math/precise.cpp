#include "kernels/math/precise.h"

#include <bit>
#include <cstdint>

#include "base/check.h"

namespace bezel::math {
namespace {

// Adding it to |x| < 2^51 rounds x to an integer, nearest even.
constexpr double kRound = 0x1.8p+52;
constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: n * kLn2High is exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
// pi / 2 in three pieces; n times either of the first two is exact for n < 2^20.
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;

double power_of_two(int n) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52U);
}

}  // namespace

double precise_exp(double x) {
  BEZEL_CHECK(x >= -700 && x <= 700);
  const double n = (x * kLog2E + kRound) - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  // Taylor: the first term left out, r^14 / 14!, is below 5e-18.
  double sum = 1;
  for (int k = 13; k >= 1; --k) sum = 1 + r / k * sum;
  return sum * power_of_two(static_cast<int>(n));
}

double precise_log(double x) {
  BEZEL_CHECK(x >= 0x1p-1022 && x <= 0x1.fffffffffffffp+1023);
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  int n = static_cast<int>(bits >> 52U) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFU) | 0x3FF0000000000000U);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    n += 1;
  }
  // log m = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| < 0.1716; the first term left out is below 2e-19.
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  double sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
  return n * kLn2High + (2 * s * sum + n * kLn2Low);
}

SinCos precise_sincos(double x) {
  BEZEL_CHECK(x >= 0 && x <= 0x1p+20);
  const double n = (x * kTwoOverPi + kRound) - kRound;
  const double r = ((x - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;
  const double z = r * r;
  // Taylor, |r| <= pi / 4: r^19 / 19! and r^18 / 18! are below 3e-18.
  double s = 1, c = 1;
  for (int k = 17; k >= 3; k -= 2) s = 1 - z / (k * (k - 1)) * s;
  for (int k = 16; k >= 2; k -= 2) c = 1 - z / (k * (k - 1)) * c;
  s *= r;
  switch (static_cast<int>(n) % 4) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace bezel::math
