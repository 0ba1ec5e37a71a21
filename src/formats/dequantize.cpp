// Blocks to float32, one value at a time in the plainest form. Products and sums are rounded in the
// order written here, which is that of the field's reference, so that the values are its values to
// the bit. Layouts: the comments of formats/dtype.h.
#include "base/check.h"
#include "formats/dtype.h"

namespace bezel {

namespace {

float f(int x) {
  return static_cast<float>(x);
}

// Bit `i` of a little-endian bit field.
int bit(const std::uint8_t* field, int i) {
  return (field[i / 8] >> (i % 8)) & 1;
}

void expand(const BlockQ4_0& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * f((b.q[j] & 15) - 8);
    y[j + 16] = d * f((b.q[j] >> 4) - 8);
  }
}

void expand(const BlockQ4_1& b, float* y) {
  const float d = f32_from_f16(b.d), m = f32_from_f16(b.m);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * f(b.q[j] & 15) + m;
    y[j + 16] = d * f(b.q[j] >> 4) + m;
  }
}

void expand(const BlockQ5_0& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * f(((b.q[j] & 15) | bit(b.h, j) << 4) - 16);
    y[j + 16] = d * f(((b.q[j] >> 4) | bit(b.h, j + 16) << 4) - 16);
  }
}

void expand(const BlockQ5_1& b, float* y) {
  const float d = f32_from_f16(b.d), m = f32_from_f16(b.m);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * f((b.q[j] & 15) | bit(b.h, j) << 4) + m;
    y[j + 16] = d * f((b.q[j] >> 4) | bit(b.h, j + 16) << 4) + m;
  }
}

void expand(const BlockQ8_0& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int j = 0; j < 32; ++j) y[j] = d * f(b.q[j]);
}

// Group g of 16: half g / 8 of the block, bit pair g / 2 % 4, left or right 16 bytes of 32.
void expand(const BlockQ2_K& b, float* y) {
  const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
  for (int g = 0; g < 16; ++g) {
    const float scale = d * f(b.s[g] & 15), min = dmin * f(b.s[g] >> 4);
    const std::uint8_t* q = b.q + g / 8 * 32 + g % 2 * 16;
    for (int j = 0; j < 16; ++j) y[16 * g + j] = scale * f((q[j] >> (g / 2 % 4 * 2)) & 3) - min;
  }
}

// Groups as Q2_K. The third bit of a weight is bit g / 2 of h; where it is clear, 4 is subtracted.
void expand(const BlockQ3_K& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int g = 0; g < 16; ++g) {
    const int low = (b.s[g % 8] >> (g / 8 * 4)) & 15, high = (b.s[8 + g % 4] >> (g / 4 * 2)) & 3;
    const float scale = d * f((low | high << 4) - 32);
    const std::uint8_t* q = b.q + g / 8 * 32 + g % 2 * 16;
    const std::uint8_t* h = b.h + g % 2 * 16;
    for (int j = 0; j < 16; ++j) {
      const int value = ((q[j] >> (g / 2 % 4 * 2)) & 3) - (((h[j] >> (g / 2)) & 1) != 0 ? 0 : 4);
      y[16 * g + j] = scale * f(value);
    }
  }
}

// Scale and minimum (6 bits each) of group g of 8 in the 12 bytes of Q4_K and Q5_K.
struct ScaleMin {
  int scale, min;
};
ScaleMin scale_min(const std::uint8_t* s, int g) {
  if (g < 4) return {s[g] & 63, s[g + 4] & 63};
  return {(s[g + 4] & 15) | (s[g - 4] >> 6) << 4, (s[g + 4] >> 4) | (s[g] >> 6) << 4};
}

// Groups 2 i and 2 i + 1 of 32 are the low and high nibbles of bytes 32 i ..
void expand(const BlockQ4_K& b, float* y) {
  const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin sm = scale_min(b.s, g);
    const float scale = d * f(sm.scale), min = dmin * f(sm.min);
    const std::uint8_t* q = b.q + g / 2 * 32;
    for (int j = 0; j < 32; ++j) y[32 * g + j] = scale * f((q[j] >> (g % 2 * 4)) & 15) - min;
  }
}

// As Q4_K; the fifth bit of group g is bit g of h.
void expand(const BlockQ5_K& b, float* y) {
  const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin sm = scale_min(b.s, g);
    const float scale = d * f(sm.scale), min = dmin * f(sm.min);
    const std::uint8_t* q = b.q + g / 2 * 32;
    for (int j = 0; j < 32; ++j) {
      const int value = ((q[j] >> (g % 2 * 4)) & 15) | ((b.h[j] >> g) & 1) << 4;
      y[32 * g + j] = scale * f(value) - min;
    }
  }
}

// A half of 128 weights is four runs of 32: low nibbles of ql 0 .. 31 and 32 .. 63, then their high
// nibbles; run r takes bits 2 r, 2 r + 1 of qh.
void expand(const BlockQ6_K& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, run = g / 2 % 4, first = g % 2 * 16;
    const float scale = d * f(b.s[g]);
    const std::uint8_t* ql = b.ql + half * 64 + run % 2 * 32 + first;
    const std::uint8_t* qh = b.qh + half * 32 + first;
    for (int j = 0; j < 16; ++j) {
      const int value = ((ql[j] >> (run / 2 * 4)) & 15) | ((qh[j] >> (run * 2)) & 3) << 4;
      y[16 * g + j] = scale * f(value - 32);
    }
  }
}

void expand(const BlockIQ4_NL& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * f(kIq4Values[b.q[j] & 15]);
    y[j + 16] = d * f(kIq4Values[b.q[j] >> 4]);
  }
}

// Group g of 32: bytes 16 g .., nibbles as IQ4_NL; its scale has 4 bits in sl and 2 in sh.
void expand(const BlockIQ4_XS& b, float* y) {
  const float d = f32_from_f16(b.d);
  for (int g = 0; g < 8; ++g) {
    const int low = (b.sl[g / 2] >> (g % 2 * 4)) & 15, high = (b.sh >> (g * 2)) & 3;
    const float scale = d * f((low | high << 4) - 32);
    const std::uint8_t* q = b.q + g * 16;
    for (int j = 0; j < 16; ++j) {
      y[32 * g + j] = scale * f(kIq4Values[q[j] & 15]);
      y[32 * g + j + 16] = scale * f(kIq4Values[q[j] >> 4]);
    }
  }
}

template <class Block>
void expand_row(const std::byte* row, float* y, std::size_t n, std::size_t block_weights) {
  for (std::size_t i = 0; i < n; i += block_weights, row += sizeof(Block)) {
    Block b;
    std::memcpy(&b, row, sizeof b);
    expand(b, y + i);
  }
}

template <float (*kConvert)(std::uint16_t)>
void convert_row(const std::byte* row, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, row + 2 * i, sizeof bits);
    y[i] = kConvert(bits);
  }
}

}  // namespace

void dequantize_row(DType type, const std::byte* row, float* y, std::size_t n) {
  BEZEL_CHECK(n % static_cast<std::size_t>(format(type).block_weights) == 0);
  switch (type) {
    case DType::F32:
      std::memcpy(y, row, n * sizeof(float));
      return;
    case DType::F16:
      return convert_row<f32_from_f16>(row, y, n);
    case DType::BF16:
      return convert_row<f32_from_bf16>(row, y, n);
    case DType::Q4_0:
      return expand_row<BlockQ4_0>(row, y, n, 32);
    case DType::Q4_1:
      return expand_row<BlockQ4_1>(row, y, n, 32);
    case DType::Q5_0:
      return expand_row<BlockQ5_0>(row, y, n, 32);
    case DType::Q5_1:
      return expand_row<BlockQ5_1>(row, y, n, 32);
    case DType::Q8_0:
      return expand_row<BlockQ8_0>(row, y, n, 32);
    case DType::Q2_K:
      return expand_row<BlockQ2_K>(row, y, n, 256);
    case DType::Q3_K:
      return expand_row<BlockQ3_K>(row, y, n, 256);
    case DType::Q4_K:
      return expand_row<BlockQ4_K>(row, y, n, 256);
    case DType::Q5_K:
      return expand_row<BlockQ5_K>(row, y, n, 256);
    case DType::Q6_K:
      return expand_row<BlockQ6_K>(row, y, n, 256);
    case DType::IQ4_NL:
      return expand_row<BlockIQ4_NL>(row, y, n, 32);
    case DType::IQ4_XS:
      return expand_row<BlockIQ4_XS>(row, y, n, 256);
    case DType::I32:
    case DType::U8:
      break;
  }
  BEZEL_CHECK(false);  // weights are never I32 or U8
}

}  // namespace bezel
