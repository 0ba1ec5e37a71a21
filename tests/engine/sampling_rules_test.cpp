// Single rules of the sampler, its limits and its errors, and log-probabilities.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/harness.h"
#include "engine/sampling/sampler.h"

namespace bezel::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Row = std::vector<float>;
using Ids = std::vector<TokenId>;

Sampling best_only() {
  Sampling s;
  s.temperature = 0;
  return s;
}

TokenId one(Sampler& sampler, const Row& row, std::uint64_t position = 0) {
  const auto id = sampler.choose(row, position);
  EXPECT_TRUE(id) << (id ? "" : id.error().text());
  return id ? *id : -1;
}

TEST(SamplingRules, BiasComesBeforeTheRepetitionPenalty) {
  Sampling s = best_only();
  s.bias = {{0, 3.0F}};
  s.repetition_penalty = 4;
  Sampler sampler(s, {}, Ids{0});
  // (-1 + 3) / 4 = 0.5; the other way round -1 * 4 + 3 = -1
  EXPECT_EQ(one(sampler, {-1, 0}), 0);
}

TEST(SamplingRules, TheRepetitionPenaltyComesBeforeTheSubtractedOnes) {
  Sampling s = best_only();
  s.repetition_penalty = 2;
  s.presence_penalty = 2;
  Sampler sampler(s, {}, {});
  EXPECT_EQ(one(sampler, {5, 0}), 0);
  // 5 / 2 - 2 = 0.5; the other way round (5 - 2) / 2 = 1.5
  EXPECT_EQ(one(sampler, {5, 1}), 1);
}

TEST(SamplingRules, TheRepetitionPenaltyDividesPositiveAndMultipliesNegativeValues) {
  Sampling s = best_only();
  s.repetition_penalty = 2;
  const auto with = [&](const Row& row) {
    Sampler sampler(s, {}, Ids{0});
    return one(sampler, row);
  };
  EXPECT_EQ(with({4, 1.9F}), 0);
  EXPECT_EQ(with({4, 2.1F}), 1);
  EXPECT_EQ(with({-1, -1.9F}), 1);
  EXPECT_EQ(with({-1, -2.1F}), 0);
}

TEST(SamplingRules, PresenceCountsOnceAndFrequencyEveryTime) {
  Sampling once = best_only(), each = best_only();
  once.presence_penalty = 1;
  each.frequency_penalty = 1;
  Sampler presence(once, {}, {}), frequency(each, {}, {});
  Ids p, f;
  for (int i = 0; i < 4; ++i) {
    p.push_back(one(presence, {2.5F, 0}));
    f.push_back(one(frequency, {2.5F, 0}));
  }
  EXPECT_EQ(p, (Ids{0, 0, 0, 0}));
  EXPECT_EQ(f, (Ids{0, 0, 0, 1}));
}

TEST(SamplingRules, PresenceAndFrequencyLeaveThePromptOutOfIt) {
  Sampling s = best_only();
  s.presence_penalty = 100;
  s.frequency_penalty = 100;
  Sampler sampler(s, {}, Ids{0, 0, 0});
  EXPECT_EQ(one(sampler, {1, 0}), 0);
  EXPECT_EQ(one(sampler, {1, 0}), 1);
}

TEST(SamplingRules, ABiasOfMinusInfinityBansAnId) {
  for (const float t : {0.0F, 1.0F, 100.0F}) {
    Sampling s;
    s.temperature = t;
    s.presence_penalty = -100;  // rewards what was chosen
    s.bias = {{1, -kInf}, {1, 1000.0F}};
    Sampler sampler(s, {}, {});
    for (std::uint64_t i = 0; i < 500; ++i) ASSERT_NE(one(sampler, {0, 9, 0}, i), 1);
  }
}

TEST(SamplingRules, SuppressedIdsNeverAppearWhateverTheirBias) {
  for (const float t : {0.0F, 0.001F, 1.0F, 100.0F}) {
    Sampling s;
    s.temperature = t;
    s.bias = {{0, 1000.0F}, {2, 1000.0F}};
    Sampler sampler(s, {0, 2}, Ids{0, 2});
    for (std::uint64_t i = 0; i < 500; ++i) ASSERT_EQ(one(sampler, {5, 0, 5}, i), 1);
  }
}

TEST(SamplingRules, ARowWithNanOrInfinityIsAnError) {
  for (const float t : {0.0F, 1.0F})
    for (const float bad : {kNan, -kNan, kInf}) {
      Sampling s;
      s.temperature = t;
      Sampler sampler(s, {}, {});
      const auto id = sampler.choose(Row{0, bad, 1}, 0);
      ASSERT_FALSE(id);
      EXPECT_EQ(id.error().code, Errc::Numeric);
      EXPECT_FALSE(id.error().what.empty());
      EXPECT_EQ(one(sampler, {0, 0, 1, 200}), 3) << "a good row after it is chosen from";
    }
}

TEST(SamplingRules, WhenNothingIsLeftToChooseThatIsAnError) {
  for (const float t : {0.0F, 1.0F}) {
    Sampling s;
    s.temperature = t;
    s.bias = {{0, -kInf}, {1, -kInf}};
    Sampler sampler(s, {2}, {});
    const auto id = sampler.choose(Row{1, 2, 3}, 0);
    ASSERT_FALSE(id);
    EXPECT_EQ(id.error().code, Errc::BadInput);
    EXPECT_NE(id.error().what.find("no token to choose"), std::string::npos);
  }
}

TEST(SamplingRules, ALowTemperatureIsTheBestIdAndAHighOneNearlyEven) {
  const Row row{1, 1.5F, 0};
  Sampling s;
  s.temperature = 0.001F;
  Sampler cold(s, {}, {});
  for (std::uint64_t i = 0; i < 500; ++i) ASSERT_EQ(one(cold, row, i), 1);
  s.temperature = 100;
  Sampler hot(s, {}, {});
  std::vector<int> count(3);
  for (std::uint64_t i = 0; i < 9000; ++i) ++count[static_cast<std::size_t>(one(hot, row, i))];
  for (const int c : count) EXPECT_NEAR(c, 3000, 200);
}

TEST(SamplingRules, ValuesThatOverflowUnderTheTemperatureStillGiveTheBestId) {
  Sampling s;
  s.temperature = 0.001F;
  for (std::uint64_t i = 0; i < 20; ++i) {
    Sampler high(s, {}, {});
    EXPECT_EQ(one(high, {1e37F, 3e37F, 2e37F}, i), 1);
    Sampler low(s, {0}, {});
    EXPECT_EQ(one(low, {0, -2e37F, -1e37F, -3e37F}, i), 2) << "and never a suppressed one";
  }
}

struct BadRule {
  const char* name;
  void (*set)(Sampling&);
};
const BadRule kBad[] = {
    {"temperature", [](Sampling& s) { s.temperature = -1; }},
    {"temperature", [](Sampling& s) { s.temperature = 0.0009F; }},
    {"temperature", [](Sampling& s) { s.temperature = 100.5F; }},
    {"temperature", [](Sampling& s) { s.temperature = kNan; }},
    {"top-k", [](Sampling& s) { s.top_k = -1; }},
    {"top-p", [](Sampling& s) { s.top_p = -0.1F; }},
    {"top-p", [](Sampling& s) { s.top_p = 1.01F; }},
    {"top-p", [](Sampling& s) { s.top_p = kNan; }},
    {"min-p", [](Sampling& s) { s.min_p = -0.1F; }},
    {"min-p", [](Sampling& s) { s.min_p = 1.01F; }},
    {"min-p", [](Sampling& s) { s.min_p = kNan; }},
    {"repetition penalty", [](Sampling& s) { s.repetition_penalty = 0; }},
    {"repetition penalty", [](Sampling& s) { s.repetition_penalty = 101; }},
    {"repetition penalty", [](Sampling& s) { s.repetition_penalty = kNan; }},
    {"presence penalty", [](Sampling& s) { s.presence_penalty = -101; }},
    {"presence penalty", [](Sampling& s) { s.presence_penalty = kInf; }},
    {"frequency penalty", [](Sampling& s) { s.frequency_penalty = 101; }},
    {"frequency penalty", [](Sampling& s) { s.frequency_penalty = kNan; }},
    {"bias",
     [](Sampling& s) {
       s.bias = {{1, 1001.0F}};
     }},
    {"bias",
     [](Sampling& s) {
       s.bias = {{1, kInf}};
     }},
    {"bias",
     [](Sampling& s) {
       s.bias = {{1, kNan}};
     }},
    {"id -1",
     [](Sampling& s) {
       s.bias = {{-1, 0.0F}};
     }},
    {"id 320",
     [](Sampling& s) {
       s.bias = {{320, 0.0F}};
     }},
};

TEST(SamplingRules, ARuleOutOfRangeIsAnErrorThatNamesIt) {
  for (const BadRule& bad : kBad) {
    Sampling s;
    bad.set(s);
    const Status status = check_sampling(s, 320);
    ASSERT_FALSE(status) << bad.name;
    EXPECT_EQ(status.error().code, Errc::BadInput);
    EXPECT_NE(status.error().what.find(bad.name), std::string::npos) << status.error().what;
  }
}

TEST(SamplingRules, TheEndsOfEveryRangeAreAllowed) {
  Sampling low, high;
  low.temperature = 0.001F;
  low.top_p = low.min_p = 0;
  low.repetition_penalty = 0.01F;
  low.presence_penalty = low.frequency_penalty = -100;
  low.bias = {{0, -kInf}};
  high.temperature = 100;
  high.top_k = std::numeric_limits<int>::max();
  high.top_p = high.min_p = 1;
  high.repetition_penalty = high.presence_penalty = high.frequency_penalty = 100;
  high.bias = {{319, 1000.0F}};
  for (const Sampling& s : {low, high}) {
    EXPECT_TRUE(check_sampling(s, 320));
    Sampler sampler(s, {}, Ids{1, 2});
    for (std::uint64_t i = 0; i < 50; ++i) one(sampler, Row(320, 29.5F), i);
  }
}

TEST(Logprobs, LogSumExpIsThatOfDoubleArithmetic) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    const float width = seed % 3 == 0 ? 0.01F : seed % 3 == 1 ? 30.0F : 300.0F;
    Row x;
    for (int n = 1 + dice.below(500); n > 0; --n) x.push_back(dice.between(-width, width));
    if (seed % 5 == 0) x[static_cast<std::size_t>(dice.below(static_cast<int>(x.size())))] = -kInf;
    const double max = static_cast<double>(*std::max_element(x.begin(), x.end()));
    double sum = 0;
    for (const float v : x) sum += std::exp(static_cast<double>(v) - max);
    if (max == -static_cast<double>(kInf)) continue;
    // One float32 subtraction a value: half a unit in the last place of up to 600.
    const double tolerance = seed % 3 == 2 ? 4e-5 : seed % 3 == 1 ? 4e-6 : 2e-9;
    EXPECT_NEAR(log_sum_exp(x), max + std::log(sum), tolerance) << "seed " << seed;
  }
}

TEST(Logprobs, LogSumExpOfKnownRows) {
  EXPECT_EQ(log_sum_exp(Row{3.5F}), 3.5);
  EXPECT_EQ(log_sum_exp(Row{-kInf, 2, -kInf}), 2.0);
  EXPECT_EQ(log_sum_exp(Row{-kInf, -kInf}), -static_cast<double>(kInf));
  EXPECT_NEAR(log_sum_exp(Row(1000, 0.0F)), std::log(1000.0), 1e-12);
  EXPECT_NEAR(log_sum_exp(Row{0, -1, -2, -40}),
              std::log(1 + std::exp(-1.0) + std::exp(-2.0) + std::exp(-40.0)), 1e-11);
  EXPECT_NEAR(log_sum_exp(Row{1e30F, 0}), 1e30, 1e24);
}

TEST(Logprobs, TheBestAreInOrderAndAgreeWithDoubleArithmetic) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Dice dice(seed);
    Row row;
    const int n = 1 + dice.below(60);
    for (int i = 0; i < n; ++i) row.push_back(0.5F * static_cast<float>(dice.below(20)));
    const int wanted = dice.below(70);
    const auto best = best_logprobs(row, wanted);
    ASSERT_EQ(static_cast<int>(best.size()), std::min(n, wanted));
    Ids order;
    for (int i = 0; i < n; ++i) order.push_back(i);
    const auto value = [&](TokenId id) { return row[static_cast<std::size_t>(id)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](TokenId a, TokenId b) { return value(a) > value(b); });
    double sum = 0;
    for (const float v : row) sum += std::exp(static_cast<double>(v));
    for (std::size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(best[i].id, order[i]);
      EXPECT_NEAR(static_cast<double>(best[i].logprob),
                  static_cast<double>(value(order[i])) - std::log(sum), 1e-6);
    }
  }
  EXPECT_TRUE(best_logprobs(Row{1, 2}, -3).empty());
}

}  // namespace
}  // namespace bezel::test
