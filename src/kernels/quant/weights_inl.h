// The 32 weights of a part, each plus its type's offset, as plain loops: what the vector tables
// must equal.
#include "kernels/quant/panel_inl.h"

namespace bezel {
namespace {
namespace quant {

// What multiplies 32 weights of one row.
struct Scales {
  float d, m, sub[2], submin[2];
};

float from_f16(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t{h & 0x8000U} << 16U, exponent = (h >> 10U) & 31U;
  const std::uint32_t fraction = h & 0x3FFU;
  float x;
  if (exponent == 0) {
    x = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -x : x;
  }
  const std::uint32_t bits =
      sign | (exponent == 31 ? 0x7F800000U : (exponent + 112U) << 23U) | (fraction << 13U);
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// Six-bit scale and minimum of group j of Q4_K and Q5_K.
void scale_min(const std::uint8_t* s, int j, float* scale, float* min) {
  const unsigned lo = static_cast<unsigned>(j & 3), a = s[lo], b = s[lo + 4], c = s[lo + 8];
  *scale = static_cast<float>(j < 4 ? a & 63U : (c & 15U) | ((a >> 6U) << 4U));
  *min = static_cast<float>(j < 4 ? b & 63U : (c >> 4U) | ((b >> 6U) << 4U));
}
// Six-bit scale of group j (16 weights) of Q3_K.
float scale_q3(const std::uint8_t* s, int j) {
  const unsigned low = j < 8 ? s[j] & 15U : s[j - 8] >> 4U;
  const unsigned high = (s[8 + (j & 3)] >> (2 * (j / 4))) & 3U;
  return static_cast<float>(static_cast<int>(low | (high << 4U)) - 32);
}

// The f16 at byte `at` of a block.
float f16_at(const std::byte* block, int at) {
  return from_f16(read<std::uint16_t>(block + at));
}

// d and, where the type has one, the minimum of the block at `at`.
void heads(DType type, const std::byte* at, Scales* p) {
  const bool least_first = type == DType::Q4_1 || type == DType::Q5_1;
  const bool pair_first = type == DType::Q4_K || type == DType::Q5_K;
  const int d = type == DType::Q2_K   ? 80
                : type == DType::Q3_K ? 108
                : type == DType::Q6_K ? 208
                                      : 0;
  p->d = f16_at(at, d);
  if (least_first) p->m = f16_at(at, 2);
  if (pair_first) p->m = -f16_at(at, 2);
  if (type == DType::Q2_K) p->m = -f16_at(at, 82);
}

// Everything but the weights of 32-input part `part` of the block at `at`.
void scales(DType type, const std::byte* at, int part, Scales* p) {
  heads(type, at, p);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(at);
  if (type == DType::Q4_K || type == DType::Q5_K)
    return scale_min(bytes + 4, part, &p->sub[0], &p->submin[0]);
  if (type == DType::IQ4_XS) {
    const auto b = read<BlockIQ4_XS>(at);
    const unsigned low = (b.sl[part / 2] >> (4 * (part & 1))) & 15U;
    const unsigned high = (b.sh >> (2 * part)) & 3U;
    p->sub[0] = static_cast<float>(static_cast<int>(low | (high << 4U)) - 32);
    return;
  }
  for (int h = 0; h < 2; ++h) {
    const int group = 2 * part + h;  // of 16 weights
    if (type == DType::Q6_K) p->sub[h] = static_cast<float>(read<std::int8_t>(at + 192 + group));
    if (type == DType::Q3_K) p->sub[h] = scale_q3(bytes + 96, group);
    if (type == DType::Q2_K) {
      p->sub[h] = static_cast<float>(bytes[group] & 15U);
      p->submin[h] = static_cast<float>(bytes[group] >> 4U);
    }
  }
}

void nibbles(const std::uint8_t* q, std::uint8_t* w) {
  for (int i = 0; i < 16; ++i) {
    w[i] = q[i] & 15U;
    w[i + 16] = q[i] >> 4U;
  }
}
void fifth_bits(const std::uint8_t* h, std::uint8_t* w) {
  for (int i = 0; i < 32; ++i)
    w[i] = static_cast<std::uint8_t>(w[i] | (((h[i / 8] >> (i % 8)) & 1U) << 4U));
}
void levels(std::uint8_t* w) {
  for (int i = 0; i < 32; ++i) w[i] = static_cast<std::uint8_t>(kIq4Values[w[i]] + 128);
}
// Two bits of each weight of Q2_K and Q3_K: part p lies at shift 2 (p mod 4) of 32 bytes.
void two_bits(const std::uint8_t* q, int part, std::uint8_t* w) {
  for (int i = 0; i < 32; ++i) w[i] = (q[32 * (part / 4) + i] >> (2 * (part & 3))) & 3U;
}
void weights_q3(const BlockQ3_K& b, int part, std::uint8_t* w) {
  two_bits(b.q, part, w);
  for (int i = 0; i < 32; ++i)
    w[i] = static_cast<std::uint8_t>(w[i] | (((b.h[i] >> part) & 1U) << 2U));
}
void weights_q5k(const BlockQ5_K& b, int part, std::uint8_t* w) {
  for (int i = 0; i < 32; ++i) {
    const unsigned low = (b.q[32 * (part / 2) + i] >> (4 * (part & 1))) & 15U;
    w[i] = static_cast<std::uint8_t>(low | (((b.h[i] >> part) & 1U) << 4U));
  }
}
// Parts 0..3 of a half share 32 bytes of high bits; parts 0, 2 and 1, 3 share 32 bytes of nibbles.
void weights_q6(const BlockQ6_K& b, int part, std::uint8_t* w) {
  const int half = part / 4, in_half = part & 3;
  for (int i = 0; i < 32; ++i) {
    const unsigned low = (b.ql[64 * half + 32 * (in_half & 1) + i] >> (4 * (in_half / 2))) & 15U;
    const unsigned high = (b.qh[32 * half + i] >> (2 * in_half)) & 3U;
    w[i] = static_cast<std::uint8_t>(low | (high << 4U));
  }
}

// The 32 weights of part `part`, each plus its type's offset.
void weights(DType type, const std::byte* at, int part, std::uint8_t* w) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(at);
  switch (type) {
    case DType::Q4_0:
      return nibbles(bytes + 2, w);
    case DType::Q4_1:
      return nibbles(bytes + 4, w);
    case DType::IQ4_NL:
      nibbles(bytes + 2, w);
      return levels(w);
    case DType::Q5_0:
      nibbles(bytes + 6, w);
      return fifth_bits(bytes + 2, w);
    case DType::Q5_1:
      nibbles(bytes + 8, w);
      return fifth_bits(bytes + 4, w);
    case DType::Q8_0:
      for (int i = 0; i < 32; ++i) w[i] = bytes[2 + i] ^ 0x80U;
      return;
    case DType::IQ4_XS:
      nibbles(bytes + 8 + 16 * part, w);
      return levels(w);
    case DType::Q4_K:
      for (int i = 0; i < 32; ++i)
        w[i] = (bytes[16 + 32 * (part / 2) + i] >> (4 * (part & 1))) & 15U;
      return;
    case DType::Q5_K:
      return weights_q5k(read<BlockQ5_K>(at), part, w);
    case DType::Q6_K:
      return weights_q6(read<BlockQ6_K>(at), part, w);
    case DType::Q3_K:
      return weights_q3(read<BlockQ3_K>(at), part, w);
    case DType::Q2_K:
      return two_bits(bytes + 16, part, w);
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::I32:
    case DType::U8:
      return;
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
