// GGUF keys to facts. Key names: llama.cpp's converters for gemma3 and gemma4; docs/model.md.
#include <fmt/format.h>

#include <cmath>

#include "model/files/facts.h"

namespace bezel {

namespace {

constexpr std::int64_t kMax = std::int64_t{1} << 31U;

// Keys of one architecture: "gemma4.block_count".
struct Keys {
  const TensorFile& file;
  std::string arch;

  std::string key(const char* name) const { return arch + "." + name; }
  Result<std::int64_t> need(const char* name) const {
    if (!file.has(key(name)))
      return Error{Errc::BadFile, fmt::format("the key '{}' is missing", key(name)), file.path};
    return file.meta_int(key(name), 0, 0, kMax);
  }
  Result<std::int64_t> get(const char* name, std::int64_t fallback) const {
    return file.meta_int(key(name), fallback, 0, kMax);
  }
  Result<double> real(const char* name, double fallback) const {
    return file.meta_float(key(name), fallback);
  }
};

// Share of pairs that rotate on global layers: rope_freqs.weight holds the divisor of every pair's
// angle, 1 for those that rotate and 1e30 for those that stay.
Result<double> rotary_share(const TensorFile& file, std::int64_t head_dim_global) {
  const Tensor* t = file.find("rope_freqs.weight");
  if (t == nullptr) return 0.25;
  const std::int64_t n = t->n_values();
  if (t->type != DType::F32 || n * 2 != head_dim_global)
    return Error{Errc::BadFile,
                 fmt::format("expected F32 [{}], file has {} {}", head_dim_global / 2,
                             format(t->type).name, t->shape_text()),
                 file.path + ": rope_freqs.weight"};
  std::int64_t turning = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    float divisor;
    std::memcpy(&divisor, t->data.data() + static_cast<std::size_t>(i) * sizeof divisor,
                sizeof divisor);
    const bool turns = divisor == 1.0F && turning == i;
    if (!turns && !(divisor >= 1e29F))
      return Error{
          Errc::Unsupported,
          fmt::format("divisor {} of pair {}: expected ones, then values of 1e30", divisor, i),
          file.path + ": rope_freqs.weight"};
    turning += turns ? 1 : 0;
  }
  return static_cast<double>(turning) / static_cast<double>(n);
}

Status sliding_pattern(const Keys& k, Facts& f) {
  const auto n = static_cast<std::size_t>(f.n_layers);
  f.sliding.assign(n, true);
  const std::string key = k.key("attention.sliding_window_pattern");
  const auto it = k.file.meta.find(key);
  if (it == k.file.meta.end() || !std::holds_alternative<MetaArray>(it->second)) {
    BEZEL_TRY(const std::int64_t period, k.file.meta_int(key, 6, 1, 1024));
    for (std::size_t i = 0; i < n; ++i)
      f.sliding[i] = (i + 1) % static_cast<std::size_t>(period) != 0;
    return Ok{};
  }
  BEZEL_TRY(const auto flags, k.file.meta_ints(key, n, 1, 0, 1));
  for (std::size_t i = 0; i < n; ++i) f.sliding[i] = flags[i] != 0;
  return Ok{};
}

Status gemma4_facts(const Keys& k, Facts& f) {
  BEZEL_TRY(f.head_dim, k.get("attention.key_length_swa", 256));
  BEZEL_TRY(f.head_dim_global, k.get("attention.key_length", 512));
  BEZEL_TRY(f.shared_kv, k.get("attention.shared_kv_layers", 0));
  BEZEL_TRY(f.ple_dim, k.get("embedding_length_per_layer_input", 0));
  BEZEL_TRY(f.experts, k.get("expert_count", 0));
  BEZEL_TRY(f.experts_used, k.get("expert_used_count", 0));
  BEZEL_TRY(f.expert_dim, k.get("expert_feed_forward_length", 0));
  BEZEL_TRY(f.logit_cap, k.real("final_logit_softcapping", 30.0));
  BEZEL_TRY(f.rotary_share, rotary_share(k.file, f.head_dim_global));
  const std::int64_t first_shared = f.n_layers - f.shared_kv;
  for (std::int64_t i = 0; i < f.n_layers; ++i)
    f.v_is_k[static_cast<std::size_t>(i)] =
        i < first_shared && k.file.find(fmt::format("blk.{}.attn_v.weight", i)) == nullptr;
  return Ok{};
}

// GGUF has no key for q's scale: head_dim^-0.5, except 27B (62 layers), which divides by sqrt(D /
// H).
Status gemma3_facts(const Keys& k, Facts& f) {
  BEZEL_TRY(f.head_dim, k.get("attention.key_length", 256));
  f.head_dim_global = f.head_dim;
  BEZEL_TRY(f.logit_cap, k.real("final_logit_softcapping", 0.0));
  BEZEL_TRY(const std::string scaling, k.file.meta_text(k.key("rope.scaling.type"), "none"));
  if (scaling == "linear") {
    BEZEL_TRY(f.rope_scale, k.real("rope.scaling.factor", 1.0));
  } else if (scaling != "none") {
    return Error{Errc::Unsupported, fmt::format("rope scaling '{}': Bezel reads 'linear'", scaling),
                 k.file.path};
  }
  if (f.head_dim > 0 && f.heads > 0) {
    const auto by = static_cast<double>(f.n_layers == 62 ? f.width / f.heads : f.head_dim);
    f.q_scale = 1.0 / std::sqrt(by);
  }
  return Ok{};
}

}  // namespace

Result<Facts> facts_from_gguf(const TensorFile& file) {
  BEZEL_TRY(const std::string arch, file.meta_text("general.architecture", ""));
  if (arch != "gemma4" && arch != "gemma3")
    return Error{Errc::Unsupported,
                 fmt::format("architecture '{}': Bezel runs gemma4 and gemma3 text models", arch),
                 file.path};
  const Keys k{file, arch};
  Facts f;
  f.gemma4 = arch == "gemma4";
  BEZEL_TRY(f.n_layers, k.need("block_count"));
  if (f.n_layers < 1 || f.n_layers > 1024)
    return Error{Errc::BadFile, fmt::format("{} layers, expected 1 to 1024", f.n_layers),
                 file.path};
  BEZEL_TRY(f.width, k.need("embedding_length"));
  BEZEL_TRY(f.heads, k.need("attention.head_count"));
  BEZEL_TRY(f.context, k.get("context_length", f.gemma4 ? 131072 : 32768));
  BEZEL_TRY(f.window, k.get("attention.sliding_window", f.n_layers <= 26 ? 512 : 1024));
  BEZEL_TRY(f.eps, k.real("attention.layer_norm_rms_epsilon", 1e-6));
  BEZEL_TRY(f.rope_base, k.real("rope.freq_base", 1e6));
  BEZEL_TRY(f.rope_base_sliding, k.real("rope.freq_base_swa", 1e4));
  const auto n = static_cast<std::size_t>(f.n_layers);
  BEZEL_TRY(f.heads_kv, file.meta_ints(k.key("attention.head_count_kv"), n, f.heads, 0, kMax));
  BEZEL_TRY(f.ffn_dim, file.meta_ints(k.key("feed_forward_length"), n, 0, 0, kMax));
  BEZEL_TRY(const auto suppress, file.meta_int_list("tokenizer.ggml.suppress_tokens", 0, kMax - 1));
  for (const std::int64_t id : suppress) f.suppress.push_back(static_cast<std::int32_t>(id));
  f.v_is_k.assign(n, false);
  BEZEL_DO(sliding_pattern(k, f));
  const Tensor* table = file.find("token_embd.weight");
  if (table == nullptr || table->shape.size() != 2)
    return Error{Errc::BadFile,
                 "the matrix 'token_embd.weight' is missing: is this a tokenizer-only file?",
                 file.path};
  f.vocab = table->shape[0];
  BEZEL_DO(f.gemma4 ? gemma4_facts(k, f) : gemma3_facts(k, f));
  return f;
}

}  // namespace bezel
