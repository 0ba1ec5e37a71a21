// The quantised product as register tiles of tokens: one algorithm on the integer vectors Q of an
// instruction set. Q holds kLanes weight rows a register; kParts registers make the 16 rows.
// dot_groups and put_aside come from dot_vnni_inl.h or dot_pairs_inl.h, Tokens from tokens_inl.h.

namespace bezel {
namespace {
namespace quant {

constexpr int kParts16 = kPanelRows / Q::kLanes;

// Where token t's integer sum begins: what the offset adds, taken away.
template <class K, class X>
[[gnu::always_inline]] inline Q::Int start(const X& x, int t, int halves, int half) {
  if (K::kOffset == 0 || removes_offset<K>()) return Q::zero();
  constexpr int kShift = __builtin_ctz(K::kOffset == 0 ? 1U : unsigned{K::kOffset});
  static_assert(K::kOffset == 0 || K::kOffset == 1 << kShift);
  return Q::left32(Q::set(halves == 2 ? x.minus_half(half, t) : x.minus_sum(t)), kShift);
}

template <int H>
struct Half {
  static constexpr int kIndex = H;
};

// A block of a panel, from register `part` of rows on: what add_block asks a block for.
template <class K>
struct PanelBlock {
  const std::byte* at;  // the block's own start, and 4 * Q::kLanes * part

  Q::Int weights(int group, int p) const { return Q::load(at + 64 * group + 4 * Q::kLanes * p); }
  Q::Flt d(int p) const { return row(K::kD, p); }
  Q::Flt m(int p) const { return row(K::kM, p); }
  Q::Flt sub(int half, int p) const { return row(K::kSub + 64 * half, p); }
  Q::Flt submin(int half, int p) const { return row(K::kSubMin + 64 * half, p); }

 private:
  Q::Flt row(int offset, int p) const { return Q::load_f(at + offset + 4 * Q::kLanes * p); }
};

// What a block of the inputs adds to acc, `sum` being its integer sums by subscales.
template <class K, int T, int P, class Block, class X>
[[gnu::always_inline]] inline void add_scaled(const Block& w, const X& x, Q::Flt (*sum)[P],
                                              Q::Flt (*acc)[P]) {
  for (int t = 0; t < T; ++t) {
    const Q::Flt s = Q::set_f(x.scale(t));
    for (int p = 0; p < P; ++p) acc[t][p] = Q::fma(Q::mul(w.d(p), s), sum[t][p], acc[t][p]);
    if constexpr (K::kMin) {
      const auto minus = [](std::int32_t v) { return Q::to_float(Q::set(v)); };
      const Q::Flt q0 = minus(K::kSubs == 2 ? x.minus_half(0, t) : x.minus_sum(t));
      for (int p = 0; p < P; ++p) {
        Q::Flt m = q0;
        if constexpr (K::kSubs > 0) m = Q::mul(w.submin(0, p), q0);
        if constexpr (K::kSubs == 2) m = Q::fma(w.submin(1, p), minus(x.minus_half(1, t)), m);
        acc[t][p] = Q::minus_fma(Q::mul(w.m(p), s), m, acc[t][p]);
      }
    }
  }
}

// A block of the inputs: acc goes one step on for T tokens and P registers of weight rows.
template <class K, int T, int P, class Block, class X>
[[gnu::always_inline]] inline void add_block(const Block& w, const X& x, Q::Flt (*acc)[P]) {
  constexpr int kHalves = K::kSubs == 2 ? 2 : 1;
  Q::Flt sum[T][P] = {};
  const auto add_half = [&](auto half) {
    constexpr int h = decltype(half)::kIndex;
    Q::Int dot[T][P];
    for (int t = 0; t < T; ++t)
      for (int p = 0; p < P; ++p) dot[t][p] = start<K>(x, t, kHalves, h);
    dot_groups<K, T, P>(w, x, h * 4, 8 / kHalves, dot);
    for (int t = 0; t < T; ++t)
      for (int p = 0; p < P; ++p) {
        const Q::Flt f = Q::to_float(dot[t][p]);
        if constexpr (K::kSubs == 0)
          sum[t][p] = f;
        else if (h == 0)
          sum[t][p] = Q::mul(w.sub(0, p), f);
        else
          sum[t][p] = Q::fma(w.sub(1, p), f, sum[t][p]);
      }
  };
  add_half(Half<0>{});
  if constexpr (kHalves == 2) add_half(Half<1>{});
  add_scaled<K, T, P>(w, x, sum, acc);
}

// A tile of T tokens with P registers of weight rows, the first at row Q::kLanes * part.
template <class K, int T, int P>
void product_tile(const std::byte* panel, int n_blocks, Tokens<T> x, int part, bool first, float* y,
                  std::ptrdiff_t y_stride) {
  float* out = y + Q::kLanes * part;
  Q::Flt acc[T][P];
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p)
      acc[t][p] = first ? Q::zero_f() : Q::loadu_f(out + t * y_stride + Q::kLanes * p);
  for (int b = 0; b < n_blocks; ++b, panel += K::kBytes, x.next()) {
    add_block<K, T, P>(PanelBlock<K>{panel + 4 * Q::kLanes * part}, x, acc);
    put_aside<K>(acc);
  }
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p) Q::store_f(out + t * y_stride + Q::kLanes * p, acc[t][p]);
}

struct Product {
  const std::byte* panel;
  int n_k;
  Q8Tokens x;
  int n_tokens;
  bool first;
  float* y;
  std::ptrdiff_t y_stride;

  template <class K, int T>
  int tiles(int t) const {
    // Two subscales need the registers of the second part.
    constexpr int kAtOnce = K::kSubs == 2 ? 1 : Q::kPartsAtOnce;
    for (; t + T <= n_tokens; t += T)
      for (int part = 0; part < kParts16; part += kAtOnce)
        product_tile<K, T, kAtOnce>(panel, n_k / kQ8Block, tile<T>(x, t), part, first,
                                    y + t * y_stride, y_stride);
    return t;
  }
  template <class K>
  void run() const {
    int t = tiles<K, Q::kTokens>(0);  // as q8_tile cuts
    if constexpr (Q::kTokens > 8) t = tiles<K, 8>(t);
    if constexpr (Q::kTokens > 4) t = tiles<K, 4>(t);
    t = tiles<K, 2>(t);
    tiles<K, 1>(t);
  }
};

}  // namespace quant

void product_q8(DType type, const std::byte* panel, int n_k, Q8Tokens x, int n_tokens, bool first,
                float* y, std::ptrdiff_t y_stride) {
  quant::with_kind(type, quant::Product{panel, n_k, x, n_tokens, first, y, y_stride});
}

}  // namespace
}  // namespace bezel
