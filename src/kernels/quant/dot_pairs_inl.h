// Integer dots from sums of two products in 16 bits, which must not overflow:
//   Q::pairs(w, x)   u8 x s8, neighbours added
//   Q::widen(p)      neighbouring 16-bit lanes added to 32 bits
// GCC would rather multiply first and add later, with every product on the stack; an empty asm that
// claims to change a sum makes it add at once (docs/speed.md, 2026-11-26, night).

namespace bezel {
namespace {
namespace quant {

// By measurement: in wide tiles, and with one token of Q4_0.
template <class K, int T, int P>
constexpr bool adds_at_once() {
  const bool q4_0 = K::kMax == 15 && K::kSubs == 0 && !K::kMin;
  return K::kMax <= 31 && (T * P >= 8 || (T * P == 1 && q4_0));
}

// Between two blocks: with 16 registers, a wide tile's float sums wait in memory.
template <class K, int T, int P>
[[gnu::always_inline]] inline void put_aside(Q::Flt (&acc)[T][P]) {
  if constexpr (Q::kLanes == 8 && adds_at_once<K, T, P>()) asm("" : "+m"(acc));
}

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
      const auto each = [&](int g, auto take) {
        Q::Int wg[P];
        for (int p = 0; p < P; ++p) wg[p] = w.weights(g, p);
        for (int t = 0; t < T; ++t) {
          const Q::Int xt = Q::set(x.four(g, t));
          for (int p = 0; p < P; ++p) take(pair[t][p], Q::pairs(wg[p], xt));
        }
      };
      each(first, [](Q::Int& sum16, Q::Int two) { sum16 = two; });
#pragma GCC unroll 8
      for (int g = first + 1; g < last; ++g)
        each(g, [](Q::Int& sum16, Q::Int two) {
          sum16 = Q::add16(sum16, two);
          if constexpr (adds_at_once<K, T, P>()) asm("" : "+v"(sum16));
        });
      for (int t = 0; t < T; ++t)
        for (int p = 0; p < P; ++p) sum[t][p] = Q::add32(sum[t][p], Q::widen(pair[t][p]));
    }
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
