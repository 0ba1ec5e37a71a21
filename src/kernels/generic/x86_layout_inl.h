// Layout changes of the x86 tables: 16 weight rows to a panel [n_k][16], and K/V to page memory.
// Uses AVX2 + F16C only; AVX-512 machines have both.

namespace bezel {
namespace {

// Rows to columns: element c of the eight rows goes to panel + c * kPanelRows. Written out, because
// arrays of registers end up in memory.
void store_transposed(__m256 r0, __m256 r1, __m256 r2, __m256 r3, __m256 r4, __m256 r5, __m256 r6,
                      __m256 r7, float* panel) {
  const __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1);
  const __m256 a2 = _mm256_unpacklo_ps(r2, r3), a3 = _mm256_unpackhi_ps(r2, r3);
  const __m256 a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
  const __m256 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
  const __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xEE);
  const __m256 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xEE);
  const __m256 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xEE);
  const __m256 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xEE);
  _mm256_storeu_ps(panel, _mm256_permute2f128_ps(b0, b4, 0x20));
  _mm256_storeu_ps(panel + 1 * kPanelRows, _mm256_permute2f128_ps(b1, b5, 0x20));
  _mm256_storeu_ps(panel + 2 * kPanelRows, _mm256_permute2f128_ps(b2, b6, 0x20));
  _mm256_storeu_ps(panel + 3 * kPanelRows, _mm256_permute2f128_ps(b3, b7, 0x20));
  _mm256_storeu_ps(panel + 4 * kPanelRows, _mm256_permute2f128_ps(b0, b4, 0x31));
  _mm256_storeu_ps(panel + 5 * kPanelRows, _mm256_permute2f128_ps(b1, b5, 0x31));
  _mm256_storeu_ps(panel + 6 * kPanelRows, _mm256_permute2f128_ps(b2, b6, 0x31));
  _mm256_storeu_ps(panel + 7 * kPanelRows, _mm256_permute2f128_ps(b3, b7, 0x31));
}

struct EightF32 {
  static constexpr int kBytes = 4;
  static __m256 load(const std::byte* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
};
struct EightF16 {
  static constexpr int kBytes = 2;
  static __m256 load(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};
struct EightBF16 {
  static constexpr int kBytes = 2;
  static __m256 load(const std::byte* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};

// One value as the vectors convert it, without reading past it.
template <class Eight>
float one_value(const std::byte* p) {
  alignas(16) std::byte eight[32] = {};
  __builtin_memcpy(eight, p, Eight::kBytes);
  return _mm256_cvtss_f32(Eight::load(eight));
}

// Columns [0, n_k) of n_rows rows that start at `rows`; the other rows of the panel become +0.
template <class Eight>
void transpose_rows(const std::byte* rows, std::size_t row_bytes, int n_rows, int n_k,
                    float* panel) {
  // Eight rows at a time, because rows that lie a multiple of 4 KiB apart share the ways of a cache
  // set. A panel that is not full, the last of its matrix, takes the plain way.
  const int whole = n_rows == kPanelRows ? n_k / 8 * 8 : 0;
  for (int half = 0; half < kPanelRows; half += 8) {
    const std::byte* from = rows + static_cast<std::size_t>(half) * row_bytes;
    float* to = panel + half;
    for (int k = 0; k < whole; k += 8, from += 8 * Eight::kBytes, to += 8 * kPanelRows) {
      store_transposed(Eight::load(from), Eight::load(from + row_bytes),
                       Eight::load(from + 2 * row_bytes), Eight::load(from + 3 * row_bytes),
                       Eight::load(from + 4 * row_bytes), Eight::load(from + 5 * row_bytes),
                       Eight::load(from + 6 * row_bytes), Eight::load(from + 7 * row_bytes), to);
    }
  }
  for (int k = whole; k < n_k; ++k)
    for (int r = 0; r < kPanelRows; ++r)
      panel[k * kPanelRows + r] =
          r < n_rows ? one_value<Eight>(rows + static_cast<std::size_t>(r) * row_bytes +
                                        std::ptrdiff_t{Eight::kBytes} * k)
                     : 0.0F;
}

// Quantised rows by the reference dequantisation, a piece of at most 256 values at a time.
void expand_quantised(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows,
                      int first_k, int n_k, float* panel) {
  constexpr int kPiece = 256;
  const Format& f = format(type);
  alignas(64) float values[kPanelRows][kPiece];
  for (int k = 0; k < n_k; k += kPiece) {
    const int n = n_k - k < kPiece ? n_k - k : kPiece;
    const std::ptrdiff_t offset =
        static_cast<std::ptrdiff_t>((first_k + k) / f.block_weights) * f.block_bytes;
    for (int r = 0; r < n_rows; ++r)
      dequantize_row(type, rows + static_cast<std::size_t>(r) * row_bytes + offset, values[r],
                     static_cast<std::size_t>(n));
    transpose_rows<EightF32>(reinterpret_cast<const std::byte*>(values), sizeof values[0], n_rows,
                             n, panel + k * kPanelRows);
  }
}

// Every type and number of rows; expand_f32 has a quicker way for full panels of quantised rows.
void expand_plain(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
                  int n_k, float* panel) {
  if (type == DType::F32)
    transpose_rows<EightF32>(rows + std::ptrdiff_t{4} * first_k, row_bytes, n_rows, n_k, panel);
  else if (type == DType::F16)
    transpose_rows<EightF16>(rows + std::ptrdiff_t{2} * first_k, row_bytes, n_rows, n_k, panel);
  else if (type == DType::BF16)
    transpose_rows<EightBF16>(rows + std::ptrdiff_t{2} * first_k, row_bytes, n_rows, n_k, panel);
  else
    expand_quantised(type, rows, row_bytes, n_rows, first_k, n_k, panel);
}

// Eight floats to 16-bit values, round to nearest even.
__m128i narrow_f16(__m256 x) {
  return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
__m128i narrow_bf16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1));
}

template <__m128i (*Narrow)(__m256)>
void store_narrow(std::byte* k_page, std::byte* v_page, int at, const float* k, const float* v,
                  int head_dim) {
  constexpr int kBytes = 2;
  std::byte* k_out =
      k_page + std::ptrdiff_t{kBytes} * (at / kKeyGroup * kKeyGroup * head_dim + at % kKeyGroup);
  std::byte* v_out = v_page + std::ptrdiff_t{kBytes} * at * head_dim;
  for (int i = 0; i < head_dim; i += 8) {
    alignas(16) std::uint16_t key[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(key), Narrow(_mm256_loadu_ps(k + i)));
    for (int j = 0; j < 8; ++j)
      __builtin_memcpy(k_out + std::ptrdiff_t{kBytes} * (i + j) * kKeyGroup, key + j, kBytes);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(v_out + std::ptrdiff_t{kBytes} * i),
                     Narrow(_mm256_loadu_ps(v + i)));
  }
}

void store_kv(DType type, std::byte* k_page, std::byte* v_page, int at, const float* k,
              const float* v, int head_dim) {
  if (type == DType::F16) return store_narrow<narrow_f16>(k_page, v_page, at, k, v, head_dim);
  if (type == DType::BF16) return store_narrow<narrow_bf16>(k_page, v_page, at, k, v, head_dim);
  float* keys = reinterpret_cast<float*>(k_page) + at / kKeyGroup * kKeyGroup * head_dim;
  for (int i = 0; i < head_dim; ++i) keys[i * kKeyGroup + at % kKeyGroup] = k[i];
  __builtin_memcpy(v_page + std::ptrdiff_t{4} * at * head_dim, v,
                   sizeof(float) * static_cast<std::size_t>(head_dim));
}

}  // namespace
}  // namespace bezel
