// Eight weight rows a register: what every 256-bit Q shares.

namespace bezel {
namespace {
namespace quant {

struct Lanes256 {
  using Int = __m256i;
  using Flt = __m256;
  static constexpr int kLanes = 8;

  static Int zero() { return _mm256_setzero_si256(); }
  static Int set(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Int set8(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static Int load(const std::byte* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(std::byte* p, Int v) { store256(p, v); }
  static Int both(Int a, Int b) { return _mm256_and_si256(a, b); }  // bits set in both
  static Int any(Int a, Int b) { return _mm256_or_si256(a, b); }    // bits set in one
  static Int flip_sign_bit(Int a) { return _mm256_xor_si256(a, set8(0x80)); }
  static Int left16(Int a, int n) { return _mm256_slli_epi16(a, n); }
  static Int right16(Int a, int n) { return _mm256_srli_epi16(a, n); }
  static Int left32(Int a, int n) { return _mm256_slli_epi32(a, n); }
  static Int right32(Int a, int n) { return _mm256_srli_epi32(a, n); }
  static Int right32_signed(Int a, int n) { return _mm256_srai_epi32(a, n); }
  static Int add32(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sub32(Int a, Int b) { return _mm256_sub_epi32(a, b); }

  static Flt zero_f() { return _mm256_setzero_ps(); }
  static Flt set_f(float x) { return _mm256_set1_ps(x); }
  static Flt load_f(const std::byte* p) {
    return _mm256_load_ps(reinterpret_cast<const float*>(p));
  }
  static Flt loadu_f(const float* p) { return _mm256_loadu_ps(p); }
  static void store_f(std::byte* p, Flt v) { store_ps(p, v); }
  static void store_f(float* p, Flt v) { _mm256_storeu_ps(p, v); }
  static Flt to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Flt mul(Flt a, Flt b) { return _mm256_mul_ps(a, b); }
  static Flt fma(Flt a, Flt b, Flt c) { return _mm256_fmadd_ps(a, b, c); }
  static Flt minus_fma(Flt a, Flt b, Flt c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a b
  static Flt minus(Flt a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0F)); }

  // The f16 in the low (byte 0) or high (byte 2) half of every lane.
  static Flt f16_in(Int v, int byte) {
    const auto b = static_cast<char>(byte), c = static_cast<char>(byte + 1);
    const char x = static_cast<char>(0x80);
    const auto far = [](char k, int i) { return static_cast<char>(k + 4 * i); };
    const __m128i pick = _mm_setr_epi8(b, c, far(b, 1), far(c, 1), far(b, 2), far(c, 2), far(b, 3),
                                       far(c, 3), x, x, x, x, x, x, x, x);
    const __m256i packed = _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(pick));
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
  }
};

}  // namespace quant
}  // namespace
}  // namespace bezel
