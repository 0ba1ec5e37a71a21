// What a file says about its model, before it is checked: the meeting point of the two readers
// (GGUF keys, config.json) and the one builder of Config.
#pragma once
#include <cstdint>
#include <vector>

#include "bezel/result.h"
#include "formats/tensor_file.h"
#include "model/config.h"

namespace bezel {

struct Facts {
  bool gemma4 = true;
  std::int64_t n_layers = 0, width = 0, vocab = 0, heads = 0, context = 0, window = 0;
  std::int64_t head_dim = 0, head_dim_global = 0;  // sliding and global layers
  std::int64_t shared_kv = 0, ple_dim = 0, experts = 0, experts_used = 0, expert_dim = 0;
  std::vector<std::int64_t> heads_kv, ffn_dim;  // per layer
  std::vector<bool> sliding, v_is_k;            // per layer
  double eps = 1e-6, logit_cap = 0, q_scale = 1, norm_offset = 0;
  double rope_base = 1e6, rope_base_sliding = 1e4, rope_scale = 1;
  double rotary_share = 1;  // share of the pairs that rotate on global layers
  std::vector<std::int32_t> suppress;
};

Result<Facts> facts_from_gguf(const TensorFile& file);
Result<Facts> facts_from_config_json(const TensorFile& file);

}  // namespace bezel
