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

// Integer dot of inputs [4 g0, 4 (g0 + n_g)) of a block with T tokens, exact.
template <class K, int T>
void dot_groups(const std::byte* w, const Q8ConstRow* x, int at, int g0, int n_g, Q::Int* sum) {
  if constexpr (K::kMax == 255) {
    // |w| <= 128 and |x| <= 127: two products stay within 16 bits.
    for (int g = g0; g < g0 + n_g; ++g) {
      const Q::Int wg = Q::flip_sign_bit(Q::load(w + 64 * g)), size = Q::abs8(wg);
      for (int t = 0; t < T; ++t) {
        const Q::Int xt = Q::with_sign(Q::broadcast4(x[t].q + at + 4 * g), wg);
        sum[t] = Q::add32(sum[t], Q::widen(Q::pairs(size, xt)));
      }
    }
  } else {
    // A step adds at most 2 * kMax * 127: as many steps as 16 bits hold.
    constexpr int kFit = 32767 / (2 * K::kMax * 127), kSteps = kFit >= 8 ? 8 : kFit >= 4 ? 4 : 2;
    static_assert(kFit >= 2);
    for (int first = g0; first < g0 + n_g; first += kSteps) {
      const int last = first + kSteps < g0 + n_g ? first + kSteps : g0 + n_g;
      Q::Int pair[T];
      for (int t = 0; t < T; ++t) pair[t] = Q::zero();
      for (int g = first; g < last; ++g) {
        const Q::Int wg = Q::load(w + 64 * g);
        for (int t = 0; t < T; ++t)
          pair[t] = Q::add16(pair[t], Q::pairs(wg, Q::broadcast4(x[t].q + at + 4 * g)));
      }
      for (int t = 0; t < T; ++t) sum[t] = Q::add32(sum[t], Q::widen(pair[t]));
    }
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
