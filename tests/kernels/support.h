// What the kernel tests share: seeded values (ordinary and extreme), bit comparison, tables that
// run here.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace bezel::test {

// SplitMix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  // In [-1, 1).
  float unit() { return static_cast<float>(static_cast<double>(next() >> 11U) * 0x1p-52 - 1.0); }

 private:
  std::uint64_t state_;
};

enum class Kind { Ordinary, Extreme };
inline const char* name(Kind kind) {
  return kind == Kind::Ordinary ? "ordinary" : "extreme";
}

// Extreme: denormals, zeros of both signs, huge and tiny magnitudes whose products overflow and
// underflow; finite.
inline float value(Random& random, Kind kind) {
  if (kind == Kind::Ordinary) return random.unit();
  switch (random.below(8)) {
    case 0:
      return random.unit() * 0x1p-127F;
    case 1:
      return 0.0F;
    case 2:
      return -0.0F;
    case 3:
      return random.unit() * 0x1p+120F;
    case 4:
      return random.unit() * 0x1p-70F;
    case 5:
      return random.unit() * 200.0F;
    case 6:
      return std::numeric_limits<float>::denorm_min();
    default:
      return random.unit();
  }
}

// n values, preceded by `skew` unused ones so that data() + skew is misaligned.
inline std::vector<float> values(Random& random, int n, Kind kind, int skew = 0) {
  std::vector<float> x(static_cast<std::size_t>(n + skew));
  for (float& v : x) v = value(random, kind);
  return x;
}

// Every NaN is one NaN: IEEE leaves payload and sign open.
inline std::uint32_t bits(float x) {
  return std::isnan(x) ? 0x7FC00000U : std::bit_cast<std::uint32_t>(x);
}

// "" when equal to the bit, else where and what.
inline std::string difference(const float* a, const float* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    if (bits(a[i]) != bits(b[i]))
      return "at " + std::to_string(i) + " of " + std::to_string(n) + ": " + std::to_string(a[i]) +
             " (" + std::to_string(bits(a[i])) + ") and " + std::to_string(b[i]) + " (" +
             std::to_string(bits(b[i])) + ")";
  return "";
}
inline std::string difference(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() ? difference(a.data(), b.data(), a.size()) : "sizes differ";
}

inline const KernelTable& scalar_table() {
  return *all_kernel_tables().back();
}

// Tests over every table but the scalar one; a table that cannot run here is skipped aloud.
class EveryTable : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    if (!runs_here(table()))
      GTEST_SKIP() << "this machine cannot run the table \"" << table().name << "\"";
  }
  static const KernelTable& table() { return *GetParam(); }
};
inline std::string table_name(const ::testing::TestParamInfo<const KernelTable*>& info) {
  return info.param->name;
}

}  // namespace bezel::test
