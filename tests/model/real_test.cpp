// The one real checkpoint: Gemma 3 270M, Q4_K_M (fixtures/gemma3-270m/README.md). Needs the file in
// the user's cache, or where BEZEL_GEMMA3_270M says; skipped aloud otherwise.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "model/harness.h"

namespace bezel::test {
namespace {

std::string real_model() {
  if (const char* path = std::getenv("BEZEL_GEMMA3_270M")) return path;
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string cache =
      xdg != nullptr ? xdg : std::string(home != nullptr ? home : "") + "/.cache";
  return cache + "/bezel/gemma-3-270m-q4_k_m.gguf";
}

class Real : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_file(real_model()))
      GTEST_SKIP() << "no real Gemma 3 270M at " << real_model() << "; ./run gets it";
    auto text = read_file(std::string(BEZEL_FIXTURES) + "/gemma3-270m/expected.json", 8U << 20U);
    ASSERT_TRUE(text);
    auto json = parse_json(*text, "expected.json");
    ASSERT_TRUE(json);
    expected_ = *json;
    ids_ = expected_["ids"].get<std::vector<std::int32_t>>();
    model_ = load_model(real_model());
    ASSERT_NE(model_, nullptr);
  }

  static double log_sum(const float* x, std::size_t n) {
    double m = x[0], s = 0;
    for (std::size_t i = 0; i < n; ++i) m = std::max(m, double{x[i]});
    for (std::size_t i = 0; i < n; ++i) s += std::exp(x[i] - m);
    return m + std::log(s);
  }

  // Calls see(position, logits row) for every id, `chunk` rows at a time.
  void score(Runner& runner, const std::function<void(std::size_t, const float*)>& see) {
    const auto vocab = static_cast<std::size_t>(model_->config().vocab);
    for (std::size_t at = 0; at < ids_.size(); at += kChunk) {
      const std::size_t n = std::min(kChunk, ids_.size() - at);
      const std::vector<std::int32_t> part(ids_.begin() + static_cast<std::ptrdiff_t>(at),
                                           ids_.begin() + static_cast<std::ptrdiff_t>(at + n));
      const auto rows = runner.feed(part, static_cast<int>(n));
      for (std::size_t i = 0; i < n; ++i) see(at + i, &rows[i * vocab]);
    }
  }

  static constexpr std::size_t kChunk = 62;  // divides neither the window nor a page
  static constexpr int kContext = 2560;
  Json expected_;
  std::vector<std::int32_t> ids_;
  std::unique_ptr<Model> model_;
};

TEST_F(Real, FloatActivationsGiveTheReferencesLogProbabilities) {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab);
  const Json& ref = expected_["float32"];
  Runner runner(*model_, {.threads = 2, .chunk = kChunk}, kContext);
  double worst = 0, sum_difference = 0, sum = 0, worst_top = 0;
  score(runner, [&](std::size_t at, const float* x) {
    if (at + 1 == ids_.size()) return;
    const double z = log_sum(x, vocab), got = x[ids_[at + 1]] - z;
    const double want = ref["logprobs"][at];
    worst = std::max(worst, std::fabs(got - want));
    sum_difference += got - want;
    sum += got;
    const auto top = ref["top5"].find(std::to_string(at));
    if (top == ref["top5"].end()) return;
    std::vector<std::int32_t> order(vocab);
    for (std::size_t i = 0; i < vocab; ++i) order[i] = static_cast<std::int32_t>(i);
    std::partial_sort(order.begin(), order.begin() + 5, order.end(),
                      [x](auto a, auto b) { return x[a] > x[b]; });
    order.resize(5);
    EXPECT_EQ(order, (*top)["ids"].get<std::vector<std::int32_t>>()) << "position " << at;
    for (std::size_t i = 0; i < 5; ++i)
      worst_top = std::max(worst_top, std::fabs(x[order[i]] - (*top)["logits"][i].get<double>()));
  });
  const auto n = static_cast<double>(ids_.size() - 1);
  const double perplexity = std::exp(-sum / n);
  fmt::print("perplexity {:.5f}, worst log-probability off by {:.1e}, mean by {:.1e}\n", perplexity,
             worst, sum_difference / n);
  EXPECT_LE(worst, 2e-3);
  EXPECT_LE(std::fabs(sum_difference / n), 2e-5);
  EXPECT_NEAR(perplexity, ref["perplexity"].get<double>(), 1e-3);
  EXPECT_LE(worst_top, 5e-3);
}

TEST_F(Real, Int8ActivationsStayCloserToTheReferenceThanThePeer) {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab);
  Runner exact(*model_, {.threads = 2, .chunk = kChunk}, kContext);
  Runner quick(*model_, {.threads = 2, .chunk = kChunk, .act = Act::Int8}, kContext);
  std::vector<double> kl;
  std::size_t same_top = 0;
  double sum = 0;
  for (std::size_t at = 0; at < ids_.size(); at += kChunk) {
    const std::size_t n = std::min(kChunk, ids_.size() - at);
    const std::vector<std::int32_t> part(ids_.begin() + static_cast<std::ptrdiff_t>(at),
                                         ids_.begin() + static_cast<std::ptrdiff_t>(at + n));
    const auto p = exact.feed(part, static_cast<int>(n)), q = quick.feed(part, static_cast<int>(n));
    for (std::size_t i = 0; i < n; ++i) {
      const float *x = &p[i * vocab], *y = &q[i * vocab];
      const double zx = log_sum(x, vocab), zy = log_sum(y, vocab);
      double d = 0;
      for (std::size_t v = 0; v < vocab; ++v)
        d += std::exp(x[v] - zx) * ((x[v] - zx) - (y[v] - zy));
      kl.push_back(d);
      same_top += std::max_element(x, x + vocab) - x == std::max_element(y, y + vocab) - y ? 1 : 0;
      if (at + i + 1 < ids_.size()) sum += y[ids_[at + i + 1]] - zy;
    }
  }
  double mean = 0;
  for (const double d : kl) mean += d / static_cast<double>(kl.size());
  std::sort(kl.begin(), kl.end());
  const double p99 = kl[kl.size() * 99 / 100],
               top1 = static_cast<double>(same_top) / static_cast<double>(kl.size());
  const double perplexity = std::exp(-sum / static_cast<double>(ids_.size() - 1));
  fmt::print("int8: perplexity {:.4f}, mean KL {:.5f}, 99 % KL {:.4f}, top-1 {:.2f} %\n",
             perplexity, mean, p99, 100 * top1);
  EXPECT_LE(mean, 0.006);
  EXPECT_LE(p99, 0.05);
  EXPECT_GE(top1, 0.944);
  const double reference = expected_["float32"]["perplexity"],
               peer = expected_["llamacpp"]["perplexity"];
  EXPECT_LE(std::fabs(perplexity - reference), std::fabs(peer - reference));
}

TEST_F(Real, GreedyTextsAreTheReferences) {
  for (const bool int8 : {false, true})
    for (const Json& g : expected_["greedy"]) {
      const auto prompt =
          g[g.contains("prompt_ids") ? "prompt_ids" : "ids"].get<std::vector<std::int32_t>>();
      const auto want = g["float32_ids"].get<std::vector<std::int32_t>>();
      Runner runner(*model_, {.threads = 2, .chunk = 64, .act = int8 ? Act::Int8 : Act::F32}, 1024);
      auto row = runner.feed(prompt, 1);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const auto id =
            static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
        if (id != want[i]) {  // forgiven only where the reference itself was undecided
          const double margin = g["float32_margin"][i];
          EXPECT_LE(margin, int8 ? 0.2 : 5e-3) << "step " << i;
          break;
        }
        row = runner.feed({id}, 1);
      }
    }
}

}  // namespace
}  // namespace bezel::test
