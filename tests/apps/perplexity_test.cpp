// bezel perplexity.
#include <cmath>

#include "apps/models.h"

namespace bezel::test {
namespace {

class Perplexity : public testing::Test {
 protected:
  // Runs with --json and --per-token.
  struct Scores {
    Json sum;
    std::vector<Json> tokens;
  };
  Scores scores(const std::string& model, const Words& what, const Words& flags = {}) {
    const Words words = Words{"perplexity", model} + what +
                        Words{"--json", "--per-token", folder_.file("tokens")} + flags;
    const Ran ran = bezel(words);
    EXPECT_EQ(ran.status, 0) << testing::PrintToString(words) << testing::PrintToString(ran);
    EXPECT_EQ(ran.err, "");
    return {json_of(ran.out), lines_of(folder_.get("tokens"))};
  }
  Scores of_ids(const std::string& model, const std::vector<std::int32_t>& ids,
                const Words& flags = {}) {
    return scores(model, {"--ids-file", folder_.put("ids", ids_text(ids))}, flags);
  }
  static std::vector<double> logprobs(const Scores& s) {
    std::vector<double> out;
    for (const Json& t : s.tokens) out.push_back(t.at("logprob").get<double>());
    return out;
  }

  const std::vector<std::int32_t> ids_ =
      Expected(text_fixture("e2b/expected.safetensors")).values<std::int32_t>("prompt");
  TempFolder folder_;
};

TEST_F(Perplexity, TheSumsAreThoseOfTheTokens) {
  const Scores s = of_ids(kE2b, ids_);
  ASSERT_EQ(s.tokens.size(), ids_.size() - 1);
  double sum = 0;
  for (std::size_t i = 0; i < s.tokens.size(); ++i) {
    EXPECT_EQ(s.tokens.at(i).at("pos"), i + 1);
    EXPECT_EQ(s.tokens.at(i).at("id"), ids_[i + 1]);
    sum += s.tokens.at(i).at("logprob").get<double>();
  }
  EXPECT_EQ(s.sum.at("tokens"), ids_.size() - 1);
  const double nll = s.sum.at("nll").get<double>();
  EXPECT_NEAR(nll, -sum / static_cast<double>(ids_.size() - 1), 1e-12);
  EXPECT_NEAR(s.sum.at("perplexity").get<double>() / std::exp(nll), 1, 1e-12);
  EXPECT_GT(nll, 0.1);
}

TEST_F(Perplexity, ATokensLogprobIsThatOfTheLogits) {
  const Scores s = of_ids(kE2b, ids_);
  output_of({"logits", kE2b, "--ids", ids_text(ids_), "--output", folder_.file("logits")});
  const auto rows = Expected(folder_.file("logits")).values<float>("logits");
  ASSERT_EQ(rows.size(), ids_.size() * 320);
  for (std::size_t i = 0; i + 1 < ids_.size(); ++i) {
    const float* row = &rows[i * 320];
    double sum = 0;
    for (int k = 0; k < 320; ++k) sum += std::exp(double{row[k]} - 30);
    const double want = double{row[ids_[i + 1]]} - 30 - std::log(sum);
    EXPECT_NEAR(s.tokens.at(i).at("logprob").get<double>(), want, 1e-8);
  }
}

TEST_F(Perplexity, TheSentenceAndTheJsonSayTheSame) {
  const std::string ids = folder_.put("ids", ids_text(ids_));
  const Json sum = json_of(output_of({"perplexity", kE2b, "--ids-file", ids, "--json"}));
  EXPECT_EQ(output_of({"perplexity", kE2b, "--ids-file", ids}),
            fmt::format("perplexity {:.4f} (mean negative log-likelihood {:.6f} nats, {} tokens)\n",
                        sum.at("perplexity").get<double>(), sum.at("nll").get<double>(),
                        ids_.size() - 1));
}

TEST_F(Perplexity, ATextIsScoredWithBosInFront) {
  const std::string text = "abcd some words\n<bos>";
  const Scores s = scores(base_model(), {folder_.put("text", text)});
  std::string ids = output_of({"tokenize", base_model(), "--plain"}, text);
  const auto n = static_cast<std::size_t>(std::count(ids.begin(), ids.end(), ' ') + 1);
  EXPECT_EQ(s.tokens.size(), n);  // every id of the text, none of them given away as a first id
  const Scores same = scores(base_model(), {"--ids-file", folder_.put("ids", "2 " + ids)});
  EXPECT_EQ(s.sum, same.sum);
  EXPECT_EQ(s.tokens, same.tokens);
  // From standard input, too.
  const Ran piped = bezel({"perplexity", base_model(), "-", "--json"}, text);
  EXPECT_EQ(json_of(piped.out), s.sum);
}

TEST_F(Perplexity, IdsFromAFileGetNoBos) {
  const Scores s = of_ids(kE2b, {5, 7, 9});
  ASSERT_EQ(s.tokens.size(), 2U);
  EXPECT_EQ(s.tokens.at(0).at("id"), 7);
  EXPECT_NE(logprobs(s)[0], logprobs(of_ids(kE2b, {2, 5, 7, 9}))[1]);
}

TEST_F(Perplexity, EveryWindowBeginsWithTheFirstIdAndScoresEveryIdOnce) {
  using Windows = std::vector<std::size_t>;
  for (const std::size_t window : kSanitized ? Windows{8, 100} : Windows{2, 8, 14, 39, 40, 100}) {
    std::vector<double> want;
    for (std::size_t at = 1; at < ids_.size(); at += window - 1) {
      std::vector<std::int32_t> piece{ids_[0]};
      for (std::size_t i = at; i < std::min(ids_.size(), at + window - 1); ++i)
        piece.push_back(ids_[i]);
      const auto part = logprobs(of_ids(kE2b, piece));
      want.insert(want.end(), part.begin(), part.end());
    }
    const Scores got = of_ids(kE2b, ids_, {"--window", std::to_string(window)});
    EXPECT_EQ(logprobs(got), want) << window;
    EXPECT_EQ(got.sum.at("tokens"), ids_.size() - 1);
  }
  EXPECT_NE(logprobs(of_ids(kE2b, ids_, {"--window", "8"})), logprobs(of_ids(kE2b, ids_)));
}

TEST_F(Perplexity, TheNumbersAreTheSameForAnyThreadsChunkAndInstructionSet) {
  const Scores one = of_ids(kQuant, ids_, {"--threads", "1"});
  std::vector<Words> others{{"--threads", "2", "--chunk", "1"}, {"--threads", "3", "--chunk", "7"}};
  for (const std::string& isa : isas_here()) others.push_back({"--isa", isa});
  for (const Words& flags : others)
    EXPECT_EQ(logprobs(of_ids(kQuant, ids_, flags)), logprobs(one))
        << testing::PrintToString(flags);
  EXPECT_NE(logprobs(of_ids(kQuant, ids_, {"--act", "f32"})), logprobs(one));
}

TEST_F(Perplexity, AFolderWithoutATokenizerTakesIdsButNoText) {
  const std::string model = text_fixture("e2b");
  EXPECT_EQ(of_ids(model, {2, 5, 7}).tokens.size(), 2U);
  EXPECT_TRUE(has(complaint({"perplexity", model, folder_.put("text", "words")}), "tokenizer"));
}

TEST_F(Perplexity, WhatCannotBeScoredIsOneSentenceAndLeavesNoFile) {
  const auto refused = [&](const std::string& ids, const Words& flags = {}) {
    return complaint(Words{"perplexity", kE2b, "--ids-file", folder_.put("ids", ids), "--per-token",
                           folder_.file("tokens")} +
                     flags);
  };
  refused("5");
  refused("");
  refused("5 x");
  EXPECT_TRUE(has(refused("5 320"), "320"));
  const std::string text = refused("5 6 7 8", {"--ctx", "2"});
  EXPECT_TRUE(has(text, "3") && has(text, "2")) << text;
  refused("5 6", {"--window", "1"});
  EXPECT_EQ(folder_.n_files(), 1);  // the ids
  complaint({"perplexity", kE2b});
  complaint({"perplexity", kE2b, folder_.file("missing")});
  complaint({"perplexity", kE2b, folder_.file("ids"), "--ids-file", folder_.file("ids")});
  complaint({"perplexity", kE2b, "--ids-file", folder_.put("ids", "5 6"), "--per-token",
             folder_.file("missing/tokens")});
}

}  // namespace
}  // namespace bezel::test
