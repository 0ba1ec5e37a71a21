// Rounding of activations with AVX-512, sixteen blocks of 32 inputs at a time, step by step:
// nothing is decided by a branch, and no step waits for the one before. The same additions in the
// same order as with AVX2.

namespace bezel {
namespace {
namespace quant {

constexpr int kBlocksAtOnce = 16;

// Squared rounding errors of 32 inputs times r, folded to 16 lanes.
[[gnu::always_inline]] inline __m512 rounding_errors(const float* x, float r) {
  const __m512 by = _mm512_set1_ps(r);
  __m512 e[2];
  for (int i = 0; i < 2; ++i) {
    const __m512 z = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), by);
    e[i] = _mm512_sub_ps(z, _mm512_roundscale_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  return _mm512_fmadd_ps(e[1], e[1], _mm512_mul_ps(e[0], e[0]));
}

// The errors of 32 inputs under each of the four scales; r holds kRoundTo[c] / a, kBlocksAtOnce
// apart. The 16 lanes are folded to four, those of scale c at 4 c.
[[gnu::always_inline]] inline __m512 scale_errors(const float* x, const float* r) {
  __m512 e[4];
  for (int c = 0; c < 4; ++c) e[c] = rounding_errors(x, r[kBlocksAtOnce * c]);
  // Upper half onto the lower of each, two side by side; then the same with quarters, all four.
  const auto fold = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  };
  const __m512 ab = fold(e[0], e[1]), cd = fold(e[2], e[3]);
  return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

// What each of four blocks loses under each scale, those of scale c at 4 c; e as scale_errors
// gives.
[[gnu::always_inline]] inline __m512 sums_of_errors(const __m512* e) {
  const auto fold = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
  };
  const __m512 ab = fold(e[0], e[1]), cd = fold(e[2], e[3]);
  return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xDD));
}

// Bits of the largest size of 32 inputs: found among the bits, so NaN and infinity are found too.
[[gnu::always_inline]] inline std::uint32_t largest_bits(const float* x) {
  const __m512i size = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i low = _mm512_and_si512(_mm512_loadu_si512(x), size),
                high = _mm512_and_si512(_mm512_loadu_si512(x + 16), size);
  return _mm512_reduce_max_epu32(_mm512_max_epu32(low, high));
}

// 32 inputs times r as int8, zeros where `all` is none.
[[gnu::always_inline]] inline __m256i rounded(const float* x, float r, __mmask16 all) {
  const auto half = [&](int i) {
    const __m512 z = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), _mm512_set1_ps(r));
    return _mm512_maskz_cvtepi32_epi8(all, _mm512_cvtps_epi32(z));
  };
  return _mm256_setr_m128i(half(0), half(1));
}

// kBlocksAtOnce blocks of inputs; returns the bits of the largest.
std::uint32_t round_blocks(const float* x, Q8Row out) {
  alignas(64) std::uint32_t bits[kBlocksAtOnce];
  for (int b = 0; b < kBlocksAtOnce; ++b) bits[b] = largest_bits(x + kQ8Block * b);
  const __m512i sizes = _mm512_load_si512(bits);
  const __m512 a = _mm512_castsi512_ps(sizes);
  alignas(64) float r[4 * kBlocksAtOnce], sum[4 * kBlocksAtOnce];
  for (int c = 0; c < 4; ++c)
    _mm512_store_ps(r + kBlocksAtOnce * c, _mm512_div_ps(_mm512_set1_ps(kRoundTo[c]), a));

  for (int b = 0; b < kBlocksAtOnce; b += 4) {
    __m512 e[4];
    for (int i = 0; i < 4; ++i) e[i] = scale_errors(x + kQ8Block * (b + i), r + b + i);
    const __m512 sums = sums_of_errors(e);
    _mm_store_ps(sum + b, _mm512_castps512_ps128(sums));
    _mm_store_ps(sum + kBlocksAtOnce + b, _mm512_extractf32x4_ps(sums, 1));
    _mm_store_ps(sum + 2 * kBlocksAtOnce + b, _mm512_extractf32x4_ps(sums, 2));
    _mm_store_ps(sum + 3 * kBlocksAtOnce + b, _mm512_extractf32x4_ps(sums, 3));
  }
  const auto loss = [&sum](int c) {
    return _mm512_mul_ps(_mm512_load_ps(sum + kBlocksAtOnce * c), _mm512_set1_ps(kRoundCost[c]));
  };
  __m512 least = loss(0), by = _mm512_load_ps(r), to = _mm512_set1_ps(kRoundTo[0]);
  for (int c = 1; c < 4; ++c) {
    const __mmask16 less = _mm512_cmp_ps_mask(loss(c), least, _CMP_LT_OQ);
    least = _mm512_mask_mov_ps(least, less, loss(c));
    by = _mm512_mask_mov_ps(by, less, _mm512_load_ps(r + kBlocksAtOnce * c));
    to = _mm512_mask_mov_ps(to, less, _mm512_set1_ps(kRoundTo[c]));
  }
  // Not below 2^-100, and finite; all else is zeros.
  const __mmask16 some = _mm512_cmpge_epu32_mask(sizes, _mm512_set1_epi32(0x0D800000)) &
                         _mm512_cmplt_epu32_mask(sizes, _mm512_set1_epi32(0x7F800000));
  _mm512_storeu_ps(out.scale, _mm512_maskz_div_ps(some, a, to));
  _mm512_store_ps(r, by);
  for (int b = 0; b < kBlocksAtOnce; ++b) {
    const auto all = static_cast<__mmask16>(-(some >> b & 1));
    const __m256i bytes = rounded(x + kQ8Block * b, r[b], all);
    sums_of_halves(bytes, out.half_sums + std::ptrdiff_t{2} * b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + kQ8Block * b), bytes);
  }
  return _mm512_reduce_max_epu32(sizes);
}

}  // namespace quant

bool quantize_q8(const float* x, int n, Q8Row out) {
  constexpr int kAtOnce = quant::kBlocksAtOnce * kQ8Block;
  std::uint32_t worst = 0;
  const auto blocks = [&worst](const float* in, Q8Row to) {
    const std::uint32_t bits = quant::round_blocks(in, to);
    worst = bits > worst ? bits : worst;
  };
  for (int i = 0; i + kAtOnce <= n; i += kAtOnce)
    blocks(x + i, {out.q + i, out.scale + i / kQ8Block, out.half_sums + i / kQ8Block * 2});
  if (const int rest = n % kAtOnce; rest != 0) {  // filled up with zeros
    const int first = n - rest, block = first / kQ8Block;
    float in[kAtOnce] = {}, scale[quant::kBlocksAtOnce];
    alignas(64) std::int8_t q[kAtOnce];
    std::int32_t half_sums[2 * quant::kBlocksAtOnce];
    const auto copy = [](auto* to, const auto* from, int count) {
      __builtin_memcpy(to, from, sizeof *to * static_cast<std::size_t>(count));
    };
    copy(in, x + first, rest);
    blocks(in, {q, scale, half_sums});
    copy(out.q + first, q, rest);
    copy(out.scale + block, scale, rest / kQ8Block);
    copy(out.half_sums + std::ptrdiff_t{2} * block, half_sums, rest / kQ8Block * 2);
  }
  return worst < 0x7F800000U;
}

}  // namespace
}  // namespace bezel
