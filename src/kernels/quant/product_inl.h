// The quantised product as register tiles of tokens: one algorithm on the integer vectors Q of an
// instruction set. Q holds kLanes weight rows a register; kParts registers make the 16 rows.
// dot_groups comes from dot_vnni_inl.h or dot_pairs_inl.h.

namespace bezel {
namespace {
namespace quant {

constexpr int kParts16 = kPanelRows / Q::kLanes;

// Where the integer sum of `half` begins: what the offset adds, taken away.
template <class K>
Q::Int start(const std::int32_t* half_sums, int halves, int half) {
  if (K::kOffset == 0 || removes_offset<K>()) return Q::zero();
  const std::int32_t sum = halves == 2 ? half_sums[half] : half_sums[0] + half_sums[1];
  return Q::set(-K::kOffset * sum);
}

template <class K, int T>
void product_tile(const std::byte* panel, int n_blocks, const Q8ConstRow* x, int part, bool first,
                  float* y, std::ptrdiff_t y_stride) {
  constexpr int kHalves = K::kSubs == 2 ? 2 : 1;
  Q::Flt acc[T];
  for (int t = 0; t < T; ++t)
    acc[t] = first ? Q::zero_f() : Q::loadu_f(y + t * y_stride + Q::kLanes * part);
  for (int b = 0; b < n_blocks; ++b, panel += K::kBytes) {
    const std::byte* w = panel + 4 * Q::kLanes * part;
    const auto row = [w](int at) { return Q::load_f(w + at); };
    Q::Flt sum[T];
    for (int h = 0; h < kHalves; ++h) {
      Q::Int dot[T];
      for (int t = 0; t < T; ++t) dot[t] = start<K>(x[t].half_sums + 2 * b, kHalves, h);
      dot_groups<K, T>(w, x, 32 * b, h * 4, 8 / kHalves, dot);
      for (int t = 0; t < T; ++t) {
        const Q::Flt f = Q::to_float(dot[t]);
        if constexpr (K::kSubs == 0)
          sum[t] = f;
        else if (h == 0)
          sum[t] = Q::mul(row(K::kSub), f);
        else
          sum[t] = Q::fma(row(K::kSub + 64), f, sum[t]);
      }
    }
    for (int t = 0; t < T; ++t) {
      const Q::Flt s = Q::set_f(x[t].scale[b]);
      acc[t] = Q::fma(Q::mul(row(K::kD), s), sum[t], acc[t]);
      if constexpr (K::kMin) {
        const std::int32_t* q = x[t].half_sums + 2 * b;
        Q::Flt m;
        if constexpr (K::kSubs == 0) m = Q::set_f(static_cast<float>(q[0] + q[1]));
        if constexpr (K::kSubs == 1)
          m = Q::mul(row(K::kSubMin), Q::set_f(static_cast<float>(q[0] + q[1])));
        if constexpr (K::kSubs == 2)
          m = Q::fma(row(K::kSubMin + 64), Q::set_f(static_cast<float>(q[1])),
                     Q::mul(row(K::kSubMin), Q::set_f(static_cast<float>(q[0]))));
        acc[t] = Q::fma(Q::mul(row(K::kM), s), m, acc[t]);
      }
    }
  }
  for (int t = 0; t < T; ++t) Q::store_f(y + t * y_stride + Q::kLanes * part, acc[t]);
}

struct Product {
  const std::byte* panel;
  int n_k;
  const Q8ConstRow* x;
  int n_tokens;
  bool first;
  float* y;
  std::ptrdiff_t y_stride;

  template <class K, int T>
  int tiles(int t) const {
    for (; t + T <= n_tokens; t += T)
      for (int part = 0; part < kParts16; ++part)
        product_tile<K, T>(panel, n_k / kQ8Block, x + t, part, first, y + t * y_stride, y_stride);
    return t;
  }
  template <class K>
  void run() const {
    int t = tiles<K, Q::kTokens>(0);
    t = tiles<K, 4>(t);
    t = tiles<K, 2>(t);
    tiles<K, 1>(t);
  }
};

}  // namespace quant

void product_q8(DType type, const std::byte* panel, int n_k, const Q8ConstRow* x, int n_tokens,
                bool first, float* y, std::ptrdiff_t y_stride) {
  quant::with_kind(type, quant::Product{panel, n_k, x, n_tokens, first, y, y_stride});
}

}  // namespace
}  // namespace bezel
