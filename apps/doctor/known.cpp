#include "doctor/known.h"

#include <fmt/format.h>

#include "base/fingerprint.h"

namespace bezel::app::doctor {

namespace {

struct Kind {  // of layers: sliding or global
  int heads, heads_kv, head_dim, pairs, window;
  double base, scale;
};

struct Variant {
  std::string_view family, name;
  int layers, width, ffn, wide_ffn;  // wide_ffn: of the layers that share K/V (E2B)
  int every;                         // layer i is global where (i + 1) % every == 0
  int ple, experts, shared;          // shared: layers at the end that read others' K/V
  Kind sliding, global;
};

constexpr Kind sliding(int heads, int heads_kv, int head_dim, int window) {
  return {heads, heads_kv, head_dim, head_dim / 2, window, 1e4, 1};
}
constexpr Kind global4(int heads, int heads_kv) {
  return {heads, heads_kv, 512, 64, 0, 1e6, 1};
}
constexpr Kind global3(int heads, int heads_kv, int head_dim, double scale) {
  return {heads, heads_kv, head_dim, head_dim / 2, 0, 1e6, scale};
}

// clang-format off
constexpr Variant kVariants[] = {
    {"gemma4", "E2B", 35, 1536, 6144, 12288, 5, 256, 0, 20, sliding(8, 1, 256, 512), global4(8, 1)},
    {"gemma4", "E4B", 42, 2560, 10240, 10240, 6, 256, 0, 18, sliding(8, 2, 256, 512), global4(8, 2)},
    {"gemma4", "12B", 48, 3840, 15360, 15360, 6, 0, 0, 0, sliding(16, 8, 256, 1024), global4(16, 1)},
    {"gemma4", "26B-A4B", 30, 2816, 2112, 2112, 6, 0, 128, 0, sliding(16, 8, 256, 1024), global4(16, 2)},
    {"gemma4", "31B", 60, 5376, 21504, 21504, 6, 0, 0, 0, sliding(32, 16, 256, 1024), global4(32, 4)},
    {"gemma3", "270M", 18, 640, 2048, 2048, 6, 0, 0, 0, sliding(4, 1, 256, 512), global3(4, 1, 256, 1)},
    {"gemma3", "1B", 26, 1152, 6912, 6912, 6, 0, 0, 0, sliding(4, 1, 256, 512), global3(4, 1, 256, 1)},
    {"gemma3", "4B", 34, 2560, 10240, 10240, 6, 0, 0, 0, sliding(8, 4, 256, 1024), global3(8, 4, 256, 8)},
    {"gemma3", "12B", 48, 3840, 15360, 15360, 6, 0, 0, 0, sliding(16, 8, 256, 1024), global3(16, 8, 256, 8)},
    {"gemma3", "27B", 62, 5376, 21504, 21504, 6, 0, 0, 0, sliding(32, 16, 128, 1024), global3(32, 16, 128, 8)},
};
// clang-format on

template <class T>
std::string differs(const char* what, T found, T expected) {
  return fmt::format("{} is {}, expected {}", what, found, expected);
}

std::string layer_problem(const LayerConfig& l, int index, const Variant& v) {
  const bool global = (index + 1) % v.every == 0 || index + 1 == v.layers;
  const Kind& k = global ? v.global : v.sliding;
  const int ffn = index >= v.layers - v.shared ? v.wide_ffn : v.ffn;
  if (l.sliding == global) return global ? "it is not global" : "it is not sliding";
  if (l.attn.heads_q != k.heads) return differs("heads", l.attn.heads_q, k.heads);
  if (l.attn.heads_kv != k.heads_kv)
    return differs("heads of keys and values", l.attn.heads_kv, k.heads_kv);
  if (l.attn.head_dim != k.head_dim) return differs("head width", l.attn.head_dim, k.head_dim);
  if (l.attn.window != k.window) return differs("window", l.attn.window, k.window);
  if (l.rope.pairs != k.pairs) return differs("rotated pairs", l.rope.pairs, k.pairs);
  if (l.rope.base != k.base) return differs("rope base", l.rope.base, k.base);
  if (l.rope.scale != k.scale) return differs("rope scale", l.rope.scale, k.scale);
  if (l.ffn_dim != ffn) return differs("feed-forward width", l.ffn_dim, ffn);
  const bool shares = l.kv_from != index;
  if (shares != (index >= v.layers - v.shared))
    return shares ? "it has no keys and values of its own" : "it has keys and values of its own";
  return "";
}

}  // namespace

std::string config_problem(const Config& c, bool& known) {
  known = false;
  for (const Variant& v : kVariants) {
    if (c.family != v.family || c.variant != v.name) continue;
    known = true;
    if (c.width != v.width) return differs("width", c.width, v.width);
    if (c.vocab < 262144 || c.vocab > 262208) return differs("vocabulary", c.vocab, 262144);
    if (c.ple_dim != v.ple) return differs("per-layer width", c.ple_dim, v.ple);
    if (c.experts != v.experts) return differs("experts", c.experts, v.experts);
    const float cap = v.family == "gemma4" ? 30 : 0;
    if (c.logit_cap != cap) return differs("cap of the logits", c.logit_cap, cap);
    if (c.norm_eps != 1e-6F) return differs("epsilon of the norms", c.norm_eps, 1e-6F);
    for (int i = 0; i < c.n_layers(); ++i) {
      const std::string problem = layer_problem(c.layers[static_cast<std::size_t>(i)], i, v);
      if (!problem.empty()) return fmt::format("layer {}: {}", i, problem);
    }
    return "";
  }
  return "";
}

std::string_view text() {
  return "The harbour lies on the northern side of the bay, where the water is deep enough for "
         "large ships even at low tide. In the morning the fishing boats come back, and the market "
         "behind the old customs house fills with people who want to buy their fish before the "
         "restaurants do. Most of the houses along the quay were built in the nineteenth century, "
         "when the town grew rich from trade with the colonies; a few of them are still owned by "
         "the same families. The railway arrived in 1872 and changed everything: what had taken "
         "two "
         "days by coach now took four hours, and the first tourists appeared soon afterwards.\n\n"
         "To make bread at home, mix five hundred grams of flour with about three hundred and "
         "fifty "
         "grams of water, ten grams of salt and a little yeast. Let the dough rest for an hour, "
         "fold it twice, and leave it in the refrigerator overnight. The next day, shape it into a "
         "loaf and bake it in a very hot oven for forty minutes. The crust should be dark brown, "
         "and the loaf should sound hollow when you tap it from below.\n\n"
         "A prime number is a natural number greater than one that has no divisors other than one "
         "and itself. Euclid proved that there are infinitely many of them: if there were only "
         "finitely many, one could multiply them all and add one, and the result would have a "
         "prime "
         "factor that is not in the list.\n";
}

Range perplexity_range(const Config& c, bool instructed) {
  if (c.family == "gemma3" && c.variant == "270M" && !instructed)
    return {12, 17, "the published base model in Q4_K_M, which has 14.14"};
  return {};
}

TokenizerSums expected_sums(const std::string& family) {
  if (family == "gemma3") return {0xF7BB17ECE73DE9CC, 0x0DDAFC3DEEFD1FAC};
  if (family == "gemma4") return {0xCB477D10D6AA09DA, 0x0DDAFC3DEEFD1FAC};
  return {};
}

TokenizerSums sums_of(const Tokenizer& tokenizer) {
  constexpr TokenId kPieces = 262144;
  Fingerprint pieces, ids;
  const auto add = [](Fingerprint& to, std::string_view text) {
    to.add(text);
    to.add("\xFF");  // between two
  };
  for (TokenId i = 0; i < kPieces && i < tokenizer.vocab_size(); ++i)
    add(pieces, tokenizer.bytes_of(i));
  for (const TokenId id : tokenizer.encode_plain(text())) add(ids, fmt::format("{}", id));
  return {pieces.value(), ids.value()};
}

}  // namespace bezel::app::doctor
