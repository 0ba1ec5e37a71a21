// Every model against the reference's float64 numbers. Tolerance: 4 x the reference's own float32
// noise, never below 2e-5 (fixtures README).
#include <fmt/format.h>

#include <cmath>
#include <fstream>

#include "model/harness.h"

namespace bezel::test {
namespace {

Json index_json() {
  auto text = read_file(text_fixture("index.json"), 1U << 20U);
  EXPECT_TRUE(text);
  auto json = parse_json(*text, "index.json");
  EXPECT_TRUE(json);
  return *json;
}

double largest_difference(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double d = std::fabs(double{got[i]} - want[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
  }
  return worst;
}

struct Case {
  std::string name;
  bool gguf;
};
void PrintTo(const Case& c, std::ostream* os) {
  *os << c.name << (c.gguf ? " gguf" : " folder");
}

class Golden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    noise_ = index_json()[c.name]["float32_noise"];
    model_ = load_model(text_fixture(c.name) + (c.gguf ? "/model.gguf" : ""));
    ASSERT_NE(model_, nullptr);
  }
  double bound(const std::string& what) const {
    return std::max(2e-5, 4 * noise_[what].get<double>());
  }

  Json noise_;
  std::unique_ptr<Model> model_;
  Expected want_{text_fixture(GetParam().name) + "/expected.safetensors"};
};

TEST_P(Golden, LayersNormAndLogitsAreTheReferenceForEveryChunkSize) {
  for (const int chunk : {1, 3, 7, 64}) {
    Runner runner(*model_, {.chunk = chunk}, 512);
    std::map<std::string, std::vector<float>> seen;
    const Tap tap = [&](const char* what, int layer, ConstMat x) {
      auto& v = seen[layer < 0 ? what : fmt::format("layer.{}", layer)];
      for (int r = 0; r < x.rows; ++r) v.insert(v.end(), x.row(r), x.row(r) + x.cols);
    };
    const auto prompt = want_.values<std::int32_t>("prompt");
    seen["logits"] = runner.feed(prompt, static_cast<int>(prompt.size()), 0, tap);
    for (const auto& [what, values] : seen)
      EXPECT_LE(largest_difference(values, want_.values<float>(what)), bound(what))
          << what << ", chunk " << chunk;
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(model_->config().n_layers()) + 3);
  }
}

TEST_P(Golden, TheLongPromptIsTheReferenceForEveryChunkSize) {
  for (const int chunk : {1, 3, 7, 64}) {
    Runner runner(*model_, {.chunk = chunk}, 512);
    const auto got = runner.feed(want_.values<std::int32_t>("long_prompt"), 4);
    EXPECT_LE(largest_difference(got, want_.values<float>("long_logits")), bound("long_logits"));
  }
}

TEST_P(Golden, GreedyStepsChooseTheReferencesIds) {
  for (const int chunk : {1, 3, 7, 64}) {
    Runner runner(*model_, {.chunk = chunk}, 512);
    const auto ids = want_.values<std::int32_t>("greedy");
    std::vector<float> all, row = runner.feed(want_.values<std::int32_t>("prompt"), 1);
    for (const std::int32_t id : ids) {
      Runner::append(all, row);
      EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), id);
      row = runner.feed({id}, 1);
    }
    EXPECT_LE(largest_difference(all, want_.values<float>("greedy_logits")), bound("logits"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Text, Golden,
    testing::Values(Case{"e2b", false}, Case{"e2b", true}, Case{"e4b", false}, Case{"e4b", true},
                    Case{"12b", false}, Case{"12b", true}, Case{"26b-a4b", false},
                    Case{"26b-a4b", true}, Case{"31b", false}, Case{"31b", true},
                    Case{"gemma3-270m", false}, Case{"gemma3-270m", true}, Case{"gemma3-4b", false},
                    Case{"gemma3-4b", true}, Case{"gemma3-27b", false}),
    [](const auto& file) {
      std::string name = file.param.name + (file.param.gguf ? "_gguf" : "_folder");
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// KL(reference || ours) in nats at each position.
std::vector<double> kl_divergences(const std::vector<float>& got, const std::vector<float>& want,
                                   std::size_t vocab) {
  std::vector<double> out;
  const auto log_sum = [vocab](const float* x) {
    double m = x[0], s = 0;
    for (std::size_t i = 0; i < vocab; ++i) m = std::max(m, double{x[i]});
    for (std::size_t i = 0; i < vocab; ++i) s += std::exp(x[i] - m);
    return m + std::log(s);
  };
  for (std::size_t at = 0; at + vocab <= want.size(); at += vocab) {
    const double zw = log_sum(&want[at]), zg = log_sum(&got[at]);
    double kl = 0;
    for (std::size_t i = at; i < at + vocab; ++i)
      kl += std::exp(want[i] - zw) * ((want[i] - zw) - (got[i] - zg));
    out.push_back(kl);
  }
  return out;
}

constexpr const char* kWide[] = {"e2b-wide/Q4_0",  "e2b-wide/Q8_0",   "e2b-wide/Q4_K_M",
                                 "e2b-wide/Q2_K",  "e2b-wide/IQ4_XS", "26b-wide/Q4_0",
                                 "26b-wide/Q4_K_M"};

TEST(Wide, DequantisedWeightsGiveTheReferencesLogits) {
  const Json index = index_json();
  for (const char* name : kWide) {
    const auto model = load_model(text_fixture(name) + ".gguf");
    ASSERT_NE(model, nullptr);
    const Expected want(text_fixture(name) + ".expected.safetensors");
    const double noise = index[name]["float32_noise"]["logits"];
    const auto prompt = want.values<std::int32_t>("prompt");
    Runner runner(*model, {.chunk = 64}, 512);
    const auto got = runner.feed(prompt, static_cast<int>(prompt.size()));
    EXPECT_LE(largest_difference(got, want.values<float>("logits")), std::max(2e-5, 4 * noise))
        << name;
  }
}

TEST(Wide, Int8ActivationsLoseLessThanThePeerOnAverageAndNeverMuchMore) {
  const Json index = index_json();
  double log_ratio = 0;
  for (const char* name : kWide) {
    const auto model = load_model(text_fixture(name) + ".gguf");
    ASSERT_NE(model, nullptr);
    const Expected want(text_fixture(name) + ".expected.safetensors");
    const auto prompt = want.values<std::int32_t>("prompt");
    Runner runner(*model, {.chunk = 64, .act = Act::Int8}, 512);
    const auto got = runner.feed(prompt, static_cast<int>(prompt.size()));
    auto kl = kl_divergences(got, want.values<float>("logits"),
                             static_cast<std::size_t>(model->config().vocab));
    ASSERT_EQ(kl.size(), prompt.size());
    const bool experts = model->config().experts > 0;
    double ours = 0;
    if (experts) {  // one flipped expert outweighs all else: the median
      std::sort(kl.begin(), kl.end());
      ours = (kl[kl.size() / 2] + kl[(kl.size() - 1) / 2]) / 2;
    } else {
      for (const double k : kl) ours += k / static_cast<double>(kl.size());
    }
    const double peer = index[name]["llama.cpp"][experts ? "median_kl" : "mean_kl"];
    fmt::print("{:18} KL {:.5f}, peer {:.5f}, ratio {:.2f}\n", name, ours, peer, ours / peer);
    EXPECT_LE(ours, 1.25 * peer) << name;
    log_ratio += std::log(ours / peer) / std::size(kWide);
  }
  fmt::print("geometric mean of the ratios {:.3f}\n", std::exp(log_ratio));
  EXPECT_LE(std::exp(log_ratio), 0.85);
}

}  // namespace
}  // namespace bezel::test
