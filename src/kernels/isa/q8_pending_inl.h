// Forwards the quantised entries to the scalar table where a table has none of its own.

namespace bezel {
namespace {

bool quantize_q8(const float* x, int n, Q8Row out) {
  return kScalarTable.quantize_q8(x, n, out);
}
void expand_q8(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
               int n_k, std::byte* panel) {
  kScalarTable.expand_q8(type, rows, row_bytes, n_rows, first_k, n_k, panel);
}
void product_q8(DType type, const std::byte* panel, int n_k, const Q8ConstRow* x, int n_tokens,
                float* y, std::ptrdiff_t y_stride) {
  kScalarTable.product_q8(type, panel, n_k, x, n_tokens, y, y_stride);
}

}  // namespace
}  // namespace bezel
