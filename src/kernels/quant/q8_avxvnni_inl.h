// The quantised product on AVX-VNNI: 256-bit registers with the integer dot product.
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
  static Int dot(Int acc, Int w, Int x) { return _mm256_dpbusd_avx_epi32(acc, w, x); }

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
#include "kernels/quant/dot_vnni_inl.h"
#include "kernels/quant/product_inl.h"
// clang-format on
