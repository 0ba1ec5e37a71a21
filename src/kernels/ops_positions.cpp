// What depends on absolute positions: rotary embedding, and storing K and V.
#include <algorithm>

#include "kernels/math/precise.h"
#include "kernels/ops.h"

namespace bezel {
namespace {

bool same(const RopeShape& a, const RopeShape& b) {
  return a.head_dim == b.head_dim && a.pairs == b.pairs && a.base == b.base && a.scale == b.scale;
}

}  // namespace

const std::vector<double>& Ops::frequencies(const RopeShape& shape) {
  for (const auto& known : frequencies_)
    if (same(known->shape, shape)) return known->of_pair;
  BEZEL_CHECK(shape.base > 0 && shape.scale > 0 && shape.head_dim > 0);
  std::vector<double> of_pair;
  const double log_base = math::precise_log(shape.base);
  for (int i = 0; i < shape.pairs; ++i)
    of_pair.push_back(math::precise_exp(-(2.0 * i / shape.head_dim) * log_base));
  frequencies_.push_back(std::make_unique<Frequencies>(Frequencies{shape, std::move(of_pair)}));
  return frequencies_.back()->of_pair;
}

RopeAngles Ops::rope_angles(const RopeShape& shape, std::span<const RowPos> rows) {
  const std::vector<double>& frequency = frequencies(shape);
  const int n = static_cast<int>(rows.size());
  const Mat cos = mat(n, shape.pairs), sin = mat(n, shape.pairs);
  each_row(n, frequency.size() * 32, [&](int r) {
    const double position = rows[static_cast<std::size_t>(r)].pos / shape.scale;
    for (int i = 0; i < shape.pairs; ++i) {
      const auto at = math::precise_sincos(position * frequency[static_cast<std::size_t>(i)]);
      cos.row(r)[i] = static_cast<float>(at.cos);
      sin.row(r)[i] = static_cast<float>(at.sin);
    }
  });
  return {cos, sin};
}

void Ops::rope(Mat x, const RopeShape& shape, const RopeAngles& angles) {
  const int d = shape.head_dim;
  BEZEL_CHECK(d > 0 && x.cols % d == 0 && 2 * shape.pairs <= d);
  BEZEL_CHECK(angles.cos.rows == x.rows && angles.cos.cols == shape.pairs);
  each_row(x.rows, static_cast<std::size_t>(x.cols), [&](int r) {
    for (int at = 0; at < x.cols; at += d)
      table_.rope(x.row(r) + at, angles.cos.row(r), angles.sin.row(r), shape.pairs, d / 2);
  });
}

void Ops::kv_append(std::span<const KvPages> seqs, std::span<const RowPos> rows, ConstMat k,
                    ConstMat v) {
  BEZEL_CHECK(static_cast<std::size_t>(k.rows) == rows.size() && v.rows == k.rows &&
              v.cols == k.cols);
  each_row(k.rows, static_cast<std::size_t>(k.cols) * 2, [&](int r) {
    const auto [seq, pos] = rows[static_cast<std::size_t>(r)];
    BEZEL_CHECK(pos >= 0 && 0 <= seq && static_cast<std::size_t>(seq) < seqs.size());
    const KvPages& kv = seqs[static_cast<std::size_t>(seq)];
    BEZEL_CHECK(kv.n_pages > 0 && k.cols == kv.heads_kv * kv.head_dim);
    for (int head = 0; head < kv.heads_kv; ++head)
      table_.store_kv(kv.type, kv.k(pos / kSegment, head), kv.v(pos / kSegment, head),
                      pos % kSegment, k.row(r) + head * kv.head_dim, v.row(r) + head * kv.head_dim,
                      kv.head_dim);
  });
}

}  // namespace bezel
