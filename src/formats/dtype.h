// The tensor types of real Gemma files: one row per type in a table that loader, kernels, `bezel
// show` and tests all read, and one checked struct per block format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bezel/result.h"

namespace bezel {

enum class DType : std::uint8_t {
  F32,
  F16,
  BF16,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_NL,
  IQ4_XS,
  I32,  // ids in our own output files; never a weight
  U8,   // raw bytes in test data; never a weight
};

struct Format {
  DType type;
  const char* name;   // as the field writes it: "Q4_K"
  int gguf_id;        // ggml_type number, -1 where it is never a weight
  int block_weights;  // values in a block
  int block_bytes;    // bytes of a block
};
// In the order of DType.
const Format& format(DType type);
// The type with this GGUF number, or an Error that names the number.
Result<DType> dtype_from_gguf(std::uint32_t id);
inline bool is_quantised(DType t) {
  return t >= DType::Q4_0 && t <= DType::IQ4_XS;
}
// Bytes of a row of n values; n must be a multiple of block_weights.
std::size_t row_bytes(DType type, std::size_t n);

// y[0..n) = the values of one row, bit-equal to the field's reference dequantisation
// (tests/formats, fixtures "blocks"). n is a multiple of block_weights.
void dequantize_row(DType type, const std::byte* row, float* y, std::size_t n);

// x[0..n) as blocks of Q8_0, as the field's quantiser makes them: d = max|x| / 127 rounded to f16,
// q = x / (max|x| / 127) rounded, halves away from zero. n is a multiple of 32, x is finite, and
// no |x| is above 127 * 65504.
void quantize_q8_0(const float* x, std::byte* row, std::size_t n);

float f32_from_f16(std::uint16_t bits);
std::uint16_t f16_from_f32(float x);  // round to nearest even; overflow gives infinity
inline float f32_from_bf16(std::uint16_t bits) {
  const std::uint32_t u = std::uint32_t{bits} << 16U;
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}
std::uint16_t bf16_from_f32(float x);  // round to nearest even

// ---- Block formats (little endian, packed). w[i] is the value of weight i of the block.

// w[i] = d * (q[i] - 8); byte j holds q[j] in its low and q[j + 16] in its high nibble.
struct BlockQ4_0 {
  std::uint16_t d;
  std::uint8_t q[16];
};
// w[i] = d * q[i] + m; nibbles as Q4_0.
struct BlockQ4_1 {
  std::uint16_t d, m;
  std::uint8_t q[16];
};
// w[i] = d * (q[i] - 16); low nibbles as Q4_0, fifth bit of q[i] is bit i of h.
struct BlockQ5_0 {
  std::uint16_t d;
  std::uint8_t h[4];
  std::uint8_t q[16];
};
// w[i] = d * q[i] + m; bits as Q5_0.
struct BlockQ5_1 {
  std::uint16_t d, m;
  std::uint8_t h[4];
  std::uint8_t q[16];
};
// w[i] = d * q[i].
struct BlockQ8_0 {
  std::uint16_t d;
  std::int8_t q[32];
};
// 256 weights in 16 groups of 16: w = d * (s & 15) * q - dmin * (s >> 4), q 2 bits.
struct BlockQ2_K {
  std::uint8_t s[16];
  std::uint8_t q[64];
  std::uint16_t d, dmin;
};
// 256 weights in 16 groups of 16: w = d * (s - 32) * q, q 3 bits signed (-4 .. 3), s 6 bits.
struct BlockQ3_K {
  std::uint8_t h[32];
  std::uint8_t q[64];
  std::uint8_t s[12];
  std::uint16_t d;
};
// 256 weights in 8 groups of 32: w = d * s * q - dmin * m, q 4 bits, s and m 6 bits.
struct BlockQ4_K {
  std::uint16_t d, dmin;
  std::uint8_t s[12];
  std::uint8_t q[128];
};
// As Q4_K with a fifth bit.
struct BlockQ5_K {
  std::uint16_t d, dmin;
  std::uint8_t s[12];
  std::uint8_t h[32];
  std::uint8_t q[128];
};
// 256 weights in 16 groups of 16: w = d * s * (q - 32), q 6 bits, s int8.
struct BlockQ6_K {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t s[16];
  std::uint16_t d;
};
// w[i] = d * kIq4Values[q[i]]; nibbles as Q4_0.
struct BlockIQ4_NL {
  std::uint16_t d;
  std::uint8_t q[16];
};
// 256 weights in 8 groups of 32: w = d * (s - 32) * kIq4Values[q], s 6 bits.
struct BlockIQ4_XS {
  std::uint16_t d, sh;
  std::uint8_t sl[4];
  std::uint8_t q[128];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ2_K) == 84);
static_assert(sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockQ6_K) == 210 && sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);

// The 16 levels of IQ4_NL and IQ4_XS.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace bezel
