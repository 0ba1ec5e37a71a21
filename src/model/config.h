// Everything that differs between the members of the family is a value here; forward.cpp has no
// branch on a model's name. Letters as in docs/notation.md.
#pragma once
#include <string>
#include <vector>

#include "bezel/result.h"
#include "formats/tensor_file.h"
#include "kernels/ops.h"

namespace bezel {

struct LayerConfig {
  AttnShape attn;  // sliding layers: window > 0; global: window 0
  RopeShape rope;
  bool sliding = false;
  bool v_is_k = false;  // value = the key projection before its norm (no Wv in the file)
  int kv_from = 0;      // layer whose K/V this one reads; its own index if it has its own
  int ffn_dim = 0;      // F of the dense branch
};

struct Config {
  std::string family;    // "gemma4", "gemma3": for display, and the tokenizer's and prompt's rules
  std::string variant;   // "E2B", "26B-A4B", …, or "custom": for display
  int width = 0;         // D
  int vocab = 0;         // V
  int ple_dim = 0;       // P, 0 = no per-layer embeddings
  int experts = 0;       // E, 0 = dense
  int experts_used = 0;  // per token
  int expert_dim = 0;    // hidden width of one expert
  int context = 0;       // positions the model was trained for
  float norm_eps = 1e-6F;
  float norm_offset = 0;  // 1 where the file stores norm weights as w of (1 + w)
  bool v_norm = true;     // V is normed (without weight)
  float q_scale = 1;      // multiplies q after rope
  float logit_cap = 0;    // 0 = none
  int last_append = 0;    // last layer that appends K/V: prompt rows that nobody reads end there
  std::vector<LayerConfig> layers;
  std::vector<std::int32_t> suppress;  // ids that may never be chosen

  int n_layers() const { return static_cast<int>(layers.size()); }
};

// Reads and checks the configuration of a GGUF file or a Hugging Face folder.
Result<Config> config_from(const TensorFile& file);

// Sampling defaults and end ids that the model's own files state.
struct GenerationDefaults {
  float temperature = 1.0F;
  int top_k = 64;
  float top_p = 0.95F;
  std::vector<std::int32_t> eos;  // as stated; the engine adds the family's markers by name
};
GenerationDefaults generation_defaults(const TensorFile& file);

}  // namespace bezel
