// What the model calls: operations on matrices. Checks shapes, splits the work over the pool, calls
// the kernel table. Knows no Gemma. Same bits for any number of threads and rows
// (docs/numerics.md).
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "base/pool.h"
#include "base/scratch.h"
#include "base/view.h"
#include "formats/dtype.h"
#include "kernels/kernels.h"

namespace bezel {

// How activations meet quantised weights.
enum class Act { Int8, F32 };

// A weight matrix [out, in] as it lies in the file, or packed (packed.h); borrowed.
struct Linear {
  DType type = DType::F32;
  int out = 0;
  int in = 0;
  const std::byte* data = nullptr;
  std::size_t row_bytes = 0;  // of a row, though a packed one does not lie in one piece
  bool packed = false;        // quantised: for products with int8 activations only

  bool present() const { return data != nullptr; }
  // Rows [first, first + n): one expert of several stored one after the other, or one of two
  // halves. Of a packed matrix, whole panels.
  Linear rows(int first, int n) const {
    Linear part = *this;
    part.out = n;
    part.data += static_cast<std::size_t>(first) * row_bytes;
    return part;
  }
};

struct AttnShape {
  int heads_q = 0;   // H
  int heads_kv = 0;  // K, divides H; query head h reads K/V head h / (H / K)
  int head_dim = 0;  // d
  int window = 0;    // tokens seen back, counting itself; 0 = all
};

struct RopeShape {
  int head_dim = 0;    // d
  int pairs = 0;       // pairs (i, i + d/2) with i < pairs rotate, the rest stay
  double base = 1e4;   // angle of pair i = pos / scale * base^(-2i/d)
  double scale = 1.0;  // linear rope scaling: divides the angle
};
// Cosines and sines of some positions: [T, pairs] each.
struct RopeAngles {
  ConstMat cos, sin;
};

// Where one sequence's K and V of one layer lie. Absolute page p (positions 256 p .. 256 p + 255)
// is at pages[p % n_pages]. In a page, K/V head h has its K at h * head_bytes() and its V behind
// it.
struct KvPages {
  std::byte* const* pages = nullptr;
  int n_pages = 0;
  DType type = DType::F16;
  int heads_kv = 0;
  int head_dim = 0;

  std::size_t side_bytes() const {  // K or V of one head in one page
    return std::size_t{kSegment} * static_cast<std::size_t>(head_dim) *
           (type == DType::F32 ? 4 : 2);
  }
  std::size_t page_bytes() const { return 2 * side_bytes() * static_cast<std::size_t>(heads_kv); }
  std::byte* k(int page, int head) const {
    return pages[page % n_pages] + 2 * side_bytes() * static_cast<std::size_t>(head);
  }
  std::byte* v(int page, int head) const { return k(page, head) + side_bytes(); }
};

// One query (or new) row of a batch: which sequence, which absolute position.
struct RowPos {
  int seq = 0;
  int pos = 0;
};

class Ops {
 public:
  // Borrows all three. `act` decides how quantised weights are multiplied.
  Ops(const KernelTable& table, ThreadPool& pool, Scratch& scratch, Act act);

  // Uninitialised matrix from the arena, valid until the caller's frame ends.
  Mat mat(int rows, int cols) { return scratch_.mat(rows, cols); }
  [[nodiscard]] Scratch::Frame frame() { return scratch_.frame(); }
  const KernelTable& table() const { return table_; }

  struct Product {
    Mat y;  // [T, w.out], overwritten
    const Linear* w;
  };
  struct ProductOf {
    Mat y;
    const Linear* w;
    ConstMat x;  // [T, w.in], T > 0
  };
  static constexpr std::size_t kMaxGroup = 16;  // products of one call
  // y = x . w^T for every product of the group, at the same time; an x that consecutive products
  // share is rounded to int8 once. Takes scratch for the rounded x and gives it back.
  void matmul(std::span<const ProductOf> group);
  void matmul(std::initializer_list<Product> group, ConstMat x);
  // As above into a new matrix.
  Mat matmul(const Linear& w, ConstMat x);

  void norm(Mat y, ConstMat x, const float* w, float eps);  // y may be x; w null = 1
  Mat norm(ConstMat x, const float* w, float eps);          // into a new matrix
  void norm_heads(Mat x, const float* w, int head_dim,
                  float eps);  // every head of every row, in place
  // Cosine and sine, in double by our own functions, rounded once.
  RopeAngles rope_angles(const RopeShape& shape, std::span<const RowPos> rows);
  void rope(Mat x, const RopeShape& shape, const RopeAngles& angles);  // every head of every row
  void kv_append(std::span<const KvPages> seqs, std::span<const RowPos> rows, ConstMat k,
                 ConstMat v);
  // [T, H*d]: softmax(q k) v over the allowed keys of row i's own sequence: pos - window < j <=
  // pos.
  Mat attention(ConstMat q, std::span<const KvPages> seqs, std::span<const RowPos> rows,
                const AttnShape& shape);
  void gelu_mul(Mat gate, ConstMat up);  // gate = gelu_tanh(gate) * up
  void add(Mat y, ConstMat x);           // y += x
  void scale(Mat y, float s);
  void soft_cap(Mat y, float cap);
  void softmax(Mat y);  // every row
  void add_scaled_row(float* y, float w, const float* x, int n) { table_.fma_row(y, w, x, n); }
  // y[i] = scale * row ids[i] of the table.
  void embed(Mat y, const Linear& table, std::span<const std::int32_t> ids, float scale);
  void copy(Mat y, ConstMat x);
  Mat take_rows(ConstMat x, std::span<const int> rows);  // into a new matrix

  // True when a norm or a rounding met NaN or infinity since the last call; clears the mark.
  bool take_non_finite() { return non_finite_.exchange(false); }

  // Upper bound of the scratch that matmul and attention take beside their results, bytes, for
  // matrices of up to max_rows rows and max_in inputs and contexts of up to max_positions.
  static std::size_t scratch_bytes(int max_rows, int max_in, int max_heads_q, int max_head_dim,
                                   int max_positions, int n_threads);

 private:
  struct Rounded;  // activations as int8
  struct Task;     // one product of a group
  struct FloatPanels;
  struct AttnTask;
  struct Frequencies {
    RopeShape shape;
    std::vector<double> of_pair;  // [pairs] base^(-2i/d)
  };

  // fn(row) for every row, over the pool when rows * cost (elements touched per row) is worth it.
  void each_row(int rows, std::size_t cost, const std::function<void(int row)>& fn);
  Rounded round_rows(ConstMat x);
  // Inputs [begin, end) of the tokens of one tile, woven from `to` on; multiples of 32. False when
  // one is NaN or infinite.
  bool round_tile(ConstMat x, int begin, int end, std::byte* to) const;
  void run_q8(const Task& task, int panel, std::byte* buffer) const;
  FloatPanels expand_floats(const Linear& w, int first_row, int n_panels, int begin, int end,
                            std::byte* buffer) const;
  void run_f32(const Task& task, int first_panel, int n_panels, std::byte* buffer) const;
  void attend_rows(const AttnTask& task);
  void attend_waves(const AttnTask& task);
  const std::vector<double>& frequencies(const RopeShape& shape);
  static std::size_t attention_scratch_bytes(int max_rows, int max_heads_q, int max_head_dim,
                                             int max_positions, int n_threads);

  const KernelTable& table_;
  ThreadPool& pool_;
  Scratch& scratch_;
  Act act_;
  std::vector<std::unique_ptr<Frequencies>> frequencies_;  // of the shapes met so far
  std::atomic<bool> non_finite_{false};
};

}  // namespace bezel
