// Float product of panels [n_k][16] with token rows: register tiles of tokens x panels.

namespace bezel {
namespace {

// T tokens, P panels. kParts * T * P accumulators.
template <int T, int P>
void product_tile(const float* panels, std::ptrdiff_t panel_stride, int n_k, const float* const* x,
                  bool first, float* y, std::ptrdiff_t y_stride) {
  Reg acc[T][P][kParts];
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h)
        acc[t][p][h] = first ? V::zero() : V::load(y + t * y_stride + 16 * p + V::kLanes * h);
  for (int k = 0; k < n_k; ++k) {
    Reg in[T];
    for (int t = 0; t < T; ++t) in[t] = V::set(x[t][k]);
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h) {
        const Reg w = V::load(panels + p * panel_stride + 16 * k + V::kLanes * h);
        for (int t = 0; t < T; ++t) acc[t][p][h] = V::fma(w, in[t], acc[t][p][h]);
      }
  }
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h)
        V::store(y + t * y_stride + 16 * p + V::kLanes * h, acc[t][p][h]);
}

// T tokens with all panels, P panels at a time.
template <int T, int P>
void product_tokens(const float* panels, std::ptrdiff_t panel_stride, int n_panels, int n_k,
                    const float* const* x, bool first, float* y, std::ptrdiff_t y_stride) {
  int p = 0;
  for (; p + P <= n_panels; p += P)
    product_tile<T, P>(panels + p * panel_stride, panel_stride, n_k, x, first, y + 16 * p,
                       y_stride);
  for (; p < n_panels; ++p)
    product_tile<T, 1>(panels + p * panel_stride, panel_stride, n_k, x, first, y + 16 * p,
                       y_stride);
}

void product_f32(const float* panels, std::ptrdiff_t panel_stride, int n_panels, int n_k,
                 const float* const* x, int n_tokens, bool first, float* y,
                 std::ptrdiff_t y_stride) {
  constexpr int kTile = V::kMaxRows;
  int t = 0;
  for (; t + kTile <= n_tokens; t += kTile)
    product_tokens<kTile, 1>(panels, panel_stride, n_panels, n_k, x + t, first, y + t * y_stride,
                             y_stride);
  for (; t + 2 <= n_tokens; t += 2)
    product_tokens<2, 2>(panels, panel_stride, n_panels, n_k, x + t, first, y + t * y_stride,
                         y_stride);
  if (t < n_tokens)
    product_tokens<1, 4>(panels, panel_stride, n_panels, n_k, x + t, first, y + t * y_stride,
                         y_stride);
}

}  // namespace
}  // namespace bezel
