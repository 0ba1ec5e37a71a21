// Quantised rows to the float32 panel [n_k][16], by way of the int8 panel. Bit-equal to the
// reference dequantisation: d * sub and every product of it with a weight need at most 24 bits, so
// the one rounding is that of the sum with the minimum. AVX2; every x86 table has it.
#include "kernels/quant/x86/panels_inl.h"

namespace bezel {
namespace {
namespace quant {

// Blocks of an int8 panel to floats.
template <class K>
struct FloatBlocks {
  // d and m of inputs 16 * half .. 16 * half + 15, rows 8 * side .. 8 * side + 7.
  static __m256 scale_at(const std::byte* block, int at, int sub_at, int half, int side) {
    const auto load = [block, side](int offset) {
      return _mm256_load_ps(reinterpret_cast<const float*>(block + offset) +
                            std::ptrdiff_t{8} * side);
    };
    if (K::kSubs == 0) return load(at);
    return _mm256_mul_ps(load(at), load(sub_at + (K::kSubs == 2 ? 64 * half : 0)));
  }

  static void convert(const std::byte* block, float* to) {
    for (int side = 0; side < 2; ++side)
      for (int half = 0; half < 2; ++half) {
        const __m256 d = scale_at(block, K::kD, K::kSub, half, side);
        const __m256 m =
            K::kMin ? scale_at(block, K::kM, K::kSubMin, half, side) : _mm256_setzero_ps();
        for (int group = 4 * half; group < 4 * half + 4; ++group) {
          const auto* bytes = reinterpret_cast<const __m256i*>(block + 64 * group + 32 * side);
          const __m256i four = _mm256_load_si256(bytes);
          float* out = to + (std::ptrdiff_t{4} * group) * kPanelRows + std::ptrdiff_t{8} * side;
          for (int j = 0; j < 4; ++j) {
            const __m256i w =
                _mm256_and_si256(_mm256_srli_epi32(four, 8 * j), _mm256_set1_epi32(255));
            const __m256i q = _mm256_sub_epi32(w, _mm256_set1_epi32(K::kOffset));
            __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(q), d);
            if (K::kMin) x = _mm256_add_ps(x, m);
            _mm256_storeu_ps(out + std::ptrdiff_t{j} * kPanelRows, x);
          }
        }
      }
  }
};

struct ToFloats {
  const std::byte* panel;
  int n_blocks;
  float* to;
  template <class K>
  void run() const {
    for (int b = 0; b < n_blocks; ++b)
      FloatBlocks<K>::convert(panel + std::ptrdiff_t{b} * K::kBytes,
                              to + std::ptrdiff_t{b} * kQ8Block * kPanelRows);
  }
};

}  // namespace quant

void expand_f32(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
                int n_k, float* panel) {
  if (!is_quantised(type) || n_rows < kPanelRows)
    return expand_plain(type, rows, row_bytes, n_rows, first_k, n_k, panel);
  constexpr int kPiece = 256;
  alignas(64)
      std::byte blocks[kPiece / kQ8Block * quant::Kind<0, 3, 2, true>::kBytes];  // the largest
  for (int k = 0; k < n_k; k += kPiece) {
    const int n = n_k - k < kPiece ? n_k - k : kPiece;
    expand_q8(type, rows, row_bytes, n_rows, first_k + k, n, blocks);
    quant::with_kind(type,
                     quant::ToFloats{blocks, n / kQ8Block, panel + std::ptrdiff_t{k} * kPanelRows});
  }
}

}  // namespace
}  // namespace bezel
