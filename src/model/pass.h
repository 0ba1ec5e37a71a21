// The state of one forward pass: which rows are still alive, and what they carry through the
// layers.
#pragma once
#include <algorithm>
#include <vector>

#include "model/model.h"

namespace bezel {

struct Model::Pass {
  const Batch& batch;
  Ops& op;
  KvCache& kv;
  Mat h;                    // [T, D] residual stream; [R, D] after narrow()
  Mat ple_first, ple_rest;  // [T, first * P], [R, (L - first) * P], first = last_append
  std::vector<std::int32_t> read_ids;

  // Takes h and the rope angles from the arena; they live as long as the caller's frame.
  Pass(const Config& c, const Batch& b, KvCache& cache, Ops& ops)
      : batch(b), op(ops), kv(cache), h(ops.mat(b.size(), c.width)), config_(c) {
    for (const int r : b.read) {
      read_rows_.push_back(b.rows[static_cast<std::size_t>(r)]);
      read_ids.push_back(b.ids[static_cast<std::size_t>(r)]);
    }
    for (const LayerConfig& l : c.layers) {
      auto& kind = angles_[l.sliding ? 1 : 0];
      if (kind[0].cos.data != nullptr) continue;
      kind[0] = op.rope_angles(l.rope, b.rows);
      kind[1] = op.rope_angles(l.rope, read_rows_);
    }
  }

  const std::vector<RowPos>& rows() const { return narrowed_ ? read_rows_ : batch.rows; }
  const RopeAngles& angles(const Layer& l) const {
    return angles_[l.cfg.sliding ? 1 : 0][narrowed_ ? 1 : 0];
  }
  Mat per_layer_input(const Layer& l) const {  // [T, P]
    const int first = config_.last_append, P = config_.ple_dim;
    return l.index < first ? ple_first.columns(l.index * P, P)
                           : ple_rest.columns((l.index - first) * P, P);
  }

  // Keeps the read rows of h and x only: nothing that the others compute from here on is ever used.
  void narrow(Mat& x) {
    int to = 0;
    for (const int from : batch.read) {
      if (from != to) {
        std::copy_n(h.row(from), h.cols, h.row(to));
        std::copy_n(x.row(from), x.cols, x.row(to));
      }
      ++to;
    }
    h.rows = x.rows = to;
    narrowed_ = true;
  }

  // The new positions count as held.
  void append() {
    for (const RowPos& r : batch.rows) kv.set_length(r.seq, r.pos + 1);
  }

 private:
  const Config& config_;
  std::vector<RowPos> read_rows_;
  RopeAngles angles_[2][2];  // [sliding][narrowed]
  bool narrowed_ = false;
};

}  // namespace bezel
