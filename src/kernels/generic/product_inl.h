// Float product of panels [n_k][16] with token rows: register tiles of tokens x panels.

namespace bezel {
namespace {

// Panels of stored floats, one after the other, and where their products go.
struct FloatPanels {
  const std::byte* at;
  std::size_t bytes;  // of one panel
  int n_panels, n_k;
  bool first;
  float* y;
  std::ptrdiff_t y_stride;
};

// T tokens, P panels from panel `begin` on. kParts * T * P accumulators.
template <class From, int T, int P>
void product_tile(const FloatPanels& panels, int begin, const float* const* x, float* y) {
  const std::byte* at = panels.at + panels.bytes * static_cast<std::size_t>(begin);
  y += kPanelRows * begin;
  Reg acc[T][P][kParts];
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h)
        acc[t][p][h] = panels.first
                           ? V::zero()
                           : V::load(y + t * panels.y_stride + kPanelRows * p + V::kLanes * h);
  for (int k = 0; k < panels.n_k; ++k, at += kPanelRows * From::kBytes) {
    Reg in[T];
    for (int t = 0; t < T; ++t) in[t] = V::set(x[t][k]);
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h) {
        const Reg w = From::load(at + panels.bytes * static_cast<std::size_t>(p) +
                                 V::kLanes * h * From::kBytes);
        for (int t = 0; t < T; ++t) acc[t][p][h] = V::fma(w, in[t], acc[t][p][h]);
      }
  }
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < kParts; ++h)
        V::store(y + t * panels.y_stride + kPanelRows * p + V::kLanes * h, acc[t][p][h]);
}

// Tokens [t, t + T), [t + T, t + 2 T), ... with all panels, P panels at a time; returns the first
// token that is left.
template <class From, int T, int P>
int product_tokens(const FloatPanels& panels, const float* const* x, int t, int n_tokens) {
  for (; t + T <= n_tokens; t += T) {
    float* y = panels.y + t * panels.y_stride;
    int p = 0;
    for (; p + P <= panels.n_panels; p += P) product_tile<From, T, P>(panels, p, x + t, y);
    for (; p < panels.n_panels; ++p) product_tile<From, T, 1>(panels, p, x + t, y);
  }
  return t;
}

void product_f32(DType type, const std::byte* panels, std::size_t panel_bytes, int n_panels,
                 int n_k, const float* const* x, int n_tokens, bool first, float* y,
                 std::ptrdiff_t y_stride) {
  const FloatPanels of = {panels, panel_bytes, n_panels, n_k, first, y, y_stride};
  with_stored(type, [&](auto from) {
    using From = decltype(from);
    int t = product_tokens<From, V::kMaxRows, 1>(of, x, 0, n_tokens);
    t = product_tokens<From, 2, 2>(of, x, t, n_tokens);
    product_tokens<From, 1, 4>(of, x, t, n_tokens);
  });
}

}  // namespace
}  // namespace bezel
