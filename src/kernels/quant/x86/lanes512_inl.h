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
  static Int broadcast4(const std::int8_t* p) {
    std::int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return _mm512_set1_epi32(x);
  }
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
  static void store_f(float* p, Flt v) { _mm512_storeu_ps(p, v); }
  static Flt to_float(Int a) {
    return _mm512_maskz_cvtepi32_ps(0xFFFF, a);  // GCC 12 warns of the unmasked form
  }
  static Flt mul(Flt a, Flt b) { return _mm512_mul_ps(a, b); }
  static Flt fma(Flt a, Flt b, Flt c) { return _mm512_fmadd_ps(a, b, c); }
  static Flt minus(Flt a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0F)); }

  // Sixteen bytes of every row: v[g] holds bytes 4 g .. 4 g + 3.
  [[gnu::always_inline]] static void quads(const std::byte* at, std::size_t row_bytes, Int* v) {
    Int r[4], a[4];
    for (int i = 0; i < 4; ++i) {  // rows i, 4 + i, 8 + i and 12 + i in one register
      const auto* row =
          reinterpret_cast<const std::uint8_t*>(at) + static_cast<std::size_t>(i) * row_bytes;
      r[i] = _mm512_castsi128_si512(load128(row));
      r[i] = _mm512_inserti32x4(r[i], load128(row + 4 * row_bytes), 1);
      r[i] = _mm512_inserti32x4(r[i], load128(row + 8 * row_bytes), 2);
      r[i] = _mm512_inserti32x4(r[i], load128(row + 12 * row_bytes), 3);
    }
    for (int i = 0; i < 2; ++i) {
      a[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
      a[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      v[2 * i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
      v[2 * i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    }
  }
  // The f16 in the low (byte 0) or high (byte 2) half of every lane.
  static Flt f16_in(Int v, int byte) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(byte == 0 ? v : right32(v, 16)));
  }
  // The f16 at `at` of every row.
  static Flt f16_of_rows(const std::byte* at, std::size_t row_bytes) {
    alignas(32) std::uint16_t d[kLanes];
    for (int r = 0; r < kLanes; ++r)
      d[r] = read<std::uint16_t>(at + static_cast<std::size_t>(r) * row_bytes);
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(d)));
  }
};

}  // namespace quant
}  // namespace
}  // namespace bezel
