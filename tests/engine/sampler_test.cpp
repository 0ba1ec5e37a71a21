// The sampler against the rules in their plainest form.
#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/harness.h"
#include "engine/sampling/random.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// What a choice is made from, as docs/numerics.md lists it.
struct Situation {
  Sampling rules;
  std::vector<TokenId> suppress, prompt, answer;
};

// Bias, penalties, mask.
std::vector<float> adjusted(std::vector<float> row, const Situation& s) {
  for (const auto& [id, bias] : s.rules.bias) row[static_cast<std::size_t>(id)] += bias;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const auto times = std::count(s.answer.begin(), s.answer.end(), id);
    const bool seen = times > 0 || std::count(s.prompt.begin(), s.prompt.end(), id) > 0;
    const float r = s.rules.repetition_penalty;
    if (seen && r != 1) row[i] = row[i] > 0 ? row[i] / r : row[i] * r;
    if (times > 0) {
      row[i] -= s.rules.presence_penalty;
      row[i] -= s.rules.frequency_penalty * static_cast<float>(times);
    }
  }
  for (const TokenId id : s.suppress) row[static_cast<std::size_t>(id)] = kNever;
  return row;
}

struct Kept {
  TokenId id;
  double weight;
};
// The ids that may be drawn, best first, with weights. `close`: a limit was met by a hair, where
// another way to compute exp may decide otherwise.
std::vector<Kept> kept_ids(const std::vector<float>& row, const Situation& s, bool& close) {
  std::vector<float> x = adjusted(row, s);
  for (float& v : x) v /= s.rules.temperature;
  std::vector<TokenId> order(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) order[i] = static_cast<TokenId>(i);
  const auto value = [&](TokenId id) { return x[static_cast<std::size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return value(a) > value(b); });
  if (s.rules.top_k > 0 && static_cast<std::size_t>(s.rules.top_k) < order.size())
    order.resize(static_cast<std::size_t>(s.rules.top_k));
  const auto weight = [&](TokenId id) {
    const float difference = value(id) - value(order[0]);
    return difference > -80 ? std::exp(static_cast<double>(difference)) : 0.0;
  };
  double total = 0, sum = 0;
  for (const TokenId id : order) total += weight(id);
  const double wanted = static_cast<double>(s.rules.top_p) * total;
  const auto min_p = static_cast<double>(s.rules.min_p);
  std::vector<Kept> kept;
  for (const TokenId id : order) {
    const double w = weight(id);
    if (s.rules.top_p < 1 && !kept.empty()) {
      close = close || std::abs(sum - wanted) < 1e-9 * total;
      if (sum >= wanted) break;
    }
    close = close || (min_p > 0 && !kept.empty() && std::abs(w - min_p) < 1e-9);
    if (w < min_p || w == 0) break;
    kept.push_back({id, w});
    sum += w;
  }
  return kept;
}

TokenId expected_choice(const std::vector<float>& row, const Situation& s, std::uint64_t position,
                        bool& close) {
  if (s.rules.temperature == 0) {
    const auto x = adjusted(row, s);
    std::size_t best = 0;
    for (std::size_t i = 1; i < x.size(); ++i)
      if (x[i] > x[best]) best = i;
    return static_cast<TokenId>(best);
  }
  const auto kept = kept_ids(row, s, close);
  double sum = 0, at = 0;
  for (const Kept& k : kept) sum += k.weight;
  const double target = random_unit(s.rules.seed, position) * sum;
  for (const Kept& k : kept) {
    at += k.weight;
    close = close || std::abs(at - target) < 1e-9 * sum;
    if (at > target) return k.id;
  }
  return kept.back().id;
}

// Rows with many ties, as the soft cap makes them.
std::vector<float> random_row(Dice& dice, int n) {
  std::vector<float> row;
  const float step = dice.below(2) == 0 ? 0.5F : 0.001F;
  for (int i = 0; i < n; ++i) row.push_back(std::round(dice.between(-6, 6) / step) * step);
  return row;
}

Situation random_situation(Dice& dice, int n) {
  Situation s;
  Sampling& r = s.rules;
  const auto one_in = [&](int k) { return dice.below(k) == 0; };
  r.temperature = one_in(8) ? 0 : dice.between(0.1F, 3);
  if (!one_in(2)) r.top_k = dice.below(n + 3);
  if (!one_in(2)) r.top_p = dice.between(0, 1);
  if (one_in(3)) r.min_p = dice.between(0, 1);
  if (one_in(2)) r.repetition_penalty = dice.between(0.5F, 2);
  if (one_in(2)) r.presence_penalty = dice.between(-2, 2);
  if (one_in(2)) r.frequency_penalty = dice.between(-1, 1);
  r.seed = static_cast<std::uint64_t>(dice.below(1 << 30));
  for (int i = dice.below(4); i > 0; --i)
    r.bias.emplace_back(dice.below(n), one_in(4) ? kNever : dice.between(-4, 4));
  for (int i = dice.below(3); i > 0; --i) s.suppress.push_back(dice.below(n));
  for (int i = dice.below(6); i > 0; --i) s.prompt.push_back(dice.below(n));
  return s;
}

TEST(Sampler, ChoosesWhatThePlainRulesChooseInEverySituation) {
  int close_calls = 0, choices = 0;
  for (std::uint64_t seed = 0; seed < (kSanitized ? 600 : 3000); ++seed) {
    Dice dice(seed);
    const int n = seed % 10 == 0 ? 300 + dice.below(1500) : 8 + dice.below(40);
    Situation s = random_situation(dice, n);
    ASSERT_TRUE(check_sampling(s.rules, n));
    Sampler sampler(s.rules, s.suppress, s.prompt);
    for (int step = 0; step < 8; ++step) {
      const auto row = random_row(dice, n);
      const auto position = static_cast<std::uint64_t>(dice.below(100000));
      bool close = false;
      const TokenId want = expected_choice(row, s, position, close);
      const auto got = sampler.choose(row, position);
      ASSERT_TRUE(got) << got.error().text();
      if (!close) {
        ASSERT_EQ(*got, want) << "seed " << seed << ", step " << step;
      }
      close_calls += close ? 1 : 0;
      ++choices;
      s.answer.push_back(*got);
    }
  }
  EXPECT_LT(close_calls, choices / 200);
}

// Every id that `rules` lets through on `row`, over many draws.
std::vector<TokenId> drawn(const std::vector<float>& row, const Sampling& rules) {
  std::vector<bool> seen(row.size());
  Sampler sampler(rules, {}, {});
  for (std::uint64_t position = 0; position < 4000; ++position) {
    const auto id = sampler.choose(row, position);
    EXPECT_TRUE(id);
    if (id) seen[static_cast<std::size_t>(*id)] = true;
  }
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (seen[i]) ids.push_back(static_cast<TokenId>(i));
  return ids;
}

using Ids = std::vector<TokenId>;

TEST(Sampler, TopKTopPAndMinPKeepExactlyTheRightSets) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Dice dice(seed + 7000);
    Situation s;
    s.rules.temperature = dice.between(1, 2);
    s.rules.seed = seed;
    if (seed % 3 == 0 || seed % 2 == 0) s.rules.top_k = 1 + dice.below(9);
    if (seed % 3 == 1 || seed % 2 == 0) s.rules.top_p = dice.between(0, 1);
    if (seed % 3 == 2 || seed % 2 == 0) s.rules.min_p = dice.between(0, 1);
    std::vector<float> row;
    for (int i = 0; i < 8; ++i) row.push_back(0.5F * static_cast<float>(dice.below(5)));
    bool close = false;
    Ids want;
    for (const Kept& k : kept_ids(row, s, close)) want.push_back(k.id);
    std::sort(want.begin(), want.end());
    ASSERT_FALSE(close);
    EXPECT_EQ(drawn(row, s.rules), want) << "seed " << seed;
  }
}

TEST(Sampler, ALimitThatIsMetExactlyIsMet) {
  Sampling half;
  half.top_p = 0.5F;
  EXPECT_EQ(drawn({1, 1}, half), (Ids{0}));
  EXPECT_EQ(drawn({1, 1, 1}, half), (Ids{0, 1}));
  EXPECT_EQ(drawn({1, 1, 1, 1}, half), (Ids{0, 1}));
  Sampling none;
  none.top_p = 0;
  EXPECT_EQ(drawn({1, 3, 3}, none), (Ids{1}));
  Sampling as_good;
  as_good.min_p = 1;
  EXPECT_EQ(drawn({3, 2, 3, 1, 3}, as_good), (Ids{0, 2, 4}));
  Sampling two;
  two.top_k = 2;
  EXPECT_EQ(drawn({1, 2, 2, 2}, two), (Ids{1, 2}));
  two.top_k = 100;
  EXPECT_EQ(drawn({1, 2, 2, 2}, two), (Ids{0, 1, 2, 3}));
}

TEST(Sampler, TopPIsAShareOfWhatTopKKept) {
  Sampling s;
  s.top_k = 2;
  s.top_p = 0.5F;  // of four equal ids it would be two
  EXPECT_EQ(drawn({0, 0, 0, 0}, s), (Ids{0}));
}

TEST(Sampler, TiesGoToTheLowestId) {
  for (const float t : {0.0F, 0.001F, 1.0F, 100.0F}) {
    Sampling s;
    s.temperature = t;
    s.top_k = 1;
    std::vector<float> row(1000, 2.0F);
    row[0] = row[1] = row[2] = 1.0F;
    EXPECT_EQ(drawn(row, s), (Ids{3})) << "temperature " << t;
  }
  EXPECT_EQ(argmax(std::vector<float>{-0.0F, 0.0F, -1.0F}), 0);
  EXPECT_EQ(argmax(std::vector<float>{1, 5, 5, 2, 5}), 1);
}

TEST(Sampler, OnRowsWiderThanItsFirstSortFindsEveryId) {
  std::vector<float> row(3000, 0.0F);
  Sampling s;
  std::vector<bool> seen(row.size());
  Sampler sampler(s, {}, {});
  for (std::uint64_t position = 0; position < 2000; ++position) {
    const auto id = sampler.choose(row, position);
    ASSERT_TRUE(id);
    // equal weights: the id is the place of the random number
    EXPECT_EQ(*id, static_cast<TokenId>(random_unit(0, position) * 3000));
    seen[static_cast<std::size_t>(*id)] = true;
  }
  EXPECT_GT(std::count(seen.begin() + 2500, seen.end(), true), 150);
}

// Pearson's sum over cells with the expected shares.
double chi_square(const std::vector<int>& count, const std::vector<double>& share) {
  double n = 0, sum = 0;
  for (const int c : count) n += c;
  for (std::size_t i = 0; i < count.size(); ++i) {
    const double d = count[i] - n * share[i];
    sum += d * d / (n * share[i]);
  }
  return sum;
}

std::vector<double> shares(const std::vector<float>& row, double temperature) {
  double sum = 0;
  std::vector<double> p;
  for (const float x : row) sum += std::exp(static_cast<double>(x) / temperature);
  for (const float x : row) p.push_back(std::exp(static_cast<double>(x) / temperature) / sum);
  return p;
}

TEST(Sampler, FrequenciesOfDrawsMatchTheProbabilities) {
  const std::vector<float> row{0.5F, 2, -1, 1, 1, 0};
  constexpr double kLimit = 20.5;  // 5 degrees of freedom: 1 in 1,000
  for (const float t : {0.7F, 1.0F, 2.5F}) {
    const auto want = shares(row, static_cast<double>(t));
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      Sampling s;
      s.temperature = t;
      s.seed = seed;
      std::vector<int> by_position(row.size()), by_seed(row.size());
      Sampler sampler(s, {}, {});
      for (std::uint64_t i = 0; i < 10000; ++i) {
        ++by_position[static_cast<std::size_t>(*sampler.choose(row, i))];
        Sampling other = s;
        other.seed = seed * 1000000 + i;
        ++by_seed[static_cast<std::size_t>(*Sampler(other, {}, {}).choose(row, 40))];
      }
      EXPECT_LT(chi_square(by_position, want), kLimit) << "temperature " << t << ", seed " << seed;
      EXPECT_LT(chi_square(by_seed, want), kLimit) << "temperature " << t << ", seed " << seed;
    }
  }
}

TEST(Sampler, NeighbouringPositionsAreIndependent) {
  const std::vector<float> row{0, 0, 0, 0, 0, 0};
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Sampling s;
    s.seed = seed;
    Sampler sampler(s, {}, {});
    std::vector<int> pairs(36);
    std::size_t before = 0;
    for (std::uint64_t i = 0; i < 20001; ++i) {
      const auto id = static_cast<std::size_t>(*sampler.choose(row, i));
      if (i > 0) ++pairs[before * 6 + id];
      before = id;
    }
    EXPECT_LT(chi_square(pairs, std::vector<double>(36, 1.0 / 36)), 66.6) << "seed " << seed;
  }
}

TEST(Sampler, TheDrawDependsOnSeedAndPositionAlone) {
  Dice dice(3);
  const auto row = random_row(dice, 50);
  Sampling s;
  s.seed = 99;
  Ids forward, backward;
  Sampler first(s, {}, {}), second(s, {}, random_prompt(20, 1));
  for (std::uint64_t i = 0; i < 300; ++i) forward.push_back(*first.choose(row, i));
  for (std::uint64_t i = 300; i > 0; --i) backward.push_back(*second.choose(row, i - 1));
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);

  s.seed = 100;
  Sampler other(s, {}, {});
  Ids differs;
  for (std::uint64_t i = 0; i < 300; ++i) differs.push_back(*other.choose(row, i));
  EXPECT_NE(forward, differs);
}

TEST(Sampler, RandomNumbersAreTheStatedFunctionOfSeedAndPosition) {
  // Written out again with other words: SplitMix64's finaliser.
  const auto mix = [](std::uint64_t z) {
    z ^= z >> 30U;
    z *= 13787848793156543929ULL;
    z ^= z >> 27U;
    z *= 10723151780598845931ULL;
    return z ^ (z >> 31U);
  };
  EXPECT_EQ(mix(11400714819323198485ULL), 0xE220A8397B1DCDAFULL);  // published first output, seed 0
  for (std::uint64_t seed : {0ULL, 1ULL, 42ULL, ~0ULL})
    for (std::uint64_t at : {0ULL, 1ULL, 2ULL, 131071ULL}) {
      const std::uint64_t want =
          mix(mix(seed + 11400714819323198485ULL) ^ mix((at + 1) * 11400714819323198485ULL));
      EXPECT_EQ(random_bits(seed, at), want);
      EXPECT_EQ(random_unit(seed, at), std::ldexp(static_cast<double>(want >> 11U), -53));
      EXPECT_LT(random_unit(seed, at), 1.0);
    }
}

}  // namespace
}  // namespace bezel::test
