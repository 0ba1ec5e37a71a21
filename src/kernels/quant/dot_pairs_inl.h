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
template <class K, int T, int P, class Block, class X>
[[gnu::always_inline]] inline void dot_groups(const Block& w, const X& x, int g0, int n_g,
                                              Q::Int (*sum)[P]) {
  if constexpr (K::kMax == 255) {
    // |w| <= 128 and |x| <= 127: two products stay within 16 bits.
    for (int g = g0; g < g0 + n_g; ++g)
      for (int p = 0; p < P; ++p) {
        const Q::Int wg = Q::flip_sign_bit(w.weights(g, p));
        const Q::Int size = Q::abs8(wg);
        for (int t = 0; t < T; ++t) {
          const Q::Int xt = Q::with_sign(Q::set(x.four(g, t)), wg);
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
        for (int p = 0; p < P; ++p) wg[p] = w.weights(g, p);
        for (int t = 0; t < T; ++t) {
          const Q::Int xt = Q::set(x.four(g, t));
          for (int p = 0; p < P; ++p) pair[t][p] = Q::add16(pair[t][p], Q::pairs(wg[p], xt));
        }
      }
      for (int t = 0; t < T; ++t)
        for (int p = 0; p < P; ++p) sum[t][p] = Q::add32(sum[t][p], Q::widen(pair[t][p]));
    }
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
