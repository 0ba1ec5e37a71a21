// What a forward pass needs and touches, computed before it runs.
#include <algorithm>

#include "model/model.h"

namespace bezel {

std::size_t Model::scratch_bytes(int max_rows, int max_read, int context, int n_threads,
                                 bool logits) const {
  const Config& c = config_;
  const auto rows = static_cast<std::size_t>(max_rows), read = static_cast<std::size_t>(max_read);
  const auto mat = [](std::size_t r, int cols) {
    return Scratch::mat_bytes(r, static_cast<std::size_t>(cols)) + 64;
  };
  std::size_t carried = mat(rows, c.width) + mat(read, logits ? c.vocab : 0) + mat(read, c.width);
  carried += mat(rows, c.last_append * c.ple_dim);
  carried += mat(read, (c.n_layers() - c.last_append) * c.ple_dim);
  std::size_t worst = mat(rows, c.n_layers() * c.ple_dim);  // token part of the per-layer inputs
  std::size_t inside = 0;                                   // what one operation takes for itself
  int max_pairs = 0;
  for (int i = 0; i < c.n_layers(); ++i) {
    const LayerConfig& l = c.layers[static_cast<std::size_t>(i)];
    // From the last append on only read rows are alive (Pass::narrow).
    const std::size_t here = i > c.last_append ? read : rows,
                      after = i < c.last_append ? rows : read;
    const int Hd = l.attn.heads_q * l.attn.head_dim, Kd = l.attn.heads_kv * l.attn.head_dim;
    const std::size_t attend = mat(here, c.width) * 2 + mat(here, Kd) * 2 + mat(here, Hd) * 2;
    std::size_t ffn = mat(after, c.width) * 2 + mat(after, l.ffn_dim) * 2;
    const std::size_t chosen = std::max<std::size_t>(after, kExpertsAtOnce);
    if (c.experts > 0)
      ffn += mat(after, c.width) * 3 + mat(chosen, c.width) * 2 + mat(after, c.experts) * 2 +
             mat(chosen, 2 * c.expert_dim) + kExpertsAtOnce * 3 * mat(0, 0);
    const std::size_t ple = mat(after, c.ple_dim) + mat(after, c.width);
    worst = std::max({worst, attend, ffn, ple});
    const auto take = [&](std::size_t n, int in) {
      inside = std::max(inside, Ops::scratch_bytes(static_cast<int>(n), in, l.attn.heads_q,
                                                   l.attn.head_dim, context, n_threads));
    };
    take(here, std::max(c.width, Hd));
    take(after, std::max({c.width, l.ffn_dim, c.expert_dim}));
    if (c.experts > 0) take(chosen, std::max(c.width, c.expert_dim));
    max_pairs = std::max(max_pairs, l.rope.pairs);
  }
  carried += mat(rows, max_pairs) * 8;  // two kinds, all and read rows, cos and sin
  return carried + worst + inside;
}

std::uint64_t Model::bytes_per_token(int depth, DType kv_type) const {
  const auto bytes = [](const Linear& w) {
    return w.row_bytes * static_cast<std::uint64_t>(w.present() ? w.out : 0);
  };
  const std::uint64_t value = kv_type == DType::F32 ? 4 : 2;
  std::uint64_t sum =
      bytes(output_) + embedding_.row_bytes + ple_table_.row_bytes + bytes(ple_model_proj_);
  for (const Layer& l : layers_) {
    for (const Linear* w : {&l.wq, &l.wk, &l.wv, &l.wo, &l.w_gate, &l.w_up, &l.w_down, &l.ple_gate,
                            &l.ple_proj, &l.router})
      sum += bytes(*w);
    std::uint64_t experts = 0;
    for (const Linear* w : {&l.expert_gate_up, &l.expert_gate, &l.expert_up, &l.expert_down})
      experts += bytes(*w);
    if (config_.experts > 0)
      sum += experts / static_cast<std::uint64_t>(config_.experts) *
             static_cast<std::uint64_t>(config_.experts_used);
    const AttnShape& a = l.cfg.attn;
    const int keys = a.window > 0 ? std::min(depth, a.window) : depth;
    sum += 2 * value * static_cast<std::uint64_t>(keys) * static_cast<std::uint64_t>(a.heads_kv) *
           static_cast<std::uint64_t>(a.head_dim);
  }
  return sum;
}

}  // namespace bezel
