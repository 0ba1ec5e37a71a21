// Operations on rows: one row is one unit of work, so the split never touches the arithmetic.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/fp_env.h"

namespace bezel {
namespace {

// Elements below which waking the pool costs more than it saves.
constexpr std::size_t kWorthSharing = 1U << 15U;

std::size_t width(ConstMat x) {
  return static_cast<std::size_t>(x.cols);
}

}  // namespace

Ops::Ops(const KernelTable& table, ThreadPool& pool, Scratch& scratch, Act act)
    : table_(table), pool_(pool), scratch_(scratch), act_(act) {}

void Ops::each_row(int rows, std::size_t cost, const std::function<void(int row)>& fn) {
  const int threads = pool_.n_threads();
  if (threads == 1 || rows < 2 || static_cast<std::size_t>(rows) * cost < kWorthSharing) {
    const FpEnv env;
    for (int r = 0; r < rows; ++r) fn(r);
    return;
  }
  const int share = std::max(1, rows / (threads * 4));
  pool_.run((rows + share - 1) / share, [&](int item, int) {
    const int end = std::min(rows, (item + 1) * share);
    for (int r = item * share; r < end; ++r) fn(r);
  });
}

void Ops::norm(Mat y, ConstMat x, const float* w, float eps) {
  BEZEL_CHECK(y.rows == x.rows && y.cols == x.cols && x.cols > 0);
  each_row(x.rows, width(x), [&](int r) {
    const float sum = table_.sum_squares(x.row(r), x.cols);
    if (!(sum < std::numeric_limits<float>::infinity())) non_finite_ = true;
    const float mean = sum / static_cast<float>(x.cols);
    table_.scale_weight(y.row(r), x.row(r), 1.0F / std::sqrt(mean + eps), w, x.cols);
  });
}

Mat Ops::norm(ConstMat x, const float* w, float eps) {
  const Mat y = mat(x.rows, x.cols);
  norm(y, x, w, eps);
  return y;
}

void Ops::norm_heads(Mat x, const float* w, int head_dim, float eps) {
  BEZEL_CHECK(head_dim > 0 && x.cols % head_dim == 0);
  each_row(x.rows, width(x), [&](int r) {
    for (int at = 0; at < x.cols; at += head_dim) {
      float* head = x.row(r) + at;
      const float sum = table_.sum_squares(head, head_dim);
      if (!(sum < std::numeric_limits<float>::infinity())) non_finite_ = true;
      const float mean = sum / static_cast<float>(head_dim);
      table_.scale_weight(head, head, 1.0F / std::sqrt(mean + eps), w, head_dim);
    }
  });
}

void Ops::gelu_mul(Mat gate, ConstMat up) {
  BEZEL_CHECK(gate.rows == up.rows && gate.cols == up.cols);
  each_row(gate.rows, width(gate) * 4,
           [&](int r) { table_.gelu_mul(gate.row(r), up.row(r), gate.cols); });
}

void Ops::add(Mat y, ConstMat x) {
  BEZEL_CHECK(y.rows == x.rows && y.cols == x.cols);
  each_row(y.rows, width(y), [&](int r) { table_.add(y.row(r), x.row(r), y.cols); });
}

void Ops::scale(Mat y, float s) {
  each_row(y.rows, width(y), [&](int r) { table_.scale(y.row(r), s, y.cols); });
}

void Ops::soft_cap(Mat y, float cap) {
  // Rows of logits are few and long: cut them, elements do not meet each other.
  constexpr int kPiece = 4096;
  const int pieces = (y.cols + kPiece - 1) / kPiece;
  each_row(y.rows * pieces, std::size_t{kPiece} * 4, [&](int item) {
    const int from = item % pieces * kPiece;
    table_.soft_cap(y.row(item / pieces) + from, cap, std::min(kPiece, y.cols - from));
  });
}

void Ops::softmax(Mat y) {
  BEZEL_CHECK(y.cols > 0);
  each_row(y.rows, width(y) * 4, [&](int r) { table_.softmax(y.row(r), y.cols); });
}

void Ops::embed(Mat y, const Linear& table, std::span<const std::int32_t> ids, float scale) {
  BEZEL_CHECK(y.cols == table.in && static_cast<std::size_t>(y.rows) == ids.size());
  each_row(y.rows, width(y) * 2, [&](int r) {
    const std::int32_t id = ids[static_cast<std::size_t>(r)];
    BEZEL_CHECK(0 <= id && id < table.out);
    dequantize_row(table.type, table.data + static_cast<std::size_t>(id) * table.row_bytes,
                   y.row(r), width(y));
    table_.scale(y.row(r), scale, y.cols);
  });
}

void Ops::copy(Mat y, ConstMat x) {
  BEZEL_CHECK(y.rows == x.rows && y.cols == x.cols);
  for (int r = 0; r < y.rows; ++r) std::memcpy(y.row(r), x.row(r), width(x) * sizeof(float));
}

Mat Ops::take_rows(ConstMat x, std::span<const int> rows) {
  const Mat y = mat(static_cast<int>(rows.size()), x.cols);
  for (int r = 0; r < y.rows; ++r) {
    const int from = rows[static_cast<std::size_t>(r)];
    BEZEL_CHECK(0 <= from && from < x.rows);
    std::memcpy(y.row(r), x.row(from), width(x) * sizeof(float));
  }
  return y;
}

}  // namespace bezel
