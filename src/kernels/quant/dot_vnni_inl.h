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

// Integer dot of inputs [4 g0, 4 (g0 + n_g)) of a block with T tokens, exact; P registers of rows.
template <class K, int T, int P>
[[gnu::always_inline]] inline void dot_groups(const std::byte* w, const Q8ConstRow* x, int at,
                                              int g0, int n_g, Q::Int (*sum)[P]) {
  for (int g = g0; g < g0 + n_g; ++g) {
    Q::Int wg[P];
    for (int p = 0; p < P; ++p) wg[p] = Q::load(w + 64 * g + 4 * Q::kLanes * p);
    for (int t = 0; t < T; ++t) {
      const Q::Int xt = Q::broadcast4(x[t].q + at + 4 * g);
      for (int p = 0; p < P; ++p) sum[t][p] = Q::dot(sum[t][p], wg[p], xt);
    }
  }
}

// One token: sums in 32 bits.
Q::Int multiply_add(Q::Int sum, Q::Int w, Q::Int x) {
  return Q::dot(sum, w, x);
}
Q::Int plus(Q::Int a, Q::Int b) {
  return Q::add32(a, b);
}
Q::Int whole(Q::Int sum) {
  return sum;
}
// Signed weights, made ready; kSignedOffset * inputs are in their sums.
constexpr int kSignedOffset = 128;
Q::Int signed_weights(Q::Int w, Q::Int mask) {
  return Q::both(Q::flip_sign_bit(w), mask);
}
Q::Int multiply_add_signed(Q::Int sum, Q::Int w, Q::Int x) {
  return Q::dot(sum, w, x);
}

}  // namespace quant
}  // namespace
}  // namespace bezel
