// Integer dots from sums of two products in 16 bits, which must not overflow:
//   Q::pairs(w, x)   u8 x s8, neighbours added
//   Q::widen(p)      neighbouring 16-bit lanes added to 32 bits

namespace bezel {
namespace {
namespace quant {

// True when dot_groups multiplies with the signed weight instead of the stored byte.
template <class K>
constexpr bool removes_offset() {
  return K::kMax == 255;
}

// Integer dot of inputs [4 g0, 4 (g0 + n_g)) of a block with T tokens, exact; P registers of rows.
template <class K, int T, int P>
[[gnu::always_inline]] inline void dot_groups(const std::byte* w, const Q8ConstRow* x, int at,
                                              int g0, int n_g, Q::Int (*sum)[P]) {
  if constexpr (K::kMax == 255) {
    // |w| <= 128 and |x| <= 127: two products stay within 16 bits.
    for (int g = g0; g < g0 + n_g; ++g)
      for (int p = 0; p < P; ++p) {
        const Q::Int wg = Q::flip_sign_bit(Q::load(w + 64 * g + 4 * Q::kLanes * p));
        const Q::Int size = Q::abs8(wg);
        for (int t = 0; t < T; ++t) {
          const Q::Int xt = Q::with_sign(Q::broadcast4(x[t].q + at + 4 * g), wg);
          sum[t][p] = Q::add32(sum[t][p], Q::widen(Q::pairs(size, xt)));
        }
      }
  } else {
    // A step adds at most 2 * kMax * 127: as many steps as 16 bits hold.
    constexpr int kFit = 32767 / (2 * K::kMax * 127), kSteps = kFit >= 8 ? 8 : kFit >= 4 ? 4 : 2;
    static_assert(kFit >= 2);
    for (int first = g0; first < g0 + n_g; first += kSteps) {
      const int last = first + kSteps < g0 + n_g ? first + kSteps : g0 + n_g;
      Q::Int pair[T][P];
      for (int t = 0; t < T; ++t)
        for (int p = 0; p < P; ++p) pair[t][p] = Q::zero();
      for (int g = first; g < last; ++g) {
        Q::Int wg[P];
        for (int p = 0; p < P; ++p) wg[p] = Q::load(w + 64 * g + 4 * Q::kLanes * p);
        for (int t = 0; t < T; ++t) {
          const Q::Int xt = Q::broadcast4(x[t].q + at + 4 * g);
          for (int p = 0; p < P; ++p) pair[t][p] = Q::add16(pair[t][p], Q::pairs(wg[p], xt));
        }
      }
      for (int t = 0; t < T; ++t)
        for (int p = 0; p < P; ++p) sum[t][p] = Q::add32(sum[t][p], Q::widen(pair[t][p]));
    }
  }
}

// One token: sums in 16 bits; whole() makes them 32 before they are full.
Q::Int multiply_add(Q::Int sum, Q::Int w, Q::Int x) {
  return Q::add16(sum, Q::pairs(w, x));
}
Q::Int plus(Q::Int a, Q::Int b) {
  return Q::add16(a, b);
}
Q::Int whole(Q::Int sum) {
  return Q::widen(sum);
}
// Signed weights, made ready; the sums are 32 bits at once, with kSignedOffset * inputs in them.
constexpr int kSignedOffset = 0;
Q::Int signed_weights(Q::Int w, Q::Int mask) {
  return Q::both(w, mask);
}
Q::Int multiply_add_signed(Q::Int sum, Q::Int w, Q::Int x) {
  return Q::add32(sum, Q::widen(Q::pairs(Q::abs8(w), Q::with_sign(x, w))));
}

}  // namespace quant
}  // namespace
}  // namespace bezel
