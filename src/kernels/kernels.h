// The only doorway to SIMD code: one table of functions per instruction set. Every entry gives the
// same bits on every table (docs/numerics.md); the scalar table is the contract in its plainest
// form. Kernels allocate nothing, cannot fail and know no threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/dtype.h"

namespace bezel {

inline constexpr int kNumericsVersion = 1;  // of docs/numerics.md; printed with every fingerprint

inline constexpr int kPanelRows = 16;  // weight rows (outputs) in one panel
inline constexpr int kQ8Block = 32;    // inputs per activation scale
inline constexpr int kCutTerms =
    4096;  // products longer than this are summed in parts (contract: Cuts)
inline constexpr int kFewTokens = 8;  // that count as few: an answer's, not a prompt's
inline constexpr int kSegment = 256;  // positions in an attention segment and in a K/V page
inline constexpr int kKeyGroup = 16;  // keys that lie side by side in a K page

// One activation row as int8: q[n], and for every block of 32 its scale and the sums of its two
// halves (q[0..16), q[16..32)), so that offsets and minima cost no second pass. n % 32 == 0.
struct Q8Row {
  std::int8_t* q;           // [n], 64-byte aligned
  float* scale;             // [n / 32]
  std::int32_t* half_sums;  // [n / 16]
};
struct Q8ConstRow {
  const std::int8_t* q;
  const float* scale;
  const std::int32_t* half_sums;
};
// Tokens woven into tiles (woven.h): token t's tile begins at `at` + t * token_bytes for every t
// that is the first of one. The product begins at input first_k of each.
struct Q8Tokens {
  const std::byte* at;
  std::size_t token_bytes;
  int first_k;  // multiple of 32
};

// What attention of some query rows against one segment of one K/V head needs and gives.
struct SegmentArgs {
  const float* q;  // [n_q] rows of head_dim, stride q_stride
  std::ptrdiff_t q_stride;
  int n_q;
  const int* first;    // [n_q] first allowed key of row i inside this segment, 0 .. 256
  const int* last;     // [n_q] one past its last allowed key; first >= last: row is skipped
  const std::byte* k;  // [16 groups][head_dim][16 keys] of kv_type
  const std::byte* v;  // [256 keys][head_dim] of kv_type
  DType kv_type;       // F32, F16 or BF16
  int head_dim;        // multiple of 8
  float* m;            // [n_q] max score of the segment
  float* l;            // [n_q] sum of p
  float* o;            // [n_q][head_dim], stride o_stride: sum of p * v
  std::ptrdiff_t o_stride;
};

struct KernelTable {
  const char* name;     // "scalar", "avx2", "avxvnni", "avx512", "avx512vnni"
  std::uint32_t needs;  // CpuFeature bits
  int tile;             // tokens of the widest tile that the quantised products read (woven.h)
  int packed_tokens;    // that product_packed_q8 takes; more are quicker behind expand_packed_q8

  // ---- quantised product
  // Activations of one row to int8 (contract: Activations). False when x holds NaN or infinity.
  bool (*quantize_q8)(const float* x, int n, Q8Row out);
  // Expands 32-input blocks [first_k / 32, (first_k + n_k) / 32) of n_rows (1 .. 16) consecutive
  // weight rows into a panel of this table's own layout. Rows beyond n_rows count as zero. first_k
  // and n_k are multiples of the type's block (a part of 4096 is one of 256).
  void (*expand_q8)(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows,
                    int first_k, int n_k, std::byte* panel);
  // y[t][0..16) = product of the panel with token t's inputs (contract: Quantised product), from +0
  // when `first`, else going on from y, so that a product may be cut between blocks at no change of
  // bits. x begins with a tile and with the panel's first block. y rows have stride y_stride.
  void (*product_q8)(DType type, const std::byte* panel, int n_k, Q8Tokens x, int n_tokens,
                     bool first, float* y, std::ptrdiff_t y_stride);

  // As expand_q8, of a packed panel (packed.h): inputs [first_k, first_k + n_k), both multiples of
  // the type's unit. Tables with vectors ask memory for as many inputs more, which lie right
  // behind.
  void (*expand_packed_q8)(DType type, const std::byte* packed, int first_k, int n_k,
                           std::byte* panel);
  // expand_packed_q8 and product_q8 (with `first`) in one, for 1 .. packed_tokens tokens. Tables
  // that take four and more tokens at once ask memory for what comes next then, and all do when
  // `ask` (asks_ahead()).
  void (*product_packed_q8)(DType type, const std::byte* packed, int first_k, int n_k, Q8Tokens x,
                            int n_tokens, bool ask, float* y, std::ptrdiff_t y_stride);

  // ---- float product
  // As expand_q8, to float32 [n_k][16]; any type; F32, F16 and BF16 take any n_k and first_k.
  void (*expand_f32)(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows,
                     int first_k, int n_k, float* panel);
  // n_panels panels [n_k][16] of F32 (as expand_f32 gives), F16 or BF16 (packed.h), panel p at
  // panels + p * panel_bytes, with the inputs x[t][0..n_k) of every token: y[t][16 p + lane]. Every
  // output is one chain of fma over ascending k that starts from +0 when `first`, and goes on from
  // y otherwise, so that long products may be walked in pieces.
  void (*product_f32)(DType type, const std::byte* panels, std::size_t panel_bytes, int n_panels,
                      int n_k, const float* const* x, int n_tokens, bool first, float* y,
                      std::ptrdiff_t y_stride);

  // ---- rows
  // No alignment is asked of rows; n >= 0.
  float (*sum_squares)(const float* x, int n);  // contract: Sums
  // y = (x * r) * w, w may be null (= 1). y may be x.
  void (*scale_weight)(float* y, const float* x, float r, const float* w, int n);
  void (*add)(float* y, const float* x, int n);               // y += x
  void (*scale)(float* y, float s, int n);                    // y *= s
  void (*fma_row)(float* y, float w, const float* x, int n);  // y = fma(w, x, y)
  void (*gelu_mul)(float* gate, const float* up, int n);      // gate = gelu_tanh(gate) * up
  void (*soft_cap)(float* x, float cap, int n);               // x = cap * tanh(x / cap)
  // x = softmax of x[0..n): max, exp, lane sums, times 1 / sum; for the router. n >= 1.
  void (*softmax)(float* x, int n);
  // Rotates pairs (i, i + half) with i < pairs (contract: RoPE).
  void (*rope)(float* x, const float* cos, const float* sin, int pairs, int half);

  // ---- attention
  void (*attend_segment)(const SegmentArgs& a);
  // Joins the next segment into (M, L, O) (contract: Attention). M starts at -infinity, L and O at
  // 0.
  void (*join_segment)(float* M, float* L, float* O, float m, float l, const float* o,
                       int head_dim);
  // K and V of one position and head into page memory at slot `at` (0 .. 255), rounded to `type`.
  void (*store_kv)(DType type, std::byte* k_page, std::byte* v_page, int at, const float* k,
                   const float* v, int head_dim);
};

enum CpuFeature : std::uint32_t {
  kCpuAvx2 = 1,  // AVX2 + FMA + F16C
  kCpuAvxVnni = 2,
  kCpuAvx512 = 4,  // F, BW, DQ, VL
  kCpuAvx512Vnni = 8,
};

std::span<const KernelTable* const> all_kernel_tables();  // compiled in, best first
std::uint32_t cpu_features();                             // what this machine and its OS have
inline bool runs_here(const KernelTable& t) {
  return (t.needs & cpu_features()) == t.needs;
}
const KernelTable& best_kernels();
// Whether memory is read faster here when even one token's products ask ahead.
bool asks_ahead();
// By name ("" = best). An Error that lists the names, or says what this machine lacks.
Result<const KernelTable*> find_kernels(std::string_view name);

// Bytes that one panel of n_k inputs takes on any table, q8 and f32.
std::size_t panel_bytes_q8(int n_k);
std::size_t panel_bytes_f32(int n_k);

}  // namespace bezel
