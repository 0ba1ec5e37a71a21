// A second copy of the weights that every token of an answer multiplies, packed; what it was made
// from is read no more.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/packed.h"
#include "model/model.h"

namespace bezel {

namespace {

constexpr int kPanelsAtOnce = 16;
// Of a matrix, before the file's pages are let go: nearly nothing lies in memory twice.
constexpr std::size_t kBytesAtOnce = std::size_t{16} << 20U;

// What a matrix is packed as.
DType packed_type(const Linear& w, bool floats_as_q8) {
  return is_quantised(w.type) || !floats_as_q8 ? w.type : DType::Q8_0;
}

// Sixteen float rows as Q8_0, packed. False when one has a value that Q8_0 cannot hold.
bool pack_floats(const Linear& w, const std::byte* rows, std::byte* to) {
  constexpr float kLargest = 127 * 65504.0F;
  const auto n = static_cast<std::size_t>(w.in);
  const std::size_t bytes = row_bytes(DType::Q8_0, n);
  std::vector<float> values(n);
  std::vector<std::byte> blocks(kPanelRows * bytes);
  for (std::size_t r = 0; r < kPanelRows; ++r) {
    dequantize_row(w.type, rows + r * w.row_bytes, values.data(), n);
    for (const float v : values)
      if (!(std::fabs(v) <= kLargest)) return false;
    quantize_q8_0(values.data(), blocks.data() + r * bytes, n);
  }
  pack_panel(DType::Q8_0, blocks.data(), bytes, w.in, to);
  return true;
}

// Over the pool; false when a value cannot be packed.
bool pack_matrix(const Linear& w, DType as, ThreadPool& pool, std::byte* to) {
  const std::size_t row = packed_row_bytes(as, w.in);
  const int panels = w.out / kPanelRows;
  std::atomic<bool> good{true};
  pool.run((panels + kPanelsAtOnce - 1) / kPanelsAtOnce, [&](int item, int) {
    for (int p = item * kPanelsAtOnce; p < std::min(panels, (item + 1) * kPanelsAtOnce); ++p) {
      const auto first = static_cast<std::size_t>(p) * kPanelRows;
      const std::byte* rows = w.data + first * w.row_bytes;
      if (as == w.type)
        pack_panel(w.type, rows, w.row_bytes, w.in, to + first * row);
      else if (!pack_floats(w, rows, to + first * row))
        good = false;
    }
  });
  return good;
}

}  // namespace

template <class Self, class Fn>
void Model::each_packable(Self& m, bool floats_as_q8, const Fn& fn) {
  // `together`: how many rows are used together.
  const auto offer = [&](auto& w, int together) {
    if (!w.present() || w.packed) return;
    const DType as = packed_type(w, floats_as_q8);
    if (can_pack(as, together, w.in)) fn(w, as);
  };
  for (auto& l : m.layers_) {
    for (auto* w : {&l.wq, &l.wk, &l.wv, &l.wo, &l.w_gate, &l.w_up, &l.w_down, &l.ple_gate,
                    &l.ple_proj, &l.router})
      offer(*w, w->out);
    for (auto* w : {&l.expert_gate_up, &l.expert_gate, &l.expert_up, &l.expert_down})
      offer(*w, w->out / std::max(m.config_.experts, 1));
  }
  offer(m.output_, m.output_.out);
  offer(m.ple_model_proj_, m.config_.ple_dim);
}

std::uint64_t Model::packed_bytes(bool floats_as_q8) const {
  std::uint64_t sum = packed_.size();
  each_packable(*this, floats_as_q8, [&sum](const Linear& w, DType as) {
    sum += packed_row_bytes(as, w.in) * static_cast<std::uint64_t>(w.out);
  });
  return sum;
}

Status Model::pack(ThreadPool& pool, bool floats_as_q8) {
  const std::uint64_t size = packed_bytes(floats_as_q8) - packed_.size();
  if (size == 0) return Ok{};
  BEZEL_CHECK(packed_.size() == 0);  // once
  BEZEL_TRY(packed_, HugeBuffer::take(size));
  std::byte* to = packed_.data();
  bool good = true;
  each_packable(*this, floats_as_q8, [&](Linear& w, DType as) {
    const Linear from = w;
    w = {as, w.out, w.in, to, packed_row_bytes(as, w.in), true};
    const int rows = static_cast<int>(kBytesAtOnce / from.row_bytes / kPanelRows + 1) * kPanelRows;
    for (int row = 0; row < w.out; row += rows) {
      const Linear part = from.rows(row, std::min(rows, w.out - row));
      good = pack_matrix(part, as, pool, to) && good;
      file_.let_go({part.data, part.row_bytes * static_cast<std::size_t>(part.out)});
      to += w.row_bytes * static_cast<std::size_t>(part.out);
    }
  });
  if (!good)
    return Error{Errc::Numeric, "a weight is not a finite number, or too large for Q8_0",
                 file_.path};
  return Ok{};
}

}  // namespace bezel
