// Integer dots with the four-way instruction: Q::dot(acc, w, x) adds the four products of every
// lane.

namespace bezel {
namespace {
namespace quant {

// True when dot_groups multiplies with the signed weight instead of the stored byte.
template <class K>
constexpr bool removes_offset() {
  return false;
}

template <class K, int T, int P>
void put_aside(Q::Flt (&)[T][P]) {}

// Integer dot of inputs [4 g0, 4 (g0 + n_g)) of a block with T tokens, exact; P registers of rows.
template <class K, int T, int P, class Block, class X>
[[gnu::always_inline]] inline void dot_groups(const Block& w, const X& x, int g0, int n_g,
                                              Q::Int (*sum)[P]) {
  if constexpr (T * P == 1) {  // two chains
    Q::Int odd = Q::zero();
    for (int g = g0; g < g0 + n_g; g += 2) {
      sum[0][0] = Q::dot(sum[0][0], w.weights(g, 0), Q::set(x.four(g, 0)));
      odd = Q::dot(odd, w.weights(g + 1, 0), Q::set(x.four(g + 1, 0)));
    }
    sum[0][0] = Q::add32(sum[0][0], odd);
    return;
  }
  for (int g = g0; g < g0 + n_g; ++g) {
    Q::Int wg[P];
    for (int p = 0; p < P; ++p) wg[p] = w.weights(g, p);
    for (int t = 0; t < T; ++t) {
      const Q::Int xt = Q::set(x.four(g, t));
      for (int p = 0; p < P; ++p) sum[t][p] = Q::dot(sum[t][p], wg[p], xt);
    }
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
