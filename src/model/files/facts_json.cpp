// config.json to facts, flat or nested under text_config. Field names and defaults: the public
// transformers configuration classes of gemma3_text and gemma4_text; docs/model.md.
#include <fmt/format.h>

#include <cmath>

#include "model/files/facts.h"

namespace bezel {

namespace {

struct Fields {
  const Json& c;
  const std::string& path;

  Result<std::int64_t> get(const char* name, std::int64_t fallback) const {
    auto v = json_get<std::int64_t>(c, name, fallback);
    if (!v) return Error{Errc::BadFile, v.error().what, path + "/config.json: " + name};
    if (*v < 0 || *v > INT32_MAX)
      return Error{Errc::BadFile,
                   fmt::format("{} is out of range, expected 0 to {}", *v, INT32_MAX),
                   path + "/config.json: " + name};
    return v;
  }
  Result<std::int64_t> need(const char* name) const {
    if (!c.contains(name) || c[name].is_null())
      return Error{Errc::BadFile, fmt::format("the field '{}' is missing", name),
                   path + "/config.json"};
    return get(name, 0);
  }
  Result<double> real(const Json& at, const char* name, double fallback) const {
    if (!at.is_object()) return fallback;
    auto v = json_get<double>(at, name, fallback);
    if (!v) return Error{Errc::BadFile, v.error().what, path + "/config.json: " + name};
    return v;
  }
};

const Json& member(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto it = object.find(name);
  return it == object.end() ? none : *it;
}

Status layer_kinds(const Fields& in, Facts& f) {
  const auto n = static_cast<std::size_t>(f.n_layers);
  f.sliding.assign(n, true);
  const Json& types = member(in.c, "layer_types");
  if (types.is_array()) {
    if (types.size() != n)
      return Error{Errc::BadFile,
                   fmt::format("layer_types has {} entries for {} layers", types.size(), n),
                   in.path + "/config.json"};
    for (std::size_t i = 0; i < n; ++i) {
      const bool sliding = types[i] == "sliding_attention";
      if (!sliding && types[i] != "full_attention")
        return Error{
            Errc::Unsupported,
            fmt::format("layer_types[{}] is {}: expected sliding_attention or full_attention", i,
                        types[i].dump()),
            in.path + "/config.json"};
      f.sliding[i] = sliding;
    }
    return Ok{};
  }
  BEZEL_TRY(std::int64_t period, in.get("sliding_window_pattern", 6));
  if (period < 1) period = 1;
  for (std::size_t i = 0; i < n; ++i)
    f.sliding[i] = (i + 1) % static_cast<std::size_t>(period) != 0;
  if (f.gemma4) f.sliding[n - 1] = false;
  return Ok{};
}

// rope_parameters nested by kind of layer, or the older flat fields.
Status rope(const Fields& in, Facts& f) {
  const Json& nested = member(in.c, "rope_parameters");
  const Json& full = member(nested, "full_attention");
  const Json& local = member(nested, "sliding_attention");
  BEZEL_TRY(f.rope_base, in.real(in.c, "rope_theta", 1e6));
  BEZEL_TRY(f.rope_base_sliding, in.real(in.c, "rope_local_base_freq", 1e4));
  BEZEL_TRY(f.rope_base, in.real(full, "rope_theta", f.rope_base));
  BEZEL_TRY(f.rope_base_sliding, in.real(local, "rope_theta", f.rope_base_sliding));
  BEZEL_TRY(f.rotary_share, in.real(full, "partial_rotary_factor", f.gemma4 ? 0.25 : 1.0));
  const Json& scaling = full.is_object() ? full : member(in.c, "rope_scaling");
  if (!scaling.is_object()) return Ok{};
  const Json& kind =
      scaling.contains("rope_type") ? member(scaling, "rope_type") : member(scaling, "type");
  if (!kind.is_null() && kind != "linear" && kind != "default" && kind != "proportional")
    return Error{
        Errc::Unsupported,
        fmt::format("rope type {}: Bezel reads default, linear and proportional", kind.dump()),
        in.path + "/config.json"};
  BEZEL_TRY(f.rope_scale, in.real(scaling, "factor", 1.0));
  return Ok{};
}

Status gemma4_facts(const Fields& in, Facts& f) {
  BEZEL_TRY(f.head_dim_global, in.get("global_head_dim", 512));
  BEZEL_TRY(f.shared_kv, in.get("num_kv_shared_layers", 0));
  BEZEL_TRY(f.ple_dim, in.get("hidden_size_per_layer_input", 0));
  BEZEL_TRY(const bool moe, json_get<bool>(in.c, "enable_moe_block", false));
  if (moe) {
    BEZEL_TRY(f.experts, in.need("num_experts"));
    BEZEL_TRY(f.experts_used, in.need("top_k_experts"));
    BEZEL_TRY(f.expert_dim, in.need("moe_intermediate_size"));
  }
  BEZEL_TRY(f.logit_cap, in.real(in.c, "final_logit_softcapping", 0.0));
  BEZEL_TRY(const bool k_eq_v, json_get<bool>(in.c, "attention_k_eq_v", false));
  BEZEL_TRY(const bool double_wide, json_get<bool>(in.c, "use_double_wide_mlp", false));
  BEZEL_TRY(const std::int64_t heads_kv_global, in.get("num_global_key_value_heads", 0));
  const std::int64_t first_shared = f.n_layers - f.shared_kv;
  for (std::size_t i = 0; i < f.sliding.size(); ++i) {
    const bool shared = static_cast<std::int64_t>(i) >= first_shared;
    if (shared && double_wide && f.ffn_dim[i] < (1 << 20)) f.ffn_dim[i] *= 2;
    if (f.sliding[i] || !k_eq_v) continue;
    f.v_is_k[i] = true;
    if (heads_kv_global > 0) f.heads_kv[i] = heads_kv_global;
  }
  return Ok{};
}

Status gemma3_facts(const Fields& in, Facts& f) {
  f.head_dim_global = f.head_dim;
  f.norm_offset = 1;
  BEZEL_TRY(f.logit_cap, in.real(in.c, "final_logit_softcapping", 0.0));
  BEZEL_TRY(const double by, in.real(in.c, "query_pre_attn_scalar", 256.0));
  if (!(by > 0))
    return Error{Errc::BadFile, "query_pre_attn_scalar must be above 0", in.path + "/config.json"};
  f.q_scale = 1.0 / std::sqrt(by);
  return Ok{};
}

std::int64_t rows_of_embedding(const TensorFile& file) {
  for (const Tensor& t : file.tensors)
    if (t.name.ends_with("embed_tokens.weight") && t.shape.size() == 2) return t.shape[0];
  return 0;
}

}  // namespace

Result<Facts> facts_from_config_json(const TensorFile& file) {
  if (!file.config.is_object())
    return Error{Errc::BadFile, "config.json is missing or is not an object", file.path};
  const Json& nested = member(file.config, "text_config");
  const Fields in{nested.is_object() ? nested : file.config, file.path};
  const Json& kind = member(in.c, "model_type").is_null() ? member(file.config, "model_type")
                                                          : member(in.c, "model_type");
  const std::string type = kind.is_string() ? kind.get<std::string>() : "";
  Facts f;
  f.gemma4 = type.starts_with("gemma4");
  if (!f.gemma4 && type != "gemma3" && type != "gemma3_text")
    return Error{Errc::Unsupported,
                 fmt::format("model_type '{}': Bezel runs gemma4 and gemma3 text models", type),
                 file.path + "/config.json"};
  BEZEL_TRY(f.n_layers, in.need("num_hidden_layers"));
  if (f.n_layers < 1 || f.n_layers > 1024)
    return Error{Errc::BadFile, fmt::format("{} layers, expected 1 to 1024", f.n_layers),
                 file.path};
  BEZEL_TRY(f.width, in.need("hidden_size"));
  BEZEL_TRY(f.heads, in.get("num_attention_heads", 8));
  BEZEL_TRY(f.head_dim, in.get("head_dim", 256));
  BEZEL_TRY(f.window, in.get("sliding_window", f.gemma4 ? 512 : 1024));
  BEZEL_TRY(f.context, in.get("max_position_embeddings", 131072));
  BEZEL_TRY(f.eps, in.real(in.c, "rms_norm_eps", 1e-6));
  f.vocab = rows_of_embedding(file);
  const auto n = static_cast<std::size_t>(f.n_layers);
  BEZEL_TRY(const std::int64_t heads_kv, in.get("num_key_value_heads", 4));
  BEZEL_TRY(const std::int64_t ffn_dim, in.need("intermediate_size"));
  f.heads_kv.assign(n, heads_kv);
  f.ffn_dim.assign(n, ffn_dim);
  f.v_is_k.assign(n, false);
  BEZEL_DO(layer_kinds(in, f));
  BEZEL_DO(rope(in, f));
  BEZEL_DO(f.gemma4 ? gemma4_facts(in, f) : gemma3_facts(in, f));
  const Json& suppress = member(file.generation_config, "suppress_tokens");
  if (suppress.is_array())
    for (const Json& id : suppress) {
      const std::int64_t value = id.is_number_integer() ? id.get<std::int64_t>() : -1;
      if (value >= 0 && value <= INT32_MAX) f.suppress.push_back(static_cast<std::int32_t>(value));
    }
  return f;
}

}  // namespace bezel
