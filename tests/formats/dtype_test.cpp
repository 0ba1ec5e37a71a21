#include "formats/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace bezel {
namespace {

constexpr DType kBlockTypes[] = {DType::Q4_0, DType::Q4_1, DType::Q5_0,   DType::Q5_1,
                                 DType::Q8_0, DType::Q2_K, DType::Q3_K,   DType::Q4_K,
                                 DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS};

std::uint32_t bits_of(float x) {
  std::uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

TEST(Dequantize, EveryBlockTypeGivesTheReferencesValuesToTheBit) {
  for (const DType type : kBlockTypes) {
    const std::string name = format(type).name;
    auto file = open_tensor_file(std::string(BEZEL_FIXTURES) + "/blocks/" + name + ".safetensors");
    ASSERT_TRUE(file) << file.error().text();
    const Tensor* blocks = file->find("blocks");
    const Tensor* values = file->find("values");
    ASSERT_TRUE(blocks != nullptr && values != nullptr);
    const auto rows = static_cast<std::size_t>(values->shape[0]);
    const auto n = static_cast<std::size_t>(values->shape[1]);
    ASSERT_EQ(blocks->data.size(), rows * row_bytes(type, n)) << name;
    ASSERT_EQ(values->data.size(), rows * n * sizeof(float)) << name;
    std::vector<float> got(n), want(n);
    for (std::size_t r = 0; r < rows; ++r) {
      dequantize_row(type, blocks->data.data() + r * row_bytes(type, n), got.data(), n);
      std::memcpy(want.data(), values->data.data() + r * n * sizeof(float), n * sizeof(float));
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(bits_of(got[i]), bits_of(want[i])) << name << " row " << r << " value " << i;
      }
    }
  }
}

TEST(Dequantize, FloatTypesConvertExactly) {
  const float x[] = {1.5F, -2.0F, 0.0F};
  float y[3];
  dequantize_row(DType::F32, reinterpret_cast<const std::byte*>(x), y, 3);
  EXPECT_EQ(std::memcmp(x, y, sizeof x), 0);
  const std::uint16_t half[] = {0x3E00, 0xC000, 0x0001}, brain[] = {0x3FC0, 0xC000, 0x0001};
  dequantize_row(DType::F16, reinterpret_cast<const std::byte*>(half), y, 3);
  EXPECT_EQ(y[0], 1.5F);
  EXPECT_EQ(y[1], -2.0F);
  EXPECT_EQ(y[2], 0x1p-24F);
  dequantize_row(DType::BF16, reinterpret_cast<const std::byte*>(brain), y, 3);
  EXPECT_EQ(y[0], 1.5F);
  EXPECT_EQ(y[1], -2.0F);
  EXPECT_EQ(bits_of(y[2]), 0x10000U);
}

TEST(Half, Every16BitValueReadsAsItsDefinitionSaysAndComesBack) {
  for (std::uint32_t h = 0; h < 1U << 16U; ++h) {
    const float x = f32_from_f16(static_cast<std::uint16_t>(h));
    const int exponent = static_cast<int>(h >> 10U & 31U), fraction = static_cast<int>(h & 1023U);
    const double sign = (h & 0x8000U) != 0 ? -1 : 1;
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(x), fraction != 0) << h;
      ASSERT_EQ(std::isinf(x), fraction == 0) << h;
    } else {
      const double value =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
      ASSERT_EQ(static_cast<double>(x), sign * value) << h;
    }
    ASSERT_EQ(std::signbit(x), sign < 0) << h;
    if (!std::isnan(x)) {
      ASSERT_EQ(f16_from_f32(x), h);
    }
  }
}

// Between neighbouring halves a and b: below the middle goes to a, above to b, the middle to even.
TEST(Half, RoundingGoesToTheNearestAndTiesToEven) {
  for (std::uint32_t h = 0; h < 0x7C00U; ++h) {
    const double a = f32_from_f16(static_cast<std::uint16_t>(h));
    const double b = h == 0x7BFFU ? 65536.0 : f32_from_f16(static_cast<std::uint16_t>(h + 1));
    const auto middle = static_cast<float>((a + b) / 2);
    const float below = std::nextafterf(middle, 0.0F), above = std::nextafterf(middle, 1e9F);
    ASSERT_EQ(f16_from_f32(below), h);
    ASSERT_EQ(f16_from_f32(above), h + 1);
    ASSERT_EQ(f16_from_f32(middle), h + (h & 1U));
    ASSERT_EQ(f16_from_f32(-middle), 0x8000U + h + (h & 1U));
  }
  EXPECT_EQ(f16_from_f32(1e30F), 0x7C00U);
  EXPECT_EQ(f16_from_f32(-std::numeric_limits<float>::infinity()), 0xFC00U);
  EXPECT_EQ(f16_from_f32(1e-30F), 0U);
  EXPECT_TRUE(std::isnan(f32_from_f16(f16_from_f32(std::nanf("")))));
}

TEST(BrainFloat, EveryValueComesBackAndTiesGoToEven) {
  for (std::uint32_t b = 0; b < 1U << 16U; ++b) {
    const float x = f32_from_bf16(static_cast<std::uint16_t>(b));
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(f32_from_bf16(bf16_from_f32(x))));
      continue;
    }
    ASSERT_EQ(bf16_from_f32(x), b);
    if ((b & 0x7FFFU) >= 0x7F80U) continue;
    const auto offset = [&](std::uint32_t low) {
      const std::uint32_t u = b << 16U | low;
      float y;
      std::memcpy(&y, &u, sizeof y);
      return bf16_from_f32(y);
    };
    ASSERT_EQ(offset(0x7FFF), b);
    ASSERT_EQ(offset(0x8000), b + (b & 1U));
    ASSERT_EQ(offset(0x8001), b + 1);
  }
  // A NaN whose only set bits are in the half that is dropped stays a NaN.
  const std::uint32_t u = 0x7F800001U;
  float nan;
  std::memcpy(&nan, &u, sizeof nan);
  EXPECT_TRUE(std::isnan(f32_from_bf16(bf16_from_f32(nan))));
}

TEST(Format, NumbersOfTheFileFormatLeadToTheirTypesAndOthersToASentence) {
  for (int t = 0; t <= static_cast<int>(DType::IQ4_XS); ++t) {
    const auto type = static_cast<DType>(t);
    EXPECT_EQ(format(type).type, type);
    auto found = dtype_from_gguf(static_cast<std::uint32_t>(format(type).gguf_id));
    ASSERT_TRUE(found) << format(type).name;
    EXPECT_EQ(*found, type);
  }
  for (const std::uint32_t id : {4U, 5U, 9U, 16U, 26U, 31U, 39U, 41U, 1000U, UINT32_MAX}) {
    auto found = dtype_from_gguf(id);
    ASSERT_FALSE(found) << id;
    EXPECT_EQ(found.error().code, Errc::Unsupported);
    EXPECT_NE(found.error().what.find(std::to_string(id)), std::string::npos);
    EXPECT_NE(found.error().what.find("Q4_K"), std::string::npos) << "names what it reads";
  }
  EXPECT_NE(dtype_from_gguf(39).error().what.find("MXFP4"), std::string::npos);
}

TEST(Format, RowBytesCountWholeBlocks) {
  EXPECT_EQ(row_bytes(DType::F32, 3), 12U);
  EXPECT_EQ(row_bytes(DType::Q4_0, 64), 36U);
  EXPECT_EQ(row_bytes(DType::Q6_K, 512), 420U);
}

TEST(Quantize, Q8_0RoundsToTheNearestOf255LevelsOfTheLargest) {
  std::vector<float> x(96);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) - 15.5F;  // largest 15.5
  x[32] = -127;  // the scale is 1: halves go away from zero
  x[33] = 2.5F;
  x[34] = -2.5F;
  std::vector<std::byte> row(3 * sizeof(BlockQ8_0));
  quantize_q8_0(x.data(), row.data(), x.size());
  BlockQ8_0 b[3];
  std::memcpy(b, row.data(), sizeof b);
  EXPECT_EQ(b[0].q[0], -127);
  EXPECT_EQ(b[0].q[31], 127);
  EXPECT_EQ(b[0].d, f16_from_f32(15.5F / 127));
  EXPECT_EQ(b[1].d, f16_from_f32(1));
  EXPECT_EQ(b[1].q[0], -127);
  EXPECT_EQ(b[1].q[1], 3);
  EXPECT_EQ(b[1].q[2], -3);
  EXPECT_EQ(b[2].d, 0);
  for (const std::int8_t q : b[2].q) EXPECT_EQ(q, 0);
  std::vector<float> back(96);
  dequantize_row(DType::Q8_0, row.data(), back.data(), back.size());
  for (std::size_t i = 0; i < 32; ++i) EXPECT_NEAR(back[i], x[i], 15.5F / 127 * 0.51F);
}

TEST(Quantize, WhatQ8_0HoldsExactlyComesBackToTheBit) {
  std::vector<std::byte> row(sizeof(BlockQ8_0)), again(sizeof(BlockQ8_0));
  for (const float scale : {1.0F, 0.125F, 0.00390625F}) {  // exact in f16
    BlockQ8_0 b;
    b.d = f16_from_f32(scale);
    for (int i = 0; i < 32; ++i) b.q[i] = static_cast<std::int8_t>(i == 0 ? 127 : 8 * i - 128);
    std::memcpy(row.data(), &b, sizeof b);
    std::vector<float> x(32);
    dequantize_row(DType::Q8_0, row.data(), x.data(), 32);
    x[1] = -127 * scale;  // -120 stays in b: only a level changes
    quantize_q8_0(x.data(), again.data(), 32);
    b.q[1] = -127;
    std::memcpy(row.data(), &b, sizeof b);
    EXPECT_EQ(row, again);
  }
}

}  // namespace
}  // namespace bezel
