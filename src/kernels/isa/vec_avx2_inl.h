// V of AVX2 + FMA + F16C: 8 lanes. What generic/*_inl.h needs of a vector type, and nothing else.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace bezel {
namespace {

struct V {
  using Reg = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kChains = 8;   // independent accumulators that hide the latency of fma
  static constexpr int kMaxRows = 4;  // query rows, or tokens, of a register tile

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg set(float x) { return _mm256_set1_ps(x); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Reg v) { _mm256_storeu_ps(p, v); }
  // The first n lanes, 0 <= n <= kLanes; the others are +0. Reads nothing beyond.
  static Reg load_part(const float* p, int n) { return _mm256_maskload_ps(p, mask(n)); }
  static void store_part(float* p, Reg v, int n) { _mm256_maskstore_ps(p, mask(n), v); }
  static float first_lane(Reg v) { return _mm256_cvtss_f32(v); }

  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg negate(Reg a) { return _mm256_xor_ps(a, set(-0.0F)); }
  static Reg abs(Reg a) { return _mm256_andnot_ps(set(-0.0F), a); }
  static Reg with_sign(Reg magnitude, Reg sign) {
    return _mm256_or_ps(magnitude, _mm256_and_ps(set(-0.0F), sign));
  }
  // a > b ? a : b, which is b where either is NaN.
  static Reg greater(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  // a < b ? a : b, which is b where either is NaN.
  static Reg less(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  // a < b ? x : y
  static Reg if_less(Reg a, Reg b, Reg x, Reg y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  // 2^n for the integer n that kRoundMagic left in the low bits of t.
  static Reg power_of_two(Reg t) {
    const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3F800000)));
  }

  static Reg load_f16(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Reg load_bf16(const std::byte* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }

 private:
  static __m256i mask(int n) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), index);
  }
};

}  // namespace
}  // namespace bezel
