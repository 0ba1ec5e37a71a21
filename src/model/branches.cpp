// The two branches that only some members have: per-layer embeddings (E2B, E4B) and routed experts
// (26B-A4B). Source: gemma4/_modules.py and _moe.py of google-deepmind/gemma.
#include <algorithm>
#include <array>
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
using ByExpert = std::vector<std::vector<Choice>>;  // rows ascending

// For every expert the rows that chose it, ascending. Weights: softmax over the chosen logits,
// times the expert's own scale. Ties go to the lowest index.
ByExpert route(ConstMat probabilities, ConstMat logits, int used, const float* expert_scale) {
  const int E = logits.cols;
  ByExpert by_expert(static_cast<std::size_t>(E));
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

// Adds what `experts`, ascending and at most kExpertsAtOnce, make of their rows of x to out.
void run_experts(const Layer& l, const Config& c, Ops& op, ConstMat x, std::span<const int> experts,
                 const ByExpert& by_expert, Mat out) {
  struct Part {
    Mat gate, up, y;
    Linear w_gate, w_up, w_down;
  };
  const int D = c.width, F = c.expert_dim;
  const auto frame = op.frame();
  std::array<Part, kExpertsAtOnce> parts;
  std::vector<Ops::ProductOf> inner, outer;
  std::vector<int> rows;
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const int e = experts[i];
    rows.clear();
    for (const Choice& chosen : by_expert[static_cast<std::size_t>(e)]) rows.push_back(chosen.row);
    const Mat xe = op.take_rows(x, rows);        // [n, D]
    const Mat gate_up = op.mat(xe.rows, 2 * F);  // [n, 2 F]
    Part& p = parts[i];
    p = {gate_up.columns(0, F), gate_up.columns(F, F), op.mat(xe.rows, D), {}, {}, {}};
    if (l.expert_gate_up.present()) {
      p.w_gate = l.expert_gate_up.rows(e * 2 * F, 2 * F);
      inner.push_back({gate_up, &p.w_gate, xe});
    } else {
      p.w_gate = l.expert_gate.rows(e * F, F);
      p.w_up = l.expert_up.rows(e * F, F);
      inner.push_back({p.gate, &p.w_gate, xe});
      inner.push_back({p.up, &p.w_up, xe});
    }
    p.w_down = l.expert_down.rows(e * D, D);
    outer.push_back({p.y, &p.w_down, p.gate});
  }
  op.matmul(inner);
  for (std::size_t i = 0; i < experts.size(); ++i) op.gelu_mul(parts[i].gate, parts[i].up);
  op.matmul(outer);
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const auto& chosen = by_expert[static_cast<std::size_t>(experts[i])];
    for (std::size_t r = 0; r < chosen.size(); ++r)
      op.add_scaled_row(out.row(chosen[r].row), chosen[r].weight,
                        parts[i].y.row(static_cast<int>(r)), D);
  }
}

}  // namespace

// sum over the chosen experts e, ascending, of w_e * Down_e . (gelu(Gate_e . x) * (Up_e . x)): [T,
// D]. The router reads h without a learnt norm; x is normed.
Mat Model::experts(const Layer& l, Ops& op, ConstMat x, ConstMat h) const {
  const int T = x.rows, D = config_.width;
  Mat out = op.mat(T, D);
  const auto frame = op.frame();
  Mat t = op.norm(h, l.router_scale, config_.norm_eps);  // [T, D]
  Mat logits = op.matmul(l.router, t);                   // [T, E]
  Mat probabilities = op.mat(T, config_.experts);
  op.copy(probabilities, logits);
  op.softmax(probabilities);
  const auto by_expert = route(probabilities, logits, config_.experts_used, l.expert_scale);
  for (int r = 0; r < T; ++r) std::fill_n(out.row(r), D, 0.0F);
  const int most = std::max(T, kExpertsAtOnce);
  std::vector<int> together;
  int rows = 0;  // of those together
  const auto run = [&] {
    run_experts(l, config_, op, x, together, by_expert, out);
    together.clear();
    rows = 0;
  };
  for (int e = 0; e < config_.experts; ++e) {
    const int n = static_cast<int>(by_expert[static_cast<std::size_t>(e)].size());
    if (n == 0) continue;
    if (static_cast<int>(together.size()) == kExpertsAtOnce || rows + n > most) run();
    together.push_back(e);
    rows += n;
  }
  run();
  return out;
}

}  // namespace bezel
