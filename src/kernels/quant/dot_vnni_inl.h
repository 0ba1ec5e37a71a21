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

// Integer dot of inputs [4 g0, 4 (g0 + n_g)) of a block with T tokens, exact.
template <class K, int T>
void dot_groups(const std::byte* w, const Q8ConstRow* x, int at, int g0, int n_g, Q::Int* sum) {
  for (int g = g0; g < g0 + n_g; ++g) {
    const Q::Int wg = Q::load(w + 64 * g);
    for (int t = 0; t < T; ++t) sum[t] = Q::dot(sum[t], wg, Q::broadcast4(x[t].q + at + 4 * g));
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
