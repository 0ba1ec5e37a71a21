// One token's product straight from the rows of the file, for the types where that beats filling a
// panel first: each weight is used once, so nothing is gained by storing it expanded. AVX2; every
// x86 table above the scalar one has it. Same bits as expand_q8 and product_q8.

namespace bezel {
namespace {
namespace quant {

__m256i times(__m256i w, __m256i x) {
  return _mm256_maddubs_epi16(w, x);
}
// The four inputs at q, in every row's place.
__m256i four(const std::int8_t* q) {
  std::int32_t x;
  __builtin_memcpy(&x, q, sizeof x);
  return _mm256_set1_epi32(x);
}
__m256i add(__m256i a, __m256i b) {
  return _mm256_add_epi16(a, b);
}
// Pairs of 16 bits added to 32.
__m256i widen(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
__m256i low_nibble(__m256i v) {
  return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
__m256i high_nibble(__m256i v) {
  return low_nibble(_mm256_srli_epi16(v, 4));
}

// Q4_0 lies as d n0 .. n15, 18 bytes a block. Two blocks are nine groups of four bytes: of the
// first block the groups hold (d, n0, n1), n2..5, n6..9, n10..13, (n14, n15, d of the second
// block), then follow n0..3, n4..7, n8..11, n12..15 of the second. Eight blocks are nine loads of
// 16 bytes, so no scale is picked out alone.
struct RowsQ4_0 {
  static constexpr int kInputs = 256;  // of one step
  static constexpr std::size_t kBytes = 144;

  // Products of group v with inputs q[at ..] (low nibbles) and q[at + 16 ..] (high nibbles).
  static __m256i group(__m256i v, __m256i mask, __m256i low, __m256i high) {
    return add(times(_mm256_and_si256(v, mask), low),
               times(_mm256_and_si256(_mm256_srli_epi16(v, 4), mask), high));
  }
  // The f16 in the low or high halves of eight groups of four bytes.
  static __m256 scales(__m256i v, int byte) {
    const auto b = static_cast<char>(byte), c = static_cast<char>(byte + 1);
    const char x = static_cast<char>(0x80);
    const auto four_b = [](char k, int i) { return static_cast<char>(k + 4 * i); };
    const __m128i pick = _mm_setr_epi8(b, c, four_b(b, 1), four_b(c, 1), four_b(b, 2), four_b(c, 2),
                                       four_b(b, 3), four_b(c, 3), x, x, x, x, x, x, x, x);
    const __m256i packed = _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(pick));
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
  }
  // acc = fma(d * s, I, acc) with I = the sums of 16-bit pairs - 8 * (sum of the inputs).
  static __m256 join(__m256i pairs, __m256 d, float s, const std::int32_t* half_sums, __m256 acc) {
    const __m256i offset = _mm256_set1_epi32(8 * (half_sums[0] + half_sums[1]));
    const __m256i dot = _mm256_sub_epi32(widen(pairs), offset);
    return _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(s)), _mm256_cvtepi32_ps(dot), acc);
  }

  // Eight rows, 256 inputs. |pairs| <= 16 * 15 * 127 < 2^15.
  [[gnu::always_inline]] static __m256 step(const std::byte* at, std::size_t row_bytes,
                                            const Q8ConstRow& x, int k, __m256 acc) {
    __m256i v[36];
    for (int c = 0; c < 9; ++c) quads(at + 16 * c, row_bytes, v + 4 * c);
    const __m256i all = _mm256_set1_epi8(15);
    const __m256i first = _mm256_set1_epi32(0x0F0F0000), last = _mm256_set1_epi32(0x00000F0F);
    for (int p = 0; p < 4; ++p) {
      const __m256i* u = v + 9 * p;
      const std::int8_t* q = x.q + k + 64 * p;
      const int b = k / kQ8Block + 2 * p;
      __m256i even = group(u[0], first, _mm256_slli_epi32(four(q), 16), four(q + 14));
      for (int i = 1; i < 4; ++i)
        even = add(even, group(u[i], all, four(q + 4 * i - 2), four(q + 4 * i + 14)));
      even = add(even, group(u[4], last, four(q + 14), four(q + 30)));
      acc = join(even, scales(u[0], 0), x.scale[b], x.half_sums + 2 * b, acc);
      __m256i odd = group(u[5], all, four(q + 32), four(q + 48));
      for (int i = 1; i < 4; ++i)
        odd = add(odd, group(u[5 + i], all, four(q + 32 + 4 * i), four(q + 48 + 4 * i)));
      acc = join(odd, scales(u[4], 2), x.scale[b + 1], x.half_sums + 2 * b + 2, acc);
    }
    return acc;
  }
};

// Q4_K lies as d, dmin, twelve bytes of scales and minima (six bits each), 128 bytes of nibbles.
struct RowsQ4_K {
  static constexpr int kInputs = 256;
  static constexpr std::size_t kBytes = 144;

  // Byte i of eight groups of four small unsigned bytes, as float32.
  static __m256 byte(__m256i v, int i) {
    const __m256i moved = _mm256_srl_epi32(v, _mm_cvtsi32_si128(8 * i));
    return _mm256_cvtepi32_ps(_mm256_and_si256(moved, _mm256_set1_epi32(255)));
  }

  // Eight rows, 256 inputs. The scales are taken apart as in subscales_of. |pairs| <= 16 * 15 *
  // 127.
  [[gnu::always_inline]] static __m256 step(const std::byte* at, std::size_t row_bytes,
                                            const Q8ConstRow& x, int k, __m256 acc) {
    __m256i head[4];
    quads(at, row_bytes, head);
    const __m256 d = RowsQ4_0::scales(head[0], 0);
    const __m256 m = _mm256_xor_ps(RowsQ4_0::scales(head[0], 2), _mm256_set1_ps(-0.0F));
    const __m256i six = _mm256_set1_epi32(0x3F3F3F3F), top = _mm256_set1_epi32(0x30303030);
    const __m256i sub[2] = {
        _mm256_and_si256(head[1], six),
        _mm256_or_si256(low_nibble(head[3]), _mm256_and_si256(_mm256_srli_epi32(head[1], 2), top))};
    const __m256i submin[2] = {
        _mm256_and_si256(head[2], six),
        _mm256_or_si256(high_nibble(head[3]),
                        _mm256_and_si256(_mm256_srli_epi32(head[2], 2), top))};
    for (int p = 0; p < 8; p += 2) {
      __m256i v[8];
      quads(at + 16 + 16 * p, row_bytes, v);
      quads(at + 32 + 16 * p, row_bytes, v + 4);
      for (int odd = 0; odd < 2; ++odd) {
        const int part = p + odd, b = k / kQ8Block + part;
        const std::int8_t* q = x.q + k + 32 * part;
        __m256i pairs = _mm256_setzero_si256();
        for (int g = 0; g < 8; ++g)
          pairs =
              add(pairs, times(odd == 0 ? low_nibble(v[g]) : high_nibble(v[g]), four(q + 4 * g)));
        const __m256 s = _mm256_set1_ps(x.scale[b]);
        const __m256 dot =
            _mm256_mul_ps(byte(sub[part / 4], part % 4), _mm256_cvtepi32_ps(widen(pairs)));
        acc = _mm256_fmadd_ps(_mm256_mul_ps(d, s), dot, acc);
        const auto sum = static_cast<float>(x.half_sums[2 * b] + x.half_sums[2 * b + 1]);
        const __m256 least = _mm256_mul_ps(byte(submin[part / 4], part % 4), _mm256_set1_ps(sum));
        acc = _mm256_fmadd_ps(_mm256_mul_ps(m, s), least, acc);
      }
    }
    return acc;
  }
};

// Q6_K lies as 128 bytes of nibbles, 64 bytes of two high bits, sixteen scales, d. Parts 0 and 2 of
// a half share the first 32 bytes of its nibbles, parts 1 and 3 the others; all four share 32 bytes
// of high bits.
struct RowsQ6_K {
  static constexpr int kInputs = 256;
  static constexpr std::size_t kBytes = 210;

  // Signed byte i of eight groups of four, as float32.
  static __m256 byte(__m256i v, int i) {
    const __m256i moved = _mm256_sll_epi32(v, _mm_cvtsi32_si128(24 - 8 * i));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(moved, 24));
  }
  // Weights plus 32 of part j, from a group of nibbles and one of high bits.
  static __m256i weights(__m256i nibbles, __m256i high, int j) {
    const __m256i bits = j == 0   ? _mm256_slli_epi16(high, 4)
                         : j == 1 ? _mm256_slli_epi16(high, 2)
                         : j == 2 ? high
                                  : _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(j < 2 ? low_nibble(nibbles) : high_nibble(nibbles),
                           _mm256_and_si256(bits, _mm256_set1_epi8(0x30)));
  }
  // 16 inputs: the integer dot of groups n[0..4) and h[0..4), offset taken away. Two products fill
  // 16 bits: 2 * 2 * 63 * 127 < 2^15.
  static __m256 dot(const __m256i* n, const __m256i* h, int j, const std::int8_t* q,
                    std::int32_t sum) {
    const auto two = [&](int g) {
      return widen(add(times(weights(n[g], h[g], j), four(q + 4 * g)),
                       times(weights(n[g + 1], h[g + 1], j), four(q + 4 * g + 4))));
    };
    const __m256i whole = _mm256_add_epi32(two(0), two(2));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(whole, _mm256_set1_epi32(32 * sum)));
  }

  // Eight rows, 256 inputs.
  [[gnu::always_inline]] static __m256 step(const std::byte* at, std::size_t row_bytes,
                                            const Q8ConstRow& x, int k, __m256 acc) {
    const __m256 d = eight_f16(at + 208, row_bytes, 8);
    __m256i sub[4];
    quads(at + 192, row_bytes, sub);
    for (int half = 0; half < 2; ++half) {
      __m256i n[16], h[8];
      for (int c = 0; c < 4; ++c) quads(at + 64 * half + 16 * c, row_bytes, n + 4 * c);
      for (int c = 0; c < 2; ++c) quads(at + 128 + 32 * half + 16 * c, row_bytes, h + 4 * c);
      for (int j = 0; j < 4; ++j) {
        const int part = 4 * half + j, b = k / kQ8Block + part;
        const std::int8_t* q = x.q + k + 32 * part;
        const std::int32_t* sums = x.half_sums + 2 * b;
        const __m256i* from = n + 8 * (j & 1);
        const __m256i scale = sub[part / 2];
        const __m256 low = _mm256_mul_ps(byte(scale, part % 2 * 2), dot(from, h, j, q, sums[0]));
        const __m256 both = _mm256_fmadd_ps(byte(scale, part % 2 * 2 + 1),
                                            dot(from + 4, h + 4, j, q + 16, sums[1]), low);
        acc = _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(x.scale[b])), both, acc);
      }
    }
    return acc;
  }
};

// Sixteen whole rows, n_k inputs from first_k on, both multiples of 256.
template <class Rows>
void product_rows(const std::byte* rows, std::size_t row_bytes, int first_k, int n_k,
                  const Q8ConstRow& x, bool first, float* y) {
  for (int half = 0; half < 2; ++half) {
    __m256 acc = first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + 8 * half);
    const std::byte* from = rows + static_cast<std::size_t>(8 * half) * row_bytes;
    for (int k = 0; k < n_k; k += Rows::kInputs) {
      const std::size_t done =
          static_cast<std::size_t>((first_k + k) / Rows::kInputs) * Rows::kBytes;
      // The same share of the next eight rows, in the order of memory.
      const auto next = reinterpret_cast<std::uintptr_t>(from) + 8 * (row_bytes + done);
      for (std::size_t i = 0; i < 8 * Rows::kBytes; i += 64)
        _mm_prefetch(reinterpret_cast<const char*>(next + i), _MM_HINT_T1);
      acc = Rows::step(from + done, row_bytes, x, k, acc);
    }
    _mm256_storeu_ps(y + 8 * half, acc);
  }
}

}  // namespace quant

bool product_rows_q8(DType type, const std::byte* rows, std::size_t row_bytes, int first_k, int n_k,
                     const Q8ConstRow& x, bool first, float* y) {
  if (first_k % 256 != 0 || n_k % 256 != 0) return false;
  if (type == DType::Q4_0)
    quant::product_rows<quant::RowsQ4_0>(rows, row_bytes, first_k, n_k, x, first, y);
  else if (type == DType::Q4_K)
    quant::product_rows<quant::RowsQ4_K>(rows, row_bytes, first_k, n_k, x, first, y);
  else if (type == DType::Q6_K)
    quant::product_rows<quant::RowsQ6_K>(rows, row_bytes, first_k, n_k, x, first, y);
  else
    return false;
  return true;
}

}  // namespace
}  // namespace bezel
