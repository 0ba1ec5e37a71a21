// V of AVX-512 (F, BW, DQ, VL): 16 lanes. What generic/*_inl.h needs of a vector type.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace bezel {
namespace {

struct V {
  using Reg = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kChains = 8;   // independent accumulators that hide the latency of fma
  static constexpr int kMaxRows = 8;  // query rows, or tokens, of a register tile

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg set(float x) { return _mm512_set1_ps(x); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Reg v) { _mm512_storeu_ps(p, v); }
  // The first n lanes, 0 <= n <= kLanes; the others are +0. Reads nothing beyond.
  static Reg load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store_part(float* p, Reg v, int n) { _mm512_mask_storeu_ps(p, mask(n), v); }
  static float first_lane(Reg v) { return _mm512_cvtss_f32(v); }

  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg negate(Reg a) { return _mm512_xor_ps(a, set(-0.0F)); }
  static Reg abs(Reg a) { return _mm512_andnot_ps(set(-0.0F), a); }
  static Reg with_sign(Reg magnitude, Reg sign) {
    return _mm512_or_ps(magnitude, _mm512_and_ps(set(-0.0F), sign));
  }
  // a > b ? a : b, which is b where either is NaN.
  static Reg greater(Reg a, Reg b) { return _mm512_maskz_max_ps(kAll, a, b); }
  // a < b ? a : b, which is b where either is NaN.
  static Reg less(Reg a, Reg b) { return _mm512_maskz_min_ps(kAll, a, b); }
  // a < b ? x : y
  static Reg if_less(Reg a, Reg b, Reg x, Reg y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
  }
  // 2^n for the integer n that kRoundMagic left in the low bits of t.
  static Reg power_of_two(Reg t) {
    const __m512i bits = _mm512_maskz_slli_epi32(kAll, _mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3F800000)));
  }

  static Reg load_f16(const std::byte* p) {
    return _mm512_maskz_cvtph_ps(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg load_bf16(const std::byte* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(kAll, bits);
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, wide, 16));
  }

 private:
  // GCC 12 warns about the undefined source of the unmasked forms of some intrinsics, therefore
  // maskz.
  static constexpr __mmask16 kAll = 0xFFFF;
  static __mmask16 mask(int n) {
    return static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U);
  }
};

}  // namespace
}  // namespace bezel
