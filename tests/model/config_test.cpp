// Wrong configurations are one sentence that names file and key; K/V pages hold what a query may
// see.
#include "model/harness.h"

namespace bezel::test {
namespace {

TensorFile open_fixture(const std::string& name) {
  auto file = open_tensor_file(text_fixture(name));
  EXPECT_TRUE(file);
  return *std::move(file);
}

std::string load_error(TensorFile file) {
  auto model = Model::load(std::move(file));
  return model ? "" : model.error().text();
}

TEST(Config, EveryDifferenceOfTheFamilyIsReadTheSameFromBothKindsOfFile) {
  for (const char* name : {"e2b", "e4b", "12b", "26b-a4b", "31b", "gemma3-270m", "gemma3-4b"}) {
    const auto a = config_from(open_fixture(name));
    const auto b = config_from(open_fixture(std::string(name) + "/model.gguf"));
    ASSERT_TRUE(a && b) << name;
    EXPECT_EQ(a->last_append, b->last_append) << name;
    EXPECT_EQ(a->experts_used, b->experts_used) << name;
    EXPECT_EQ(a->q_scale, b->q_scale) << name;
    EXPECT_EQ(a->logit_cap, b->logit_cap) << name;
    EXPECT_EQ(a->ple_dim, b->ple_dim) << name;
    ASSERT_EQ(a->n_layers(), b->n_layers()) << name;
    for (std::size_t i = 0; i < a->layers.size(); ++i) {
      const LayerConfig &x = a->layers[i], &y = b->layers[i];
      EXPECT_EQ(x.attn.window, y.attn.window) << name << " layer " << i;
      EXPECT_EQ(x.attn.heads_kv, y.attn.heads_kv) << name << " layer " << i;
      EXPECT_EQ(x.rope.pairs, y.rope.pairs) << name << " layer " << i;
      EXPECT_EQ(x.rope.base, y.rope.base) << name << " layer " << i;
      EXPECT_EQ(x.rope.scale, y.rope.scale) << name << " layer " << i;
      EXPECT_EQ(x.v_is_k, y.v_is_k) << name << " layer " << i;
      EXPECT_EQ(x.kv_from, y.kv_from) << name << " layer " << i;
      EXPECT_EQ(x.ffn_dim, y.ffn_dim) << name << " layer " << i;
    }
  }
}

TEST(Config, AnotherArchitectureIsRefusedByName) {
  TensorFile f = open_fixture("e2b/model.gguf");
  f.meta["general.architecture"] = std::string_view("llama");
  EXPECT_NE(load_error(std::move(f)).find("architecture 'llama'"), std::string::npos);
}

TEST(Config, ZeroHeadsZeroLayersAndGiantWidthsAreRefused) {
  for (const char* key :
       {"gemma4.attention.head_count", "gemma4.block_count", "gemma4.embedding_length",
        "gemma4.attention.head_count_kv", "gemma4.attention.key_length_swa"})
    for (const std::uint64_t bad :
         {std::uint64_t{0}, std::uint64_t{1} << 31U, std::uint64_t{1} << 32U, ~std::uint64_t{0}}) {
      TensorFile f = open_fixture("e2b/model.gguf");
      f.meta[key] = bad;
      EXPECT_NE(load_error(std::move(f)), "") << key << " = " << bad;
    }
}

TEST(Config, AMissingTensorIsNamed) {
  for (const char* name : {"blk.3.attn_q.weight", "output_norm.weight",
                           "blk.0.layer_output_scale.weight", "per_layer_model_proj.weight"}) {
    TensorFile f = open_fixture("e2b/model.gguf");
    std::erase_if(f.tensors, [&](const Tensor& t) { return t.name == name; });
    f.index();
    EXPECT_NE(load_error(std::move(f)).find(name), std::string::npos) << name;
  }
}

TEST(Config, AWrongShapeNamesTensorExpectedAndFound) {
  TensorFile f = open_fixture("e2b/model.gguf");
  for (Tensor& t : f.tensors)
    if (t.name == "blk.2.ffn_up.weight") std::swap(t.shape[0], t.shape[1]);
  const std::string why = load_error(std::move(f));
  EXPECT_NE(why.find("blk.2.ffn_up.weight"), std::string::npos) << why;
  EXPECT_NE(why.find("[96, 64]"), std::string::npos) << why;
  EXPECT_NE(why.find("[64, 96]"), std::string::npos) << why;
}

TEST(Config, ANormThatIsNotANumberIsRefused) {
  TensorFile f = open_fixture("e2b/model.gguf");
  std::vector<float> bad(64, NAN);
  for (Tensor& t : f.tensors)
    if (t.name == "blk.1.ffn_norm.weight") t.data = std::as_bytes(std::span(bad));
  EXPECT_NE(load_error(std::move(f)).find("blk.1.ffn_norm.weight"), std::string::npos);
}

TEST(Config, SuppressedIdsAndEndIdsComeFromTheFile) {
  TensorFile f = open_fixture("12b");
  f.generation_config["suppress_tokens"] = {5, 7, 100000};
  const auto config = config_from(f);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->suppress, (std::vector<std::int32_t>{5, 7}));
  EXPECT_EQ(generation_defaults(f).eos, (std::vector<std::int32_t>{1, 106}));
}

TEST(Config, SuppressedIdsOfAGgufMayBeAnyNumberOfThem) {
  for (const std::size_t n : {0U, 1U, 3U}) {
    TensorFile f = open_fixture("12b/model.gguf");
    const std::vector<std::int64_t> all{5, 7, 100000};
    const std::vector<std::int64_t> some(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
    f.meta["tokenizer.ggml.suppress_tokens"] = MetaArray{some};
    const auto config = config_from(f);
    ASSERT_TRUE(config) << config.error().text();
    EXPECT_EQ(config->suppress.size(), std::min<std::size_t>(n, 2)) << "100000 is no id here";
  }
  TensorFile f = open_fixture("12b/model.gguf");
  f.meta["tokenizer.ggml.suppress_tokens"] = std::string_view("5");
  EXPECT_NE(load_error(std::move(f)).find("suppress_tokens"), std::string::npos);
}

TEST(Config, ARopeFactorBelowOneAndAContextBeyondTheAnglesAreRefused) {
  for (const double factor : {1e-9, 0.5, 0.0, -1.0}) {
    TensorFile f = open_fixture("gemma3-4b");
    for (const char* key : {"rope_scaling", "rope_parameters"})
      if (f.config.contains(key)) f.config.erase(key);
    f.config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
    EXPECT_NE(load_error(std::move(f)), "") << factor;
  }
  TensorFile f = open_fixture("e2b/model.gguf");
  f.meta["gemma4.context_length"] = std::uint64_t{(1U << 20U) + 1};
  EXPECT_NE(load_error(std::move(f)).find("context length"), std::string::npos);
}

TEST(Config, NumbersOfConfigJsonOutsideTheirRangeAreRefusedByName) {
  for (const char* key : {"num_kv_shared_layers", "intermediate_size", "hidden_size"})
    for (const std::int64_t bad :
         {std::int64_t{-1}, INT64_MIN, INT64_MAX, std::int64_t{1} << 32U}) {
      TensorFile f = open_fixture("e2b");
      Json& at = f.config.contains("text_config") ? f.config["text_config"] : f.config;
      at[key] = bad;
      EXPECT_NE(load_error(std::move(f)).find(key), std::string::npos) << key << " " << bad;
    }
}

TEST(Config, SeparateGateAndUpExpertsGiveTheSameLogitsAsFusedOnes) {
  const auto fused = load_model(text_fixture("26b-a4b/model.gguf"));
  TensorFile f = open_fixture("26b-a4b/model.gguf");
  std::vector<std::vector<std::byte>> halves;
  std::vector<Tensor> extra;
  for (Tensor& t : f.tensors) {
    const auto at = t.name.find("ffn_gate_up_exps");
    if (at == std::string::npos) continue;
    const auto E = static_cast<std::size_t>(t.shape[0]);
    const std::size_t half = t.data.size() / E / 2;
    for (const std::size_t which : {0U, 1U}) {
      auto& bytes = halves.emplace_back();
      for (std::size_t e = 0; e < E; ++e) {
        const auto part = t.data.subspan((2 * e + which) * half, half);
        bytes.insert(bytes.end(), part.begin(), part.end());
      }
      Tensor u = t;
      u.name.replace(at, 16, which == 0 ? "ffn_gate_exps" : "ffn_up_exps");
      u.shape[1] /= 2;
      extra.push_back(u);
    }
  }
  std::erase_if(f.tensors,
                [](const Tensor& t) { return t.name.find("gate_up") != std::string::npos; });
  for (std::size_t i = 0; i < extra.size(); ++i) {
    extra[i].data = halves[i];
    f.tensors.push_back(extra[i]);
  }
  f.index();
  auto split = Model::load(std::move(f));
  ASSERT_TRUE(split) << split.error().text();
  const std::vector<std::int32_t> ids{2, 5, 9, 33, 100, 7};
  Runner a(*fused, {}, 64), b(**split, {}, 64);
  EXPECT_EQ(fingerprint(a.feed(ids, 6)), fingerprint(b.feed(ids, 6)));
}

TEST(Model, ADamagedScaleEndsInAnErrorThatNamesTheLayer) {
  TensorFile f = open_fixture("e2b/model.gguf");
  std::vector<float> huge(96 * 64, 3e38F);
  for (Tensor& t : f.tensors)
    if (t.name == "blk.3.ffn_up.weight") t.data = std::as_bytes(std::span(huge));
  auto model = Model::load(std::move(f));
  ASSERT_TRUE(model);
  ThreadPool pool(1);
  Scratch scratch((*model)->scratch_bytes(8, 8, 64, 1));
  Ops op(best_kernels(), pool, scratch, Act::F32);
  KvCache kv((*model)->config(), {1, 64, 8, 0, DType::F32, 0});
  Batch b;
  b.add(0, 0, 2, true);
  ASSERT_TRUE(kv.reserve(0, 1));
  const auto logits = (*model)->forward(b, kv, op);
  ASSERT_FALSE(logits);
  EXPECT_NE(logits.error().text().find("layer 3"), std::string::npos) << logits.error().text();
}

}  // namespace
}  // namespace bezel::test
