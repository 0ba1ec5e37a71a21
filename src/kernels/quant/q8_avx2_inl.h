// The quantised product on AVX2.
#include "kernels/quant/x86/floats_inl.h"
#include "kernels/quant/x86/rows_inl.h"

namespace bezel {
namespace {
namespace quant {

struct Q {
  using Int = __m256i;
  using Flt = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kTokens = 4;       // of the widest register tile
  static constexpr int kPartsAtOnce = 2;  // registers of rows in a tile

  static Int zero() { return _mm256_setzero_si256(); }
  static Int set(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Int load(const std::byte* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Int broadcast4(const std::int8_t* p) {
    std::int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return _mm256_set1_epi32(x);
  }
  static Int pairs(Int w, Int x) { return _mm256_maddubs_epi16(w, x); }
  static Int widen(Int p) { return _mm256_madd_epi16(p, _mm256_set1_epi16(1)); }
  static Int add16(Int a, Int b) { return _mm256_add_epi16(a, b); }
  static Int abs8(Int a) { return _mm256_abs_epi8(a); }
  static Int with_sign(Int x, Int w) { return _mm256_sign_epi8(x, w); }
  static Int flip_sign_bit(Int a) {
    return _mm256_xor_si256(a, _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static Int add32(Int a, Int b) { return _mm256_add_epi32(a, b); }

  static Flt zero_f() { return _mm256_setzero_ps(); }
  static Flt set_f(float x) { return _mm256_set1_ps(x); }
  static Flt load_f(const std::byte* p) {
    return _mm256_load_ps(reinterpret_cast<const float*>(p));
  }
  static Flt loadu_f(const float* p) { return _mm256_loadu_ps(p); }
  static void store_f(float* p, Flt v) { _mm256_storeu_ps(p, v); }
  static Flt to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Flt mul(Flt a, Flt b) { return _mm256_mul_ps(a, b); }
  static Flt fma(Flt a, Flt b, Flt c) { return _mm256_fmadd_ps(a, b, c); }
};

}  // namespace quant
}  // namespace
}  // namespace bezel

// Order matters: the dot first, then what uses it.
// clang-format off
#include "kernels/quant/dot_pairs_inl.h"
#include "kernels/quant/product_inl.h"
// clang-format on
