// Filling of panels with AVX2; every x86 table above the scalar one has it.
#include <immintrin.h>

#include "kernels/quant/panel_inl.h"

namespace bezel {
namespace {
namespace quant {

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
// The levels of IQ4_NL and IQ4_XS, plus 128.
__m256i levels_avx2(__m256i q) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
  const __m256i v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), q);
  return _mm256_xor_si256(v, _mm256_set1_epi8(static_cast<char>(0x80)));
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
      return levels_avx2(low_high(load128(b + (type == DType::IQ4_NL ? 2 : 8 + 16 * part))));
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

// Eight rows of eight 4-byte groups become eight groups of eight rows.
[[gnu::always_inline]] inline void transpose8(__m256i* r) {
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
    r[g] = _mm256_permute2x128_si256(b[g], b[g + 4], 0x20);
    r[g + 4] = _mm256_permute2x128_si256(b[g], b[g + 4], 0x31);
  }
}

// The sums of the first and of the last 16 of 32 signed bytes.
void sums_of_halves(__m256i q, std::int32_t* half_sums) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  __m256i x = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  x = _mm256_add_epi32(x, _mm256_shuffle_epi32(x, 0x4E));
  x = _mm256_add_epi32(x, _mm256_shuffle_epi32(x, 0xB1));
  half_sums[0] = _mm256_cvtsi256_si32(x);
  half_sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(x, 1));
}

void store256(std::byte* to, __m256i v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), v);
}

// Where types whose part is 16 bytes of nibbles (0..15 low, 16..31 high) and nothing else keep
// them.
constexpr int nibbles_at(DType type, int part) {
  switch (type) {
    case DType::Q4_0:
    case DType::IQ4_NL:
      return 2;
    case DType::Q4_1:
      return 4;
    case DType::IQ4_XS:
      return 8 + 16 * part;
    default:
      return -1;
  }
}
template <DType kType>
__m256i four_bits(__m256i v) {
  const __m256i q = _mm256_and_si256(v, _mm256_set1_epi8(15));
  return kType == DType::IQ4_NL || kType == DType::IQ4_XS ? levels_avx2(q) : q;
}

// Sixteen bytes of eight rows: v[g] holds bytes 4 g .. 4 g + 3 of every row.
[[gnu::always_inline]] inline void quads(const std::byte* at, std::size_t row_bytes, __m256i* v) {
  __m256i r[4], a[4];
  for (int i = 0; i < 4; ++i) {  // rows i and 4 + i in one register
    const auto* low =
        reinterpret_cast<const std::uint8_t*>(at) + static_cast<std::size_t>(i) * row_bytes;
    r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(low)),
                                   load128(low + 4 * row_bytes), 1);
  }
  for (int i = 0; i < 2; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    v[2 * i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    v[2 * i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
  }
}

// The f16 at `at` of the first n rows of eight, row_bytes apart; the others give zero.
[[gnu::always_inline]] inline __m256 eight_f16(const std::byte* at, std::size_t row_bytes, int n) {
  const auto get = [at, row_bytes, n](int i) {
    const std::byte* here = at + static_cast<std::size_t>(i) * row_bytes;
    return i < n ? static_cast<int>(read<std::uint16_t>(here)) : 0;
  };
  __m128i h = _mm_cvtsi32_si128(get(0));  // two chains
  __m128i g = _mm_cvtsi32_si128(get(4));
  h = _mm_insert_epi16(h, get(1), 1);
  g = _mm_insert_epi16(g, get(5), 1);
  h = _mm_insert_epi16(h, get(2), 2);
  g = _mm_insert_epi16(g, get(6), 2);
  h = _mm_insert_epi16(h, get(3), 3);
  g = _mm_insert_epi16(g, get(7), 3);
  return _mm256_cvtph_ps(_mm_unpacklo_epi64(h, g));
}
void store_ps(std::byte* to, __m256 v) {
  _mm256_store_ps(reinterpret_cast<float*>(to), v);
}

// Subscales and subminima of the eight parts of a 256-weight block, by half of the part.
struct Subscales {
  std::int8_t sub[2][8], submin[2][8];
};
Subscales subscales_of(DType type, const std::byte* at) {
  Subscales s;
  if (type == DType::Q4_K ||
      type == DType::Q5_K) {  // six bits each in 12 bytes, as scale_min of weights_inl.h
    const auto a = read<std::uint32_t>(at + 4), b = read<std::uint32_t>(at + 8),
               c = read<std::uint32_t>(at + 12);
    const std::uint32_t low_s = a & 0x3F3F3F3FU, low_m = b & 0x3F3F3F3FU;
    const std::uint32_t high_s = (c & 0x0F0F0F0FU) | ((a >> 2U) & 0x30303030U);
    const std::uint32_t high_m = ((c >> 4U) & 0x0F0F0F0FU) | ((b >> 2U) & 0x30303030U);
    __builtin_memcpy(s.sub[0], &low_s, 4);
    __builtin_memcpy(s.sub[0] + 4, &high_s, 4);
    __builtin_memcpy(s.submin[0], &low_m, 4);
    __builtin_memcpy(s.submin[0] + 4, &high_m, 4);
    return s;
  }
  if (type == DType::IQ4_XS) {
    const auto high = read<std::uint16_t>(at + 2);
    const auto low = read<std::uint32_t>(at + 4);
    for (unsigned part = 0; part < 8; ++part)
      s.sub[0][part] = static_cast<std::int8_t>(
          static_cast<int>(((low >> (4 * part)) & 15U) | (((high >> (2 * part)) & 3U) << 4U)) - 32);
    return s;
  }
  // Sixteen bytes, one for each half: even ones first.
  const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(at);
  const __m128i low_nibble = _mm_set1_epi8(15);
  __m128i sub, submin = _mm_setzero_si128();
  if (type == DType::Q6_K) {
    sub = load128(bytes + 192);
  } else if (type == DType::Q2_K) {
    const __m128i both = load128(bytes);
    sub = _mm_and_si128(both, low_nibble);
    submin = _mm_and_si128(_mm_srli_epi16(both, 4), low_nibble);
  } else {  // Q3_K, as scale_q3 of weights_inl.h
    const auto a = read<std::uint32_t>(at + 96), b = read<std::uint32_t>(at + 100),
               c = read<std::uint32_t>(at + 104);
    const auto word = [](std::uint32_t low, std::uint32_t high) {
      return static_cast<int>((low & 0x0F0F0F0FU) | ((high & 0x03030303U) << 4U));
    };
    sub = _mm_setr_epi32(word(a, c), word(b, c >> 2U), word(a >> 4U, c >> 4U),
                         word(b >> 4U, c >> 6U));
    sub = _mm_sub_epi8(sub, _mm_set1_epi8(32));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(s.sub), _mm_shuffle_epi8(sub, order));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(s.submin), _mm_shuffle_epi8(submin, order));
  return s;
}

// Byte offsets of d and the minimum in a block; m < 0: none. The K types store dmin = -m.
struct Heads {
  int d, m;
};
constexpr Heads heads_of(DType type) {
  switch (type) {
    case DType::Q4_1:
    case DType::Q5_1:
    case DType::Q4_K:
    case DType::Q5_K:
      return {0, 2};
    case DType::Q2_K:
      return {80, 82};
    case DType::Q3_K:
      return {108, -1};
    case DType::Q6_K:
      return {208, -1};
    default:
      return {0, -1};
  }
}

struct ExpandAvx2 {
  const std::byte* rows;
  std::size_t row_bytes;
  int n_rows, first_k, n_k;
  std::byte* panel;

  // Asks for the share of the next 16 rows that corresponds to this block, in the order of memory:
  // 16 rows at once are more streams than the hardware follows.
  [[gnu::always_inline]] void prefetch_next(std::size_t done, std::size_t n) const {
    // As a number: behind the last panel there may be no object that a pointer could point into.
    const auto at = reinterpret_cast<std::uintptr_t>(rows) + kPanelRows * (row_bytes + done);
    for (std::size_t i = 0; i < kPanelRows * n; i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(at + i), _MM_HINT_T1);
  }

  // Weights of one part of eight rows into block `to`.
  template <DType kType>
  [[gnu::always_inline]] void fill_weights(const std::byte* at, int n, int part,
                                           std::byte* to) const {
    __m256i w[8];
    if (n == 8 && nibbles_at(kType, part) >= 0) {  // moved first, while they are half as many bytes
      quads(at + nibbles_at(kType, part), row_bytes, w);
      for (int g = 0; g < 4; ++g) {
        w[g + 4] = four_bits<kType>(_mm256_srli_epi16(w[g], 4));
        w[g] = four_bits<kType>(w[g]);
      }
      for (int g = 0; g < 8; ++g) store256(to + 64 * g, w[g]);
      return;
    }
    for (int i = 0; i < 8; ++i)
      w[i] = i < n ? weights_avx2(kType, at + static_cast<std::size_t>(i) * row_bytes, part)
                   : _mm256_setzero_si256();
    transpose8(w);
    for (int g = 0; g < 8; ++g) store256(to + 64 * g, w[g]);
  }

  // d, and the minimum, of eight rows.
  template <DType kType>
  void fill_heads(const std::byte* at, int n, __m256* d, __m256* m) const {
    constexpr Heads kHeads = heads_of(kType);
    *d = eight_f16(at + kHeads.d, row_bytes, n);
    if (kHeads.m < 0) return;
    *m = eight_f16(at + kHeads.m, row_bytes, n);
    if (kType >= DType::Q2_K) *m = _mm256_xor_ps(*m, _mm256_set1_ps(-0.0F));
  }

  // One kind of subscale of eight rows into the eight blocks of a 256-weight block.
  template <class K>
  static void fill_subs(const Subscales* s, std::size_t at, int n, std::byte* to) {
    __m256i v[8];
    for (int i = 0; i < 8; ++i) {
      const auto bytes = reinterpret_cast<const std::byte*>(s + i) + at;
      const __m256i wide =
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
      v[i] = i < n ? _mm256_castps_si256(_mm256_cvtepi32_ps(wide)) : _mm256_setzero_si256();
    }
    transpose8(v);
    for (int part = 0; part < 8; ++part) store256(to + part * K::kBytes, v[part]);
  }

  // Eight rows of one 256-weight block: eight blocks of the panel.
  template <class K, DType kType>
  [[gnu::always_inline]] void fill_large(const std::byte* at, int n, std::byte* to) const {
    Subscales s[8] = {};
    for (int i = 0; i < n; ++i)
      s[i] = subscales_of(kType, at + static_cast<std::size_t>(i) * row_bytes);
    for (int h = 0; h < K::kSubs; ++h) {
      const std::size_t at_sub = std::size_t{8} * static_cast<unsigned>(h);
      fill_subs<K>(s, at_sub, n, to + K::kSub + 64 * h);
      if (K::kMin) fill_subs<K>(s, 16 + at_sub, n, to + K::kSubMin + 64 * h);
    }
    __m256 d, m = _mm256_setzero_ps();
    fill_heads<kType>(at, n, &d, &m);
    for (int part = 0; part < 8; ++part) {
      store_ps(to + part * K::kBytes + K::kD, d);
      if (K::kMin) store_ps(to + part * K::kBytes + K::kM, m);
      fill_weights<kType>(at, n, part, to + part * K::kBytes);
    }
  }

  // Eight rows of one 32-weight block.
  template <class K, DType kType>
  [[gnu::always_inline]] void fill_small(const std::byte* at, int n, std::byte* to) const {
    __m256 d, m = _mm256_setzero_ps();
    fill_heads<kType>(at, n, &d, &m);
    store_ps(to + K::kD, d);
    if (K::kMin) store_ps(to + K::kM, m);
    fill_weights<kType>(at, n, 0, to);
  }
  template <class K, DType kType>
  [[gnu::always_inline]] void fill_block(const std::byte* at, int n, std::byte* to) const {
    if constexpr (large(kType))
      fill_large<K, kType>(at, n, to);
    else
      fill_small<K, kType>(at, n, to);
  }
  static constexpr bool large(DType type) {
    return type >= DType::Q2_K && type != DType::IQ4_NL;  // 256 weights a block
  }

  // The type is a constant here, so that the switches above fold away.
  template <class K, DType kType>
  void fill() const {
    constexpr int kParts = large(kType) ? 8 : 1;  // 32-input parts of a block in the file
    const auto bytes = static_cast<std::size_t>(shape_of(kType).bytes);
    for (int b = 0; b < n_k / kQ8Block; b += kParts) {
      const auto index = static_cast<std::size_t>((first_k / kQ8Block + b) / kParts);
      prefetch_next(index * bytes, bytes);
      for (int half = 0; half < 2; ++half) {
        const int n = n_rows - 8 * half < 8 ? n_rows - 8 * half : 8;
        const std::byte* at = rows + static_cast<std::size_t>(8 * half) * row_bytes + index * bytes;
        std::byte* to = panel + b * K::kBytes + 32 * half;
        if (n == 8)  // a constant, so that no row is asked for
          fill_block<K, kType>(at, 8, to);
        else
          fill_block<K, kType>(at, n, to);
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

void expand_q8(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
               int n_k, std::byte* panel) {
  quant::Expand{type, {rows, row_bytes, n_rows, first_k, n_k, panel}}.run<void>();
}

}  // namespace
}  // namespace bezel
