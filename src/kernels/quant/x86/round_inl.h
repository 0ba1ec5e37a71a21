// Rounding of activations with AVX2.

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
// Squared rounding errors of 32 inputs times r, folded from 16 lanes to four.
__m128 rounding_errors(const __m256* v, float r) {
  const __m256 by = _mm256_set1_ps(r);
  __m256 e[4];
  for (int i = 0; i < 4; ++i) {
    const __m256 z = _mm256_mul_ps(v[i], by);
    e[i] = _mm256_sub_ps(z, _mm256_round_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  const __m256 low = _mm256_fmadd_ps(e[2], e[2], _mm256_mul_ps(e[0], e[0]));
  const __m256 high = _mm256_fmadd_ps(e[3], e[3], _mm256_mul_ps(e[1], e[1]));
  const __m256 sum = _mm256_add_ps(low, high);
  return _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
}

// Which of the four scales loses least on 32 inputs; r holds kRoundTo[c] / a.
int best_scale(const __m256* v, const float* r) {
  __m128 e[4];
  for (int c = 0; c < 4; ++c) e[c] = rounding_errors(v, r[c]);
  _MM_TRANSPOSE4_PS(e[0], e[1], e[2], e[3]);
  const __m128 sum = _mm_add_ps(_mm_add_ps(e[0], e[2]), _mm_add_ps(e[1], e[3]));
  alignas(16) float cost[4];
  _mm_store_ps(cost, _mm_mul_ps(sum, _mm_loadu_ps(kRoundCost)));
  int best = 0;
  for (int c = 1; c < 4; ++c) best = cost[c] < cost[best] ? c : best;
  return best;
}

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
    __m256i q[4];
    if (zero) {
      out.scale[b] = 0;
      for (__m256i& part : q) part = _mm256_setzero_si256();
    } else {
      alignas(16) float r[4];
      _mm_store_ps(r, _mm_div_ps(_mm_loadu_ps(quant::kRoundTo), _mm_set1_ps(a)));
      const int c = quant::best_scale(v, r);
      out.scale[b] = a / quant::kRoundTo[c];
      for (int i = 0; i < 4; ++i)
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(r[c])));
    }
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_permutevar8x32_epi32(packed, order);
    quant::sums_of_halves(bytes, out.half_sums + std::ptrdiff_t{2} * b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kQ8Block), bytes);
  }
  return worst < 0x7F800000U;
}

}  // namespace
}  // namespace bezel
