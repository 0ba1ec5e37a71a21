// The 32 weights of a part, each plus its type's offset, as plain loops: what the vector tables
// must equal.
#include "kernels/quant/panel_inl.h"

namespace bezel {
namespace {
namespace quant {

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
