// Rounding of activations with AVX-512. The same additions in the same order as with AVX2.

namespace bezel {
namespace {
namespace quant {

// Squared rounding errors of 32 inputs times r, folded to 16 lanes.
__m512 rounding_errors(const __m512* v, float r) {
  const __m512 by = _mm512_set1_ps(r);
  __m512 e[2];
  for (int i = 0; i < 2; ++i) {
    const __m512 z = _mm512_mul_ps(v[i], by);
    e[i] = _mm512_sub_ps(z, _mm512_roundscale_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  return _mm512_fmadd_ps(e[1], e[1], _mm512_mul_ps(e[0], e[0]));
}

// Which of the four scales loses least on 32 inputs; r holds kRoundTo[c] / a.
int best_scale(const __m512* v, const float* r) {
  __m512 e[4];
  for (int c = 0; c < 4; ++c) e[c] = rounding_errors(v, r[c]);
  // Upper half onto the lower of each, two side by side; then the same with quarters, all four.
  const auto fold = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  };
  const __m512 ab = fold(e[0], e[1]), cd = fold(e[2], e[3]);
  __m512 x = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
  x = _mm512_add_ps(x, _mm512_shuffle_ps(x, x, 0x4E));
  x = _mm512_add_ps(x, _mm512_shuffle_ps(x, x, 0xB1));
  alignas(64) float sum[16];
  _mm512_store_ps(sum, x);
  int best = 0;
  for (int c = 1; c < 4; ++c)
    best = sum[4 * c] * kRoundCost[c] < sum[4 * best] * kRoundCost[best] ? c : best;
  return best;
}

}  // namespace quant

// 32 inputs: largest size by comparing bit patterns, which also finds NaN and infinity.
bool quantize_q8(const float* x, int n, Q8Row out) {
  std::uint32_t worst = 0;
  const __m512i sign = _mm512_set1_epi32(0x7FFFFFFF);
  for (int b = 0; b < n / kQ8Block; ++b) {
    const __m512 v[2] = {_mm512_loadu_ps(x + b * kQ8Block), _mm512_loadu_ps(x + b * kQ8Block + 16)};
    const std::uint32_t bits = _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(v[0]), sign),
                         _mm512_and_si512(_mm512_castps_si512(v[1]), sign)));
    worst = bits > worst ? bits : worst;
    float a;
    __builtin_memcpy(&a, &bits, sizeof a);
    __m256i bytes = _mm256_setzero_si256();
    out.scale[b] = 0;
    if (bits >= 0x0D800000U && bits < 0x7F800000U) {  // not below 2^-100, and finite
      alignas(16) float r[4];
      _mm_store_ps(r, _mm_div_ps(_mm_loadu_ps(quant::kRoundTo), _mm_set1_ps(a)));
      const int c = quant::best_scale(v, r);
      out.scale[b] = a / quant::kRoundTo[c];
      const __m512 by = _mm512_set1_ps(r[c]);
      bytes = _mm256_setr_m128i(_mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v[0], by))),
                                _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v[1], by))));
    }
    quant::sums_of_halves(bytes, out.half_sums + std::ptrdiff_t{2} * b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kQ8Block), bytes);
  }
  return worst < 0x7F800000U;
}

}  // namespace
}  // namespace bezel
