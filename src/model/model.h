// Gemma as equations over one batch. Knows no text: ids in, logits out.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/huge.h"
#include "bezel/result.h"
#include "formats/tensor_file.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace bezel {

inline constexpr int kExpertsAtOnce = 8;  // whose products run at the same time

// New tokens of one or more sequences. Rows of one sequence stand together with ascending
// positions, starting at kv.length(seq).
struct Batch {
  std::vector<std::int32_t> ids;  // [T]
  std::vector<RowPos> rows;       // [T]
  std::vector<int> read;          // rows whose logits are wanted, ascending; may be empty
  bool logits = true;             // false: of the read rows, only what a Tap sees is wanted

  int size() const { return static_cast<int>(ids.size()); }
  void add(int seq, int pos, std::int32_t id, bool read_row) {
    if (read_row) read.push_back(size());
    ids.push_back(id);
    rows.push_back({seq, pos});
  }
};

struct Layer {
  LayerConfig cfg;
  int index = 0;
  const float *norm_attn_in = nullptr, *norm_attn_out = nullptr, *norm_ffn_in = nullptr,
              *norm_ffn_out = nullptr, *norm_q = nullptr, *norm_k = nullptr;
  Linear wq, wk, wv, wo, w_gate, w_up, w_down;
  // E-series
  Linear ple_gate, ple_proj;
  const float* norm_ple = nullptr;
  // mixture of experts; expert e's rows follow those of e - 1
  Linear router, expert_gate_up, expert_gate, expert_up, expert_down;
  const float *router_scale = nullptr, *expert_scale = nullptr, *norm_dense_out = nullptr,
              *norm_moe_in = nullptr, *norm_moe_out = nullptr;
  float out_scale = 1;

  bool owns_kv() const { return cfg.kv_from == index; }
};

// Called with intermediate results: ("embedding", -1) for all rows, ("layer", n) for the rows that
// are still alive (all of them when every row is read), ("final_norm", -1) for the read rows.
using Tap = std::function<void(const char* what, int layer, ConstMat x)>;

class Model {
 public:
  // Checks every tensor's shape and type against the configuration; a mistake is one sentence.
  static Result<std::unique_ptr<Model>> load(TensorFile file);

  const Config& config() const { return config_; }
  const TensorFile& file() const { return file_; }

  // Logits [read rows, V] after the soft cap ([read rows, 0] where none are wanted), valid until
  // the caller's frame ends. Extends `kv`, which must have room (KvCache::reserve). Numeric error
  // names the layer.
  Result<Mat> forward(const Batch& b, KvCache& kv, Ops& op, const Tap& tap = nullptr) const;

  // Arena bytes that forward needs for batches of up to max_rows with max_read read rows; without
  // `logits` for those whose logits are not wanted.
  std::size_t scratch_bytes(int max_rows, int max_read, int context, int n_threads,
                            bool logits = true) const;
  // Packed weights (kernels/packed.h) take this much memory, 0 when nothing of the model is packed.
  // `floats_as_q8`: float matrices as Q8_0.
  std::uint64_t packed_bytes(bool floats_as_q8) const;
  // Packs what can be packed, over the pool, and lets go of the file's pages it came from. Without
  // `floats_as_q8` every result keeps its bits, and few tokens at once run faster; only for int8
  // activations. NoMemory: nothing has changed. With it, Numeric: a weight is not finite or too
  // large for Q8_0; the model must not be used.
  Status pack(ThreadPool& pool, bool floats_as_q8);

  // Weight bytes one decoded token touches at depth `depth` (weights and K/V), for GB/s figures.
  std::uint64_t bytes_per_token(int depth, DType kv_type) const;

 private:
  struct Pass;  // one forward pass's batch state
  Model(TensorFile file, Config config) : file_(std::move(file)), config_(std::move(config)) {}
  Status bind();
  Status bind_layer(class Binder& in, Layer& l);
  // fn(Linear&, type to pack as) for every matrix that can be packed and is not.
  template <class Self, class Fn>
  static void each_packable(Self& model, bool floats_as_q8, const Fn& fn);
  Mat per_layer_inputs(Ops& op, ConstMat h, std::span<const std::int32_t> ids, int first,
                       int n) const;
  void append_kv(const Layer& l, Pass& p, ConstMat x) const;
  void attend(const Layer& l, Pass& p) const;
  void feed_forward(const Layer& l, Pass& p) const;
  Mat experts(const Layer& l, Ops& op, ConstMat x, ConstMat h) const;
  void add_per_layer_input(const Layer& l, Pass& p) const;

  TensorFile file_;
  Config config_;
  std::vector<Layer> layers_;
  Linear embedding_, output_, ple_table_, ple_model_proj_;
  const float *norm_final_ = nullptr, *norm_ple_proj_ = nullptr;
  HugeBuffer packed_;
  std::vector<std::unique_ptr<float[]>> owned_;  // norm weights and scales, as float32
};

}  // namespace bezel
