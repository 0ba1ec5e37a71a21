#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/files/facts.h"

namespace bezel {

namespace {

struct Known {
  bool gemma4;
  int layers, width;
  const char* name;
};
// Published members, told apart by depth and width. For display only.
constexpr Known kKnown[] = {
    {true, 35, 1536, "E2B"},     {true, 42, 2560, "E4B"}, {true, 48, 3840, "12B"},
    {true, 30, 2816, "26B-A4B"}, {true, 60, 5376, "31B"}, {false, 18, 640, "270M"},
    {false, 26, 1152, "1B"},     {false, 34, 2560, "4B"}, {false, 48, 3840, "12B"},
    {false, 62, 5376, "27B"},
};

const char* variant_name(const Facts& f) {
  for (const Known& k : kKnown)
    if (k.gemma4 == f.gemma4 && k.layers == f.n_layers && k.width == f.width) return k.name;
  return "custom";
}

Status in_range(const char* what, std::int64_t value, std::int64_t lo, std::int64_t hi) {
  if (value >= lo && value <= hi) return Ok{};
  return Error{Errc::BadFile, fmt::format("{} is {}, expected {} to {}", what, value, lo, hi), ""};
}

Status check_scalars(const Facts& f) {
  BEZEL_DO(in_range("the number of layers", f.n_layers, 1, 1024));
  BEZEL_DO(in_range("the width", f.width, 8, 1 << 16));
  BEZEL_DO(in_range("the vocabulary size", f.vocab, 1, 1 << 24));
  BEZEL_DO(in_range("the number of query heads", f.heads, 1, 1024));
  BEZEL_DO(in_range("the context length", f.context, 1, 1 << 20));
  BEZEL_DO(in_range("the sliding window", f.window, 1, 1 << 24));
  BEZEL_DO(in_range("the number of layers with shared K/V", f.shared_kv, 0, f.n_layers - 1));
  BEZEL_DO(in_range("the per-layer embedding width", f.ple_dim, 0, 1 << 14));
  BEZEL_DO(in_range("the number of experts", f.experts, 0, 1 << 12));
  if (f.experts > 0) {
    BEZEL_DO(in_range("the number of experts used", f.experts_used, 1, f.experts));
    BEZEL_DO(in_range("the expert width", f.expert_dim, 1, 1 << 18));
  }
  for (const std::int64_t d : {f.head_dim, f.head_dim_global}) {
    BEZEL_DO(in_range("the head size", d, 8, 1024));
    if (d % 8 != 0)
      return Error{Errc::BadFile, fmt::format("the head size is {}, expected a multiple of 8", d),
                   ""};
  }
  if (!(f.eps > 0 && f.eps < 1 && f.rope_base > 1 && f.rope_base_sliding > 1 && f.rope_scale >= 1 &&
        f.rope_scale < 1e6 && f.rope_base < 1e12 && f.rope_base_sliding < 1e12 &&
        f.rotary_share > 0 && f.rotary_share <= 1 && f.logit_cap >= 0 && f.logit_cap < 1e6))
    return Error{Errc::BadFile,
                 "a norm epsilon, rope base, rope factor or soft cap is out of range", ""};
  return Ok{};
}

// The last layer below `first_shared` of the same kind.
int donor_of(const Facts& f, std::int64_t layer, std::int64_t first_shared) {
  for (std::int64_t i = first_shared - 1; i >= 0; --i)
    if (f.sliding[static_cast<std::size_t>(i)] == f.sliding[static_cast<std::size_t>(layer)])
      return static_cast<int>(i);
  return -1;
}

Result<LayerConfig> layer_config(const Facts& f, int i) {
  const auto at = static_cast<std::size_t>(i);
  const std::int64_t first_shared = f.n_layers - f.shared_kv;
  LayerConfig l;
  l.sliding = f.sliding[at];
  const auto d = static_cast<int>(l.sliding ? f.head_dim : f.head_dim_global);
  BEZEL_DO(in_range("the number of K/V heads", f.heads_kv[at], 1, f.heads));
  BEZEL_DO(in_range("the feed-forward width", f.ffn_dim[at], 1, 1 << 20));
  if (f.heads % f.heads_kv[at] != 0)
    return Error{Errc::BadFile,
                 fmt::format("{} query heads cannot be shared out over {} K/V heads", f.heads,
                             f.heads_kv[at]),
                 fmt::format("layer {}", i)};
  l.attn = {.heads_q = static_cast<int>(f.heads),
            .heads_kv = static_cast<int>(f.heads_kv[at]),
            .head_dim = d,
            .window = l.sliding ? static_cast<int>(f.window) : 0};
  const int pairs = l.sliding ? d / 2 : static_cast<int>(f.rotary_share * d / 2);
  l.rope = {.head_dim = d,
            .pairs = pairs,
            .base = l.sliding ? f.rope_base_sliding : f.rope_base,
            .scale = l.sliding ? 1.0 : f.rope_scale};
  l.v_is_k = f.v_is_k[at];
  l.ffn_dim = static_cast<int>(f.ffn_dim[at]);
  l.kv_from = i < first_shared ? i : donor_of(f, i, first_shared);
  if (l.kv_from < 0)
    return Error{Errc::BadFile, "no earlier layer of its kind has K and V that it could share",
                 fmt::format("layer {}", i)};
  return l;
}

}  // namespace

Result<Config> config_from(const TensorFile& file) {
  BEZEL_TRY(const Facts f,
            file.kind == FileKind::Gguf ? facts_from_gguf(file) : facts_from_config_json(file));
  const auto locate = [&](Error e) {
    e.where = e.where.empty() ? file.path : file.path + ": " + e.where;
    return e;
  };
  if (auto ok = check_scalars(f); !ok) return locate(ok.error());
  Config c;
  c.family = f.gemma4 ? "gemma4" : "gemma3";
  c.variant = variant_name(f);
  c.width = static_cast<int>(f.width);
  c.vocab = static_cast<int>(f.vocab);
  c.ple_dim = static_cast<int>(f.ple_dim);
  c.experts = static_cast<int>(f.experts);
  c.experts_used = static_cast<int>(f.experts_used);
  c.expert_dim = static_cast<int>(f.expert_dim);
  c.context = static_cast<int>(f.context);
  c.norm_eps = static_cast<float>(f.eps);
  c.norm_offset = static_cast<float>(f.norm_offset);
  c.v_norm = f.gemma4;
  c.q_scale = static_cast<float>(f.q_scale);
  c.logit_cap = static_cast<float>(f.logit_cap);
  for (const std::int32_t id : f.suppress)
    if (id >= 0 && id < c.vocab) c.suppress.push_back(id);
  for (int i = 0; i < f.n_layers; ++i) {
    auto l = layer_config(f, i);
    if (!l) return locate(l.error());
    if (l->kv_from == i) c.last_append = i;
    if (l->kv_from != i) {
      const AttnShape& donor = c.layers[static_cast<std::size_t>(l->kv_from)].attn;
      if (donor.heads_kv != l->attn.heads_kv || donor.head_dim != l->attn.head_dim)
        return locate(
            Error{Errc::BadFile,
                  fmt::format("layer {} shares the K/V of layer {}, which has another shape", i,
                              l->kv_from),
                  ""});
    }
    c.layers.push_back(*l);
  }
  return c;
}

GenerationDefaults generation_defaults(const TensorFile& file) {
  GenerationDefaults d;
  const auto add_eos = [&](std::int64_t id) {
    if (id >= 0 && id <= INT32_MAX) d.eos.push_back(static_cast<std::int32_t>(id));
  };
  if (file.kind == FileKind::Gguf) {
    if (auto v = file.meta_float("general.sampling.temp", d.temperature))
      d.temperature = static_cast<float>(*v);
    if (auto v = file.meta_int("general.sampling.top_k", d.top_k, 0, INT32_MAX))
      d.top_k = static_cast<int>(*v);
    if (auto v = file.meta_float("general.sampling.top_p", d.top_p))
      d.top_p = static_cast<float>(*v);
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
      if (auto v = file.meta_int(key, -1, -1, INT32_MAX)) add_eos(*v);
  } else if (file.generation_config.is_object()) {
    const Json& g = file.generation_config;
    if (auto v = json_get<double>(g, "temperature", d.temperature))
      d.temperature = static_cast<float>(*v);
    if (auto v = json_get<std::int64_t>(g, "top_k", d.top_k))
      d.top_k = static_cast<int>(std::clamp<std::int64_t>(*v, 0, INT32_MAX));
    if (auto v = json_get<double>(g, "top_p", d.top_p)) d.top_p = static_cast<float>(*v);
    const auto eos = g.find("eos_token_id");
    if (eos == g.end()) return d;
    if (eos->is_number_integer()) add_eos(eos->get<std::int64_t>());
    if (eos->is_array())
      for (const Json& id : *eos)
        if (id.is_number_integer()) add_eos(id.get<std::int64_t>());
  }
  if (!(d.temperature >= 0 && d.temperature <= 100)) d.temperature = 1.0F;
  if (!(d.top_p > 0 && d.top_p <= 1)) d.top_p = 0.95F;
  return d;
}

}  // namespace bezel
