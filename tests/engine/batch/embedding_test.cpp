// An embedding is the mean of the states behind the last norm, however the prompt is read.
#include "engine/harness.h"
#include "engine/runner.h"

namespace bezel::test {
namespace {

TEST(Embedding, IsTheMeanOfTheFinalStates) {
  const std::vector<TokenId> ids = {kBos,       byte_id('a'), byte_id('b'),
                                    word_id(3), byte_id('c'), byte_id('a')};
  auto runner = bezel::Runner::open({.engine = tiny_engine(), .every_row = true});
  ASSERT_TRUE(runner) << runner.error().text();
  std::vector<double> sum(static_cast<std::size_t>((*runner)->config().width));
  const auto tap = [&](std::string_view what, int, ConstMat x) {
    if (what != "final_norm") return;
    for (int r = 0; r < x.rows; ++r)
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(x.row_span(r)[i]);
  };
  ASSERT_TRUE((*runner)->feed(
      ids, 0, {.rows = [](int, ConstMat) { return true; }, .progress = {}, .tap = tap}));

  const auto engine = load_engine();
  EXPECT_EQ(engine->info().width, (*runner)->config().width);
  Request request;
  request.prompt = ids;
  request.embedding = true;
  int pieces = 0;
  const auto done = engine->generate(request, [&](const Event& e) {
    pieces += std::holds_alternative<TextPiece>(e) ? 1 : 0;
    return true;
  });
  ASSERT_TRUE(done) << done.error().text();
  ASSERT_EQ(done->embedding.size(), sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i)
    EXPECT_EQ(done->embedding[i], static_cast<float>(sum[i] / static_cast<double>(ids.size())));
  EXPECT_TRUE(done->ids.empty());
  EXPECT_EQ(pieces, 0) << "nothing is written";
}

TEST(Embedding, MayBeAskedForTogetherWithLogProbabilities) {
  const auto engine = load_engine();
  Request request;
  request.prompt = {kBos, byte_id('a'), byte_id('b')};
  request.embedding = true;
  const auto alone = engine->generate(request, [](const Event&) { return true; });
  request.prompt_logprobs = true;
  int scored = 0;
  const auto both = engine->generate(request, [&](const Event& e) {
    scored += std::holds_alternative<PromptToken>(e) ? 1 : 0;
    return true;
  });
  ASSERT_TRUE(alone && both);
  EXPECT_EQ(alone->embedding, both->embedding);
  EXPECT_EQ(scored, 2);
}

TEST(Embedding, IsNotThereUnlessAskedFor) {
  const auto engine = load_engine();
  Request request;
  request.prompt = {kBos, byte_id('a')};
  request.max_tokens = 2;
  const auto done = engine->generate(request, [](const Event&) { return true; });
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->embedding.empty());
}

}  // namespace
}  // namespace bezel::test
