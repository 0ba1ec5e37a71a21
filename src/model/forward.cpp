// Gemma on one page. T rows of the batch, R of them read, D width, H query heads, K K/V heads, d
// head size, F feed-forward width, P per-layer width, L layers, V vocabulary; [..] are shapes,
// row-major. Source: google-deepmind/gemma, gemma/gm/nn/gemma4/_modules.py. What looks odd here is
// explained, each with its test, in docs/model.md.
#include <fmt/format.h>

#include <cmath>

#include "model/pass.h"

namespace bezel {

// K and V of the new rows into the cache. Where there is no Wv, v is the projection before k's
// norm.
void Model::append_kv(const Layer& l, Pass& p, ConstMat x) const {
  Ops& op = p.op;
  const auto frame = op.frame();
  const int T = x.rows, d = l.cfg.attn.head_dim, Kd = l.cfg.attn.heads_kv * d;
  Mat k = op.mat(T, Kd), v = op.mat(T, Kd);  // [T, K*d]
  if (l.cfg.v_is_k) {
    op.matmul({{k, &l.wk}}, x);
    op.copy(v, k);
  } else {
    op.matmul({{k, &l.wk}, {v, &l.wv}}, x);
  }
  op.norm_heads(k, l.norm_k, d, config_.norm_eps);
  if (config_.v_norm) op.norm_heads(v, nullptr, d, config_.norm_eps);
  op.rope(k, l.cfg.rope, p.angles(l));
  op.kv_append(p.kv.pages(l.index), p.rows(), k, v);
}

// h += norm(Wo . attention(norm(h)))
void Model::attend(const Layer& l, Pass& p) const {
  Ops& op = p.op;
  const auto frame = op.frame();
  const float eps = config_.norm_eps;
  Mat x = op.norm(p.h, l.norm_attn_in, eps);        // [T, D]
  if (l.owns_kv()) append_kv(l, p, x);              // else an earlier layer's K and V are read
  if (l.index == config_.last_append) p.narrow(x);  // from here on only read rows: T = R
  if (p.h.rows == 0) return;
  Mat q = op.matmul(l.wq, x);  // [T, H*d]
  op.norm_heads(q, l.norm_q, l.cfg.attn.head_dim, eps);
  op.rope(q, l.cfg.rope, p.angles(l));
  if (config_.q_scale != 1) op.scale(q, config_.q_scale);
  Mat o = op.attention(q, p.kv.pages(l.cfg.kv_from), p.rows(), l.cfg.attn);  // [T, H*d]
  Mat y = op.matmul(l.wo, o);                                                // [T, D]
  op.norm(y, y, l.norm_attn_out, eps);
  op.add(p.h, y);
}

// h += norm(Wdown . (gelu(Wgate . x) * (Wup . x))), x = norm(h); plus routed experts if any
void Model::feed_forward(const Layer& l, Pass& p) const {
  Ops& op = p.op;
  const auto frame = op.frame();
  const float eps = config_.norm_eps;
  const int T = p.h.rows, F = l.cfg.ffn_dim;
  Mat x = op.norm(p.h, l.norm_ffn_in, eps);    // [T, D]
  Mat gate = op.mat(T, F), up = op.mat(T, F);  // [T, F]
  op.matmul({{gate, &l.w_gate}, {up, &l.w_up}}, x);
  op.gelu_mul(gate, up);
  Mat y = op.matmul(l.w_down, gate);  // [T, D]
  if (config_.experts > 0) {          // dense and routed branch: each normed, then summed
    op.norm(y, y, l.norm_dense_out, eps);
    Mat x_e = op.norm(p.h, l.norm_moe_in, eps);
    Mat e = experts(l, op, x_e, p.h);  // the router sees h itself
    op.norm(e, e, l.norm_moe_out, eps);
    op.add(y, e);
  }
  op.norm(y, y, l.norm_ffn_out, eps);
  op.add(p.h, y);
}

// h += norm(Wproj . (gelu(Wgate . h) * ple))
void Model::add_per_layer_input(const Layer& l, Pass& p) const {
  Ops& op = p.op;
  const auto frame = op.frame();
  Mat g = op.matmul(l.ple_gate, p.h);  // [T, P]
  op.gelu_mul(g, p.per_layer_input(l));
  Mat y = op.matmul(l.ple_proj, g);  // [T, D]
  op.norm(y, y, l.norm_ple, config_.norm_eps);
  op.add(p.h, y);
}

Result<Mat> Model::forward(const Batch& b, KvCache& kv, Ops& op, const Tap& tap) const {
  Pass p(config_, b, kv, op);
  op.embed(p.h, embedding_, b.ids, std::sqrt(static_cast<float>(config_.width)));  // [T, D]
  if (tap) tap("embedding", -1, p.h);
  if (config_.ple_dim >
      0) {  // of the layers that all rows see, and of those that only read rows see
    p.ple_first = per_layer_inputs(op, p.h, b.ids, 0, config_.last_append);
    p.ple_rest = per_layer_inputs(op, op.take_rows(p.h, b.read), p.read_ids, config_.last_append,
                                  config_.n_layers() - config_.last_append);
  }
  for (const Layer& l : layers_) {
    attend(l, p);
    const bool alive = p.h.rows > 0;
    if (alive) feed_forward(l, p);
    if (alive && config_.ple_dim > 0) add_per_layer_input(l, p);
    if (alive && l.out_scale != 1) op.scale(p.h, l.out_scale);
    if (op.take_non_finite())
      return Error{Errc::Numeric, "the activations became infinite or not a number",
                   fmt::format("layer {}", l.index)};
    if (!alive) break;
    if (tap) tap("layer", l.index, p.h);
  }
  p.append();
  if (p.h.rows == 0) return op.mat(0, config_.vocab);
  op.norm(p.h, p.h, norm_final_, config_.norm_eps);  // [R, D]
  if (tap) tap("final_norm", -1, p.h);
  Mat logits = op.mat(p.h.rows, b.logits ? config_.vocab : 0);  // [R, V]
  if (b.logits) op.matmul({{logits, &output_}}, p.h);
  if (config_.logit_cap > 0) op.soft_cap(logits, config_.logit_cap);
  if (op.take_non_finite())
    return Error{Errc::Numeric, "the activations became infinite or not a number",
                 "the final norm"};
  return logits;
}

}  // namespace bezel
