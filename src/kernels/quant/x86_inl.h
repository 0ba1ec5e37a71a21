// Rounding of activations and filling of panels with AVX2; every x86 table above the scalar one has
// it.
#include <immintrin.h>

#include "kernels/quant/panel_inl.h"

namespace bezel {
namespace {
namespace quant {

// The largest of eight unsigned values.
std::uint32_t largest(__m256i v) {
  __m128i x = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0x4E));
  x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0xB1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(x));
}
std::int32_t sum_of(__m256i v) {
  __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

// 32 bytes of one row, each the weight plus its type's offset.
__m256i low_high(__m128i q) {  // nibbles: inputs 0..15 low, 16..31 high
  const __m256i both = _mm256_insertf128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
// Bit i of h as 16 in byte i.
__m256i spread_bits(std::uint32_t h) {
  const __m256i bytes = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int>(h)),
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}
__m256i load256(const std::uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
__m128i load128(const std::uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
__m256i masked(__m256i v, int shift, int mask) {
  return _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(shift)),
                          _mm256_set1_epi8(static_cast<char>(mask)));
}
__m256i weights_avx2(DType type, const std::byte* at, int part) {
  const auto* b = reinterpret_cast<const std::uint8_t*>(at);
  switch (type) {
    case DType::Q4_0:
      return low_high(load128(b + 2));
    case DType::Q4_1:
      return low_high(load128(b + 4));
    case DType::Q5_0:
      return _mm256_or_si256(low_high(load128(b + 6)), spread_bits(read<std::uint32_t>(at + 2)));
    case DType::Q5_1:
      return _mm256_or_si256(low_high(load128(b + 8)), spread_bits(read<std::uint32_t>(at + 4)));
    case DType::Q8_0:
      return _mm256_xor_si256(load256(b + 2), _mm256_set1_epi8(static_cast<char>(0x80)));
    case DType::Q4_K:
      return masked(load256(b + 16 + 32 * (part / 2)), 4 * (part & 1), 15);
    case DType::Q5_K: {
      const __m256i low = masked(load256(b + 48 + 32 * (part / 2)), 4 * (part & 1), 15);
      return _mm256_or_si256(low, _mm256_slli_epi16(masked(load256(b + 16), part, 1), 4));
    }
    case DType::Q6_K: {
      const int half = part / 4, j = part & 3;
      const __m256i low = masked(load256(b + 64 * half + 32 * (j & 1)), 4 * (j / 2), 15);
      return _mm256_or_si256(low,
                             _mm256_slli_epi16(masked(load256(b + 128 + 32 * half), 2 * j, 3), 4));
    }
    case DType::Q3_K: {
      const __m256i low = masked(load256(b + 32 + 32 * (part / 4)), 2 * (part & 3), 3);
      return _mm256_or_si256(low, _mm256_slli_epi16(masked(load256(b), part, 1), 2));
    }
    case DType::Q2_K:
      return masked(load256(b + 16 + 32 * (part / 4)), 2 * (part & 3), 3);
    case DType::IQ4_NL:
    case DType::IQ4_XS: {
      const __m256i q = low_high(load128(b + (type == DType::IQ4_NL ? 2 : 8 + 16 * part)));
      const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
      const __m256i v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), q);
      return _mm256_xor_si256(v, _mm256_set1_epi8(static_cast<char>(0x80)));
    }
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::I32:
    case DType::U8:
      break;
  }
  return _mm256_setzero_si256();
}

// Eight rows of eight 4-byte groups to eight groups of eight rows; group g goes to out + 64 g.
void transpose_groups(const __m256i* r, std::byte* out) {
  __m256i a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
  for (int g = 0; g < 4; ++g) {
    auto* low = reinterpret_cast<__m256i*>(out + 64 * g);
    auto* high = reinterpret_cast<__m256i*>(out + 64 * (g + 4));
    _mm256_store_si256(low, _mm256_permute2x128_si256(b[g], b[g + 4], 0x20));
    _mm256_store_si256(high, _mm256_permute2x128_si256(b[g], b[g + 4], 0x31));
  }
}

struct ExpandAvx2 {
  const std::byte* rows;
  std::size_t row_bytes;
  int n_rows, first_k, n_k;
  std::byte* panel;

  // The type is a constant here, so that the switches above fold away.
  template <class K, DType kType>
  void fill() const {
    constexpr bool kLarge = kType >= DType::Q2_K && kType != DType::IQ4_NL;
    constexpr int kParts = kLarge ? 8 : 1;  // 32-input parts of a block in the file
    const auto bytes = static_cast<std::size_t>(shape_of(kType).bytes);
    for (int b = 0; b < n_k / kQ8Block; ++b) {
      const int index = first_k / kQ8Block + b, part = index % kParts;
      const std::byte* at = rows + static_cast<std::size_t>(index / kParts) * bytes;
      std::byte* block = panel + b * K::kBytes;
      for (int half = 0; half < 2; ++half) {
        __m256i w[8];
        for (int i = 0; i < 8; ++i) {
          const int row = 8 * half + i;
          Part p = {};
          w[i] = _mm256_setzero_si256();
          if (row < n_rows) {
            const std::byte* here = at + static_cast<std::size_t>(row) * row_bytes;
            w[i] = weights_avx2(kType, here, part);
            scales(kType, here, part, &p);
          }
          put_scales<K>(p, row, block);
        }
        transpose_groups(w, block + 32 * half);
      }
    }
  }
};

struct Expand {
  DType type;
  ExpandAvx2 e;
  template <class K>
  void run() const {
    switch (type) {
      case DType::Q4_0:
        return e.fill<Kind<8, 15, 0, false>, DType::Q4_0>();
      case DType::Q4_1:
        return e.fill<Kind<0, 15, 0, true>, DType::Q4_1>();
      case DType::Q5_0:
        return e.fill<Kind<16, 31, 0, false>, DType::Q5_0>();
      case DType::Q5_1:
        return e.fill<Kind<0, 31, 0, true>, DType::Q5_1>();
      case DType::Q8_0:
        return e.fill<Kind<128, 255, 0, false>, DType::Q8_0>();
      case DType::Q2_K:
        return e.fill<Kind<0, 3, 2, true>, DType::Q2_K>();
      case DType::Q3_K:
        return e.fill<Kind<4, 7, 2, false>, DType::Q3_K>();
      case DType::Q4_K:
        return e.fill<Kind<0, 15, 1, true>, DType::Q4_K>();
      case DType::Q5_K:
        return e.fill<Kind<0, 31, 1, true>, DType::Q5_K>();
      case DType::Q6_K:
        return e.fill<Kind<32, 63, 2, false>, DType::Q6_K>();
      case DType::IQ4_NL:
        return e.fill<Kind<128, 255, 0, false>, DType::IQ4_NL>();
      case DType::IQ4_XS:
        return e.fill<Kind<128, 255, 1, false>, DType::IQ4_XS>();
      case DType::F32:
      case DType::F16:
      case DType::BF16:
      case DType::I32:
      case DType::U8:
        return;
    }
  }
};

}  // namespace quant

// 32 inputs: largest size by comparing bit patterns, which also finds NaN and infinity.
bool quantize_q8(const float* x, int n, Q8Row out) {
  std::uint32_t worst = 0;
  const __m256i sign = _mm256_set1_epi32(0x7FFFFFFF);
  for (int b = 0; b < n / kQ8Block; ++b) {
    __m256 v[4];
    __m256i top = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_loadu_ps(x + b * kQ8Block + 8 * i);
      top = _mm256_max_epu32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), sign));
    }
    const std::uint32_t bits = quant::largest(top);
    worst = bits > worst ? bits : worst;
    float a;
    __builtin_memcpy(&a, &bits, sizeof a);
    const bool zero = bits < 0x0D800000U || bits >= 0x7F800000U;  // below 2^-100, or not finite
    const __m256 by = _mm256_set1_ps(zero ? 0 : 127.0F / a);
    out.scale[b] = zero ? 0 : a / 127.0F;
    __m256i q[4];
    for (int i = 0; i < 4; ++i)
      q[i] = zero ? _mm256_setzero_si256() : _mm256_cvtps_epi32(_mm256_mul_ps(v[i], by));
    out.half_sums[2 * b] = quant::sum_of(_mm256_add_epi32(q[0], q[1]));
    out.half_sums[2 * b + 1] = quant::sum_of(_mm256_add_epi32(q[2], q[3]));
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kQ8Block),
                        _mm256_permutevar8x32_epi32(packed, order));
  }
  return worst < 0x7F800000U;
}

void expand_q8(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
               int n_k, std::byte* panel) {
  quant::Expand{type, {rows, row_bytes, n_rows, first_k, n_k, panel}}.run<void>();
}

}  // namespace
}  // namespace bezel
