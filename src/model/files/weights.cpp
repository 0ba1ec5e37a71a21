// The one list of the model's tensors: both names, the shape the configuration asks for, and where
// it goes. Loading walks it; a tensor of another shape is one sentence.
#include <fmt/format.h>

#include <cmath>

#include "model/model.h"

namespace bezel {

// Looks tensors up under their GGUF or Hugging Face name and checks them.
class Binder {
 public:
  Binder(const TensorFile& file, float norm_offset, std::vector<std::unique_ptr<float[]>>& owned)
      : file_(file), norm_offset_(norm_offset), owned_(owned) {
    if (file.kind == FileKind::Gguf) return;
    for (const char* prefix : {"model.language_model.", "language_model.model.", "model.", ""})
      if (file.find(std::string(prefix) + "embed_tokens.weight") != nullptr) {
        prefix_ = prefix;
        return;
      }
  }

  void enter(int layer) {
    layer_ = file_.kind == FileKind::Gguf ? fmt::format("blk.{}.", layer)
                                          : fmt::format("{}layers.{}.", prefix_, layer);
  }
  void leave() { layer_ = file_.kind == FileKind::Gguf ? "" : prefix_; }

  bool has(const char* gguf, const char* hf) const { return file_.find(name(gguf, hf)) != nullptr; }

  // shape: [out, in] or [experts, out, in]; an expert stack becomes one matrix of experts * out
  // rows.
  Status matrix(Linear& to, const char* gguf, const char* hf, std::vector<std::int64_t> shape) {
    BEZEL_TRY(const Tensor* t, find(gguf, hf, shape));
    std::int64_t out = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) out *= shape[i];
    if (out > INT32_MAX)
      return Error{Errc::Unsupported, fmt::format("{} rows are more than Bezel can index", out),
                   at(*t)};
    const std::int64_t in = shape.back();
    if (t->type > DType::IQ4_XS)
      return Error{Errc::BadFile, fmt::format("a weight of type {}", format(t->type).name), at(*t)};
    to = {.type = t->type,
          .out = static_cast<int>(out),
          .in = static_cast<int>(in),
          .data = t->data.data(),
          .row_bytes = row_bytes(t->type, static_cast<std::size_t>(in))};
    return Ok{};
  }

  // A vector of n values as float32, each plus `offset`, times `factor`.
  Status vector(const float*& to, const char* gguf, const char* hf, std::int64_t n,
                float offset = 0, float factor = 1) {
    BEZEL_TRY(const Tensor* t, find(gguf, hf, {n}));
    if (t->type != DType::F32 && t->type != DType::F16 && t->type != DType::BF16)
      return Error{Errc::BadFile,
                   fmt::format("expected F32, F16 or BF16, file has {}", format(t->type).name),
                   at(*t)};
    auto& values = owned_.emplace_back(std::make_unique<float[]>(static_cast<std::size_t>(n)));
    dequantize_row(t->type, t->data.data(), values.get(), static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      float& v = values[static_cast<std::size_t>(i)];
      if (!std::isfinite(v))
        return Error{Errc::BadFile, fmt::format("value {} is not a finite number", i), at(*t)};
      v = (v + offset) * factor;
    }
    to = values.get();
    return Ok{};
  }
  Status norm(const float*& to, const char* gguf, const char* hf, std::int64_t n) {
    return vector(to, gguf, hf, n, norm_offset_);
  }

 private:
  std::string name(const char* gguf, const char* hf) const {
    return layer_ + (file_.kind == FileKind::Gguf ? gguf : hf);
  }
  std::string at(const Tensor& t) const { return file_.path + ": " + t.name; }
  Result<const Tensor*> find(const char* gguf, const char* hf,
                             const std::vector<std::int64_t>& shape) const {
    const std::string wanted = name(gguf, hf);
    const Tensor* t = file_.find(wanted);
    if (t == nullptr)
      return Error{Errc::BadFile, fmt::format("the tensor '{}' is missing", wanted), file_.path};
    if (t->shape != shape)
      return Error{Errc::BadFile,
                   fmt::format("expected the shape [{}], file has {}", fmt::join(shape, ", "),
                               t->shape_text()),
                   at(*t)};
    return t;
  }

  const TensorFile& file_;
  float norm_offset_;
  std::vector<std::unique_ptr<float[]>>& owned_;
  std::string prefix_, layer_;
};

namespace {

Status bind_attention(Binder& in, Layer& l, const Config& c) {
  const std::int64_t D = c.width, d = l.cfg.attn.head_dim;
  const std::int64_t Hd = l.cfg.attn.heads_q * d, Kd = l.cfg.attn.heads_kv * d;
  BEZEL_DO(in.norm(l.norm_attn_in, "attn_norm.weight", "input_layernorm.weight", D));
  BEZEL_DO(
      in.norm(l.norm_attn_out, "post_attention_norm.weight", "post_attention_layernorm.weight", D));
  BEZEL_DO(in.matrix(l.wq, "attn_q.weight", "self_attn.q_proj.weight", {Hd, D}));
  BEZEL_DO(in.matrix(l.wo, "attn_output.weight", "self_attn.o_proj.weight", {D, Hd}));
  BEZEL_DO(in.norm(l.norm_q, "attn_q_norm.weight", "self_attn.q_norm.weight", d));
  if (!l.owns_kv()) return Ok{};  // files may carry K and V of sharing layers; nothing reads them
  BEZEL_DO(in.matrix(l.wk, "attn_k.weight", "self_attn.k_proj.weight", {Kd, D}));
  if (!l.cfg.v_is_k) BEZEL_DO(in.matrix(l.wv, "attn_v.weight", "self_attn.v_proj.weight", {Kd, D}));
  return in.norm(l.norm_k, "attn_k_norm.weight", "self_attn.k_norm.weight", d);
}

Status bind_feed_forward(Binder& in, Layer& l, const Config& c) {
  const std::int64_t D = c.width, F = l.cfg.ffn_dim;
  BEZEL_DO(in.norm(l.norm_ffn_in, "ffn_norm.weight", "pre_feedforward_layernorm.weight", D));
  BEZEL_DO(in.norm(l.norm_ffn_out, "post_ffw_norm.weight", "post_feedforward_layernorm.weight", D));
  BEZEL_DO(in.matrix(l.w_gate, "ffn_gate.weight", "mlp.gate_proj.weight", {F, D}));
  BEZEL_DO(in.matrix(l.w_up, "ffn_up.weight", "mlp.up_proj.weight", {F, D}));
  return in.matrix(l.w_down, "ffn_down.weight", "mlp.down_proj.weight", {D, F});
}

Status bind_experts(Binder& in, Layer& l, const Config& c) {
  const std::int64_t D = c.width, E = c.experts, F = c.expert_dim;
  const float root =
      1.0F / std::sqrt(static_cast<float>(D));  // the router's input is scaled by D^-0.5
  BEZEL_DO(in.matrix(l.router, "ffn_gate_inp.weight", "router.proj.weight", {E, D}));
  BEZEL_DO(in.vector(l.router_scale, "ffn_gate_inp.scale", "router.scale", D, 0, root));
  BEZEL_DO(in.vector(l.expert_scale, "ffn_down_exps.scale", "router.per_expert_scale", E));
  BEZEL_DO(in.norm(l.norm_dense_out, "post_ffw_norm_1.weight",
                   "post_feedforward_layernorm_1.weight", D));
  BEZEL_DO(
      in.norm(l.norm_moe_in, "pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight", D));
  BEZEL_DO(
      in.norm(l.norm_moe_out, "post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight", D));
  BEZEL_DO(in.matrix(l.expert_down, "ffn_down_exps.weight", "experts.down_proj", {E, D, F}));
  if (in.has("ffn_gate_up_exps.weight", "experts.gate_up_proj"))
    return in.matrix(l.expert_gate_up, "ffn_gate_up_exps.weight", "experts.gate_up_proj",
                     {E, 2 * F, D});
  BEZEL_DO(in.matrix(l.expert_gate, "ffn_gate_exps.weight", "experts.gate_proj", {E, F, D}));
  return in.matrix(l.expert_up, "ffn_up_exps.weight", "experts.up_proj", {E, F, D});
}

Status bind_per_layer_input(Binder& in, Layer& l, const Config& c) {
  const std::int64_t D = c.width, P = c.ple_dim;
  BEZEL_DO(in.matrix(l.ple_gate, "inp_gate.weight", "per_layer_input_gate.weight", {P, D}));
  BEZEL_DO(in.matrix(l.ple_proj, "proj.weight", "per_layer_projection.weight", {D, P}));
  return in.norm(l.norm_ple, "post_norm.weight", "post_per_layer_input_norm.weight", D);
}

}  // namespace

Status Model::bind_layer(Binder& in, Layer& l) {
  in.enter(l.index);
  BEZEL_DO(bind_attention(in, l, config_));
  BEZEL_DO(bind_feed_forward(in, l, config_));
  if (config_.experts > 0) BEZEL_DO(bind_experts(in, l, config_));
  if (config_.ple_dim > 0) BEZEL_DO(bind_per_layer_input(in, l, config_));
  if (config_.family != "gemma4") return Ok{};
  const float* scale = nullptr;
  BEZEL_DO(in.vector(scale, "layer_output_scale.weight", "layer_scalar", 1));
  l.out_scale = *scale;
  return Ok{};
}

Status Model::bind() {
  const std::int64_t D = config_.width, V = config_.vocab, P = config_.ple_dim,
                     L = config_.n_layers();
  Binder in(file_, config_.norm_offset, owned_);
  for (int i = 0; i < L; ++i) {
    Layer l;
    l.cfg = config_.layers[static_cast<std::size_t>(i)];
    l.index = i;
    BEZEL_DO(bind_layer(in, l));
    layers_.push_back(l);
  }
  in.leave();
  BEZEL_DO(in.matrix(embedding_, "token_embd.weight", "embed_tokens.weight", {V, D}));
  BEZEL_DO(in.norm(norm_final_, "output_norm.weight", "norm.weight", D));
  output_ = embedding_;  // tied, unless the file has a matrix of its own
  if (in.has("output.weight", "lm_head.weight"))
    BEZEL_DO(in.matrix(output_, "output.weight", "lm_head.weight", {V, D}));
  if (P == 0) return Ok{};
  BEZEL_DO(in.matrix(ple_table_, "per_layer_token_embd.weight", "embed_tokens_per_layer.weight",
                     {V, L * P}));
  BEZEL_DO(in.matrix(ple_model_proj_, "per_layer_model_proj.weight",
                     "per_layer_model_projection.weight", {L * P, D}));
  return in.norm(norm_ple_proj_, "per_layer_proj_norm.weight", "per_layer_projection_norm.weight",
                 P);
}

Result<std::unique_ptr<Model>> Model::load(TensorFile file) {
  BEZEL_TRY(Config config, config_from(file));
  std::unique_ptr<Model> model(new Model(std::move(file), std::move(config)));
  BEZEL_DO(model->bind());
  return model;
}

}  // namespace bezel
