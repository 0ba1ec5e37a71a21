// The two branches that only some members have: per-layer embeddings (E2B, E4B) and routed experts
// (26B-A4B). Source: gemma4/_modules.py and _moe.py of google-deepmind/gemma.
#include <algorithm>
#include <cmath>

#include "model/model.h"

namespace bezel {

// ple = (norm(reshape(Wmodel . h) * D^-1/2) + T[id] * sqrt(P)) * 2^-1/2 for layers [first, first +
// n): [rows, n * P]. h is what enters layer 0.
Mat Model::per_layer_inputs(Ops& op, ConstMat h, std::span<const std::int32_t> ids, int first,
                            int n) const {
  const int P = config_.ple_dim, rows = h.rows;
  Mat out = op.mat(rows, n * P);
  if (rows == 0 || n == 0) return out;
  const auto frame = op.frame();
  const Linear part = ple_model_proj_.rows(first * P, n * P);
  op.matmul({{out, &part}}, h);
  op.scale(out, 1.0F / std::sqrt(static_cast<float>(config_.width)));
  op.norm_heads(out, norm_ple_proj_, P, config_.norm_eps);
  Mat token = op.mat(rows, config_.n_layers() * P);
  op.embed(token, ple_table_, ids, std::sqrt(static_cast<float>(P)));
  op.add(out, token.columns(first * P, n * P));
  op.scale(out, 0.70710678118654752440F);
  return out;
}

namespace {

struct Choice {
  int row;
  float weight;
};

// For every expert the rows that chose it, ascending. Weights: softmax over the chosen logits,
// times the expert's own scale. Ties go to the lowest index.
std::vector<std::vector<Choice>> route(ConstMat probabilities, ConstMat logits, int used,
                                       const float* expert_scale) {
  const int E = logits.cols;
  std::vector<std::vector<Choice>> by_expert(static_cast<std::size_t>(E));
  std::vector<int> order(static_cast<std::size_t>(E));
  for (int r = 0; r < logits.rows; ++r) {
    const float* z = logits.row(r);
    const float* p = probabilities.row(r);
    for (int e = 0; e < E; ++e) order[static_cast<std::size_t>(e)] = e;
    std::partial_sort(order.begin(), order.begin() + used, order.end(),
                      [z](int a, int b) { return z[a] > z[b] || (z[a] == z[b] && a < b); });
    std::sort(order.begin(), order.begin() + used);
    float sum = 0;
    for (int i = 0; i < used; ++i) sum += p[order[static_cast<std::size_t>(i)]];
    for (int i = 0; i < used; ++i) {
      const int e = order[static_cast<std::size_t>(i)];
      by_expert[static_cast<std::size_t>(e)].push_back({r, p[e] / sum * expert_scale[e]});
    }
  }
  return by_expert;
}

}  // namespace

// sum over the chosen experts e, ascending, of w_e * Down_e . (gelu(Gate_e . x) * (Up_e . x)): [T,
// D]. The router reads h without a learnt norm; x is normed.
Mat Model::experts(const Layer& l, Ops& op, ConstMat x, ConstMat h) const {
  const int T = x.rows, D = config_.width, F = config_.expert_dim;
  Mat out = op.mat(T, D);
  const auto frame = op.frame();
  Mat t = op.norm(h, l.router_scale, config_.norm_eps);  // [T, D]
  Mat logits = op.matmul(l.router, t);                   // [T, E]
  Mat probabilities = op.mat(T, config_.experts);
  op.copy(probabilities, logits);
  op.softmax(probabilities);
  const auto by_expert = route(probabilities, logits, config_.experts_used, l.expert_scale);
  for (int r = 0; r < T; ++r) std::fill_n(out.row(r), D, 0.0F);
  std::vector<int> rows;
  for (int e = 0; e < config_.experts; ++e) {
    const auto& chosen = by_expert[static_cast<std::size_t>(e)];
    if (chosen.empty()) continue;
    const auto inner = op.frame();
    rows.clear();
    for (const Choice& c : chosen) rows.push_back(c.row);
    Mat xe = op.take_rows(x, rows);  // [n, D]
    Mat gate_up = op.mat(xe.rows, 2 * F);
    Mat gate = gate_up.columns(0, F), up = gate_up.columns(F, F);
    if (l.expert_gate_up.present()) {
      const Linear w = l.expert_gate_up.rows(e * 2 * F, 2 * F);
      op.matmul({{gate_up, &w}}, xe);
    } else {
      const Linear wg = l.expert_gate.rows(e * F, F), wu = l.expert_up.rows(e * F, F);
      op.matmul({{gate, &wg}, {up, &wu}}, xe);
    }
    op.gelu_mul(gate, up);
    const Linear down = l.expert_down.rows(e * D, D);
    Mat y = op.matmul(down, gate);  // [n, D]
    for (std::size_t i = 0; i < chosen.size(); ++i)
      op.add_scaled_row(out.row(chosen[i].row), chosen[i].weight, y.row(static_cast<int>(i)), D);
  }
  return out;
}

}  // namespace bezel
