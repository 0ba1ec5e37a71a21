// A second copy of the weights that every token of an answer multiplies, packed; what it was made
// from is read no more.
#include <algorithm>

#include "kernels/packed.h"
#include "model/model.h"

namespace bezel {

namespace {

constexpr int kPanelsAtOnce = 16;

std::uint64_t bytes_of(const Linear& w) {
  return packed_row_bytes(w.type, w.in) * static_cast<std::uint64_t>(w.out);
}

}  // namespace

template <class Self, class Fn>
void Model::each_packable(Self& m, const Fn& fn) {
  // `together`: how many rows are used together.
  const auto offer = [&fn](auto& w, int together) {
    if (w.present() && !w.packed && can_pack(w.type, together, w.in)) fn(w);
  };
  for (auto& l : m.layers_) {
    for (auto* w :
         {&l.wq, &l.wk, &l.wv, &l.wo, &l.w_gate, &l.w_up, &l.w_down, &l.ple_gate, &l.ple_proj})
      offer(*w, w->out);
    for (auto* w : {&l.expert_gate_up, &l.expert_gate, &l.expert_up, &l.expert_down})
      offer(*w, w->out / std::max(m.config_.experts, 1));
  }
  offer(m.output_, m.output_.out);
  offer(m.ple_model_proj_, m.config_.ple_dim);
}

std::uint64_t Model::packed_bytes() const {
  std::uint64_t sum = packed_.size();
  each_packable(*this, [&sum](const Linear& w) { sum += bytes_of(w); });
  return sum;
}

Status Model::pack(ThreadPool& pool) {
  const std::uint64_t size = packed_bytes() - packed_.size();
  if (size == 0) return Ok{};
  BEZEL_TRY(packed_, HugeBuffer::take(size));
  std::byte* to = packed_.data();
  each_packable(*this, [&](Linear& w) {
    const std::size_t row = packed_row_bytes(w.type, w.in);
    const int panels = w.out / kPanelRows;
    pool.run((panels + kPanelsAtOnce - 1) / kPanelsAtOnce, [&](int item, int) {
      for (int p = item * kPanelsAtOnce; p < std::min(panels, (item + 1) * kPanelsAtOnce); ++p) {
        const auto first = static_cast<std::size_t>(p) * kPanelRows;
        pack_panel(w.type, w.data + first * w.row_bytes, w.row_bytes, w.in, to + first * row);
      }
    });
    file_.let_go({w.data, w.row_bytes * static_cast<std::size_t>(w.out)});
    w.data = to;
    w.row_bytes = row;
    w.packed = true;
    to += bytes_of(w);
  });
  return Ok{};
}

}  // namespace bezel
