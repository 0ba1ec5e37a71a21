// Sixteen weight rows a register: what every 512-bit Q shares.

namespace bezel {
namespace {
namespace quant {

struct Lanes512 {
  using Int = __m512i;
  using Flt = __m512;
  static constexpr int kLanes = 16;

  static Int zero() { return _mm512_setzero_si512(); }
  static Int set(std::int32_t x) { return _mm512_set1_epi32(x); }
  static Int set8(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  static Int load(const std::byte* p) { return _mm512_load_si512(p); }
  static void store(std::byte* p, Int v) { _mm512_store_si512(p, v); }
  static Int both(Int a, Int b) { return _mm512_and_si512(a, b); }  // bits set in both
  static Int any(Int a, Int b) { return _mm512_or_si512(a, b); }    // bits set in one
  static Int flip_sign_bit(Int a) { return _mm512_xor_si512(a, set8(0x80)); }
  static Int left16(Int a, int n) { return _mm512_slli_epi16(a, static_cast<unsigned>(n)); }
  static Int right16(Int a, int n) { return _mm512_srli_epi16(a, static_cast<unsigned>(n)); }
  static Int left32(Int a, int n) { return _mm512_slli_epi32(a, static_cast<unsigned>(n)); }
  static Int right32(Int a, int n) { return _mm512_srli_epi32(a, static_cast<unsigned>(n)); }
  static Int right32_signed(Int a, int n) { return _mm512_srai_epi32(a, static_cast<unsigned>(n)); }
  static Int add32(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sub32(Int a, Int b) { return _mm512_sub_epi32(a, b); }

  static Flt zero_f() { return _mm512_setzero_ps(); }
  static Flt set_f(float x) { return _mm512_set1_ps(x); }
  static Flt load_f(const std::byte* p) {
    return _mm512_load_ps(reinterpret_cast<const float*>(p));
  }
  static Flt loadu_f(const float* p) { return _mm512_loadu_ps(p); }
  static void store_f(std::byte* p, Flt v) { _mm512_store_ps(reinterpret_cast<float*>(p), v); }
  static void store_f(float* p, Flt v) { _mm512_storeu_ps(p, v); }
  static Flt to_float(Int a) {
    return _mm512_maskz_cvtepi32_ps(0xFFFF, a);  // GCC 12 warns of the unmasked form
  }
  static Flt mul(Flt a, Flt b) { return _mm512_mul_ps(a, b); }
  static Flt fma(Flt a, Flt b, Flt c) { return _mm512_fmadd_ps(a, b, c); }
  static Flt minus_fma(Flt a, Flt b, Flt c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a b
  static Flt minus(Flt a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0F)); }

  // The f16 in the low (byte 0) or high (byte 2) half of every lane.
  static Flt f16_in(Int v, int byte) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(byte == 0 ? v : right32(v, 16)));
  }
};

}  // namespace quant
}  // namespace
}  // namespace bezel
