// Answers: the reference's, the same under every way to compute them, and how they end.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <thread>

#include "engine/harness.h"
#include "engine/runner.h"

namespace bezel::test {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class GreedyAnswer : public testing::TestWithParam<const char*> {};

TEST_P(GreedyAnswer, IsTheReferences) {
  const Expected want(text_fixture(std::string(GetParam()) + "/expected.safetensors"));
  auto ids = want.values<TokenId>("greedy");
  const int n = static_cast<int>(ids.size());
  const auto end = std::find(ids.begin(), ids.end(), kEnd);
  if (end != ids.end()) ids.erase(end + 1, ids.end());
  const ModelFolder folder(GetParam());
  for (const int chunk : {1, 16, 40}) {
    EngineOptions o = tiny(folder.path());
    o.chunk = chunk;
    const auto engine = load_engine(o);
    const Answer a = answer_of(*engine, greedy(want.values<TokenId>("prompt"), n));
    ASSERT_FALSE(a.error) << a.error->text();
    EXPECT_EQ(a.done.ids, ids) << "chunk " << chunk;
    EXPECT_EQ(a.done.prompt_tokens, 40);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GreedyAnswer,
                         testing::Values("e2b", "e4b", "12b", "26b-a4b", "31b", "gemma3-270m",
                                         "gemma3-4b"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

Request sampled(std::vector<TokenId> prompt, std::uint64_t seed, int max_tokens = 30) {
  Request r;
  r.prompt = std::move(prompt);
  r.sampling.top_k = 64;
  r.sampling.top_p = 0.95F;
  r.sampling.seed = seed;
  r.sampling.bias = {{kEnd, kNever}};
  r.max_tokens = max_tokens;
  r.logprobs = 3;
  return r;
}

void expect_same(const Answer& got, const Answer& want, const std::string& when) {
  ASSERT_FALSE(got.error) << when << ": " << got.error->text();
  ASSERT_FALSE(want.error) << when << ": " << want.error->text();
  EXPECT_EQ(got.done.ids, want.done.ids) << when;
  EXPECT_EQ(got.text, want.text) << when;
  EXPECT_EQ(got.logprobs(), want.logprobs()) << when;  // the same bits
  EXPECT_EQ(got.done.reason, want.done.reason) << when;
}

TEST(Engine, TheSameSeedIsTheSameAnswerForAllThreadsAndChunks) {
  const Request r = sampled(random_prompt(50, 1), 7);
  const auto first = load_engine();
  const Answer want = answer_of(*first, r);
  for (int threads = 1; threads <= 3; ++threads)
    for (const int chunk : {1, 7, 16, 64}) {
      EngineOptions o = tiny_engine();
      o.threads = threads;
      o.chunk = chunk;
      const auto engine = load_engine(o);
      expect_same(answer_of(*engine, r), want, std::to_string(threads * 1000 + chunk));
    }
  EXPECT_NE(answer_of(*first, sampled(random_prompt(50, 1), 8)).done.ids, want.done.ids);
}

TEST(Engine, ASharedPrefixIsReusedAndTheAnswerIsThatOfAColdEngine) {
  const auto warm = load_engine();
  const auto cold_answer = [](const Request& r) {
    const auto cold = load_engine();
    const Answer a = answer_of(*cold, r);
    EXPECT_EQ(a.done.reused_tokens, 0);
    return a;
  };
  const Request first = sampled(random_prompt(60, 1), 1);
  const Answer a = answer_of(*warm, first);
  EXPECT_EQ(a.done.reused_tokens, 0);

  Request second = sampled(head(first.prompt, 40), 2);
  for (const TokenId id : {9, 8, 7}) second.prompt.push_back(id);
  ASSERT_NE(first.prompt[40], 9);
  const Answer b = answer_of(*warm, second);
  EXPECT_EQ(b.done.reused_tokens, 40);
  expect_same(b, cold_answer(second), "another end");

  Request third = sampled(second.prompt, 3);  // as a conversation goes on
  third.prompt.insert(third.prompt.end(), b.done.ids.begin(), b.done.ids.end());
  for (const TokenId id : {70, 80}) third.prompt.push_back(id);
  const Answer c = answer_of(*warm, third);
  EXPECT_EQ(c.done.reused_tokens, 43 + 29) << "all of the answer but its last token, never run";
  expect_same(c, cold_answer(third), "prompt and answer");

  const Answer d = answer_of(*warm, third);
  EXPECT_EQ(d.done.reused_tokens, static_cast<int>(third.prompt.size()) - 1);
  expect_same(d, c, "the same prompt again");
}

// Requests with random common beginnings, cancelled prompts and refused ones between.
TEST(Engine, WhateverWasAskedBeforeAnAnswerIsThatOfAColdEngine) {
  EngineOptions o = tiny_engine();
  o.context = 1024;  // longer than the rings of the sliding layers
  const auto warm = load_engine(o);
  int reused = 0, not_kept = 0;
  std::vector<TokenId> last = random_prompt(700, 0);
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Dice dice(seed);
    const auto common = static_cast<std::size_t>(1 + dice.below(static_cast<int>(last.size())));
    std::vector<TokenId> prompt = head(last, common);
    const int longer = dice.below(3) == 0 ? 500 : 40;
    for (const TokenId id : random_prompt(1 + dice.below(longer), seed)) prompt.push_back(id);
    if (prompt.size() > 900) prompt.resize(900);
    if (dice.below(4) == 0) {  // a request that never gets to its answer
      Request stopped = sampled(random_prompt(100, seed + 100), 1);
      std::copy_n(prompt.begin(), std::min<std::size_t>(common, 50), stopped.prompt.begin());
      if (dice.below(2) == 0) stopped.prompt[60] = 320;
      const Answer none = answer_of(*warm, stopped, [&](const Answer& so_far) {
        return so_far.pieces.empty() && so_far.progress.size() <= seed % 5;
      });
      EXPECT_TRUE(none.error || none.done.reason == DoneReason::Cancelled);
    }
    const Request r = sampled(prompt, seed, 8);
    const Answer got = answer_of(*warm, r);
    const auto cold = load_engine(o);
    expect_same(got, answer_of(*cold, r), "seed " + std::to_string(seed));
    reused += got.done.reused_tokens > 0 ? 1 : 0;
    not_kept += got.done.reused_tokens == 0 && common > 1 ? 1 : 0;
    last = prompt;
  }
  EXPECT_GT(reused, 10);
  EXPECT_GT(not_kept, 0) << "a rewind past the ring was never tried";
}

// Throws from the callback once `at` events came: what a failed allocation inside looks like too.
template <class Exception>
Answer interrupted(Engine& engine, const Request& r, std::size_t at) {
  return answer_of(engine, r, [at](const Answer& so_far) -> bool {
    if (so_far.progress.size() + so_far.pieces.size() == at) throw Exception();
    return true;
  });
}

TEST(Engine, RunningOutOfMemoryIsAnErrorAndTheNextAnswerIsRight) {
  const auto engine = load_engine();
  const Request first = sampled(random_prompt(60, 1), 1, 6);
  const Answer want = answer_of(*engine, first);
  for (std::size_t at = 1; at <= 10; ++at) {  // 4 or 5 chunks, then tokens
    const Request other = sampled(random_prompt(70, at + 5), 2, 6);
    const Answer a = interrupted<std::bad_alloc>(*engine, other, at);
    ASSERT_TRUE(a.error) << at;
    EXPECT_EQ(a.error->code, Errc::NoMemory);
    expect_same(answer_of(*engine, first), want, "after event " + std::to_string(at));
  }
}

TEST(Engine, AnExceptionOfTheCallbackPassesThroughAndTheNextAnswerIsRight) {
  const auto engine = load_engine();
  struct Stop {};
  const Request first = sampled(random_prompt(60, 1), 1, 6);
  const Answer want = answer_of(*engine, first);
  for (std::size_t at = 1; at <= 10; ++at) {
    const Request other = sampled(random_prompt(70, at + 5), 2, 6);
    EXPECT_THROW(interrupted<Stop>(*engine, other, at), Stop);
    expect_same(answer_of(*engine, first), want, "after event " + std::to_string(at));
  }
}

TEST(Engine, EndsAfterMaxTokens) {
  const auto engine = load_engine();
  for (const int n : {1, 2, 9}) {
    const Answer a = answer_of(*engine, sampled(random_prompt(20, 1), 1, n));
    EXPECT_EQ(a.done.reason, DoneReason::MaxTokens);
    EXPECT_EQ(static_cast<int>(a.done.ids.size()), n);
    EXPECT_EQ(a.done.stop_text, "");
  }
}

TEST(Engine, EndsWhereTheContextIsFull) {
  EngineOptions o = tiny_engine();
  o.context = 64;
  const auto engine = load_engine(o);
  for (const int n : {64, 63, 40, 1}) {
    const Answer a = answer_of(*engine, sampled(random_prompt(n, 1), 1, 0));
    ASSERT_FALSE(a.error) << a.error->text();
    EXPECT_EQ(a.done.reason, DoneReason::ContextFull);
    // every position is used, and the last row's choice needs none
    EXPECT_EQ(static_cast<int>(a.done.ids.size()), 64 - n + 1);
  }
  EXPECT_EQ(answer_of(*engine, sampled(random_prompt(60, 1), 1, 5)).done.reason,
            DoneReason::MaxTokens);
}

TEST(Engine, EndsAtAnEndTokenAndShowsNothingOfIt) {
  const auto engine = load_engine();
  Request r = scripted(random_prompt(10, 1), {word_id(5), word_id(6), kEnd, word_id(7)});
  for (const bool markers : {false, true}) {
    r.show_markers = markers;
    const Answer a = answer_of(*engine, r);
    EXPECT_EQ(a.done.reason, DoneReason::EndToken);
    EXPECT_EQ(a.done.ids, (std::vector<TokenId>{word_id(5), word_id(6), kEnd}));
    EXPECT_EQ(a.text, "w5w6");
    EXPECT_EQ(a.pieces.size(), 2U);
  }
}

TEST(Engine, TheCallbackCancelsBetweenTokens) {
  const auto engine = load_engine();
  const Request r = sampled(random_prompt(30, 1), 4);
  const Answer whole = answer_of(*engine, r);
  const Answer a =
      answer_of(*engine, r, [](const Answer& so_far) { return so_far.pieces.size() < 5; });
  EXPECT_EQ(a.done.reason, DoneReason::Cancelled);
  EXPECT_EQ(a.done.ids, head(whole.done.ids, 5));
  expect_same(answer_of(*engine, r), whole, "after cancelling");
}

TEST(Engine, TheCallbackCancelsBetweenChunksOfThePrompt) {
  EngineOptions o = tiny_engine();
  o.chunk = 8;
  const auto engine = load_engine(o);
  const Request r = sampled(random_prompt(50, 1), 4);
  const Answer a =
      answer_of(*engine, r, [](const Answer& so_far) { return so_far.progress.back().done < 24; });
  ASSERT_FALSE(a.error);
  EXPECT_EQ(a.done.reason, DoneReason::Cancelled);
  EXPECT_TRUE(a.done.ids.empty());
  EXPECT_EQ(a.progress.size(), 3U);
  const Answer again = answer_of(*engine, r);
  EXPECT_EQ(again.done.reused_tokens, 24) << "what was read is not read again";
  expect_same(again, answer_of(*load_engine(o), r), "after cancelling");
}

TEST(Engine, AnotherThreadCancelsThroughTheAtomic) {
  const auto engine = load_engine();
  std::atomic<bool> cancel{true};
  Request r = sampled(random_prompt(40, 1), 4, 0);
  r.cancel = &cancel;
  const Answer none = answer_of(*engine, r);
  EXPECT_EQ(none.done.reason, DoneReason::Cancelled);
  EXPECT_TRUE(none.done.ids.empty());
  EXPECT_TRUE(none.progress.empty()) << "nothing was read";

  cancel = false;
  std::atomic<int> pieces{0};
  std::thread other([&] {
    while (pieces.load() == 0) std::this_thread::yield();
    cancel = true;
  });
  const Answer a = answer_of(*engine, r, [&](const Answer& so_far) {
    pieces.store(static_cast<int>(so_far.pieces.size()));
    while (so_far.pieces.size() == 50 && !cancel.load()) std::this_thread::yield();
    return true;
  });
  other.join();
  EXPECT_EQ(a.done.reason, DoneReason::Cancelled);
  EXPECT_GE(a.done.ids.size(), 1U);
  EXPECT_LE(a.done.ids.size(), 50U);
}

TEST(Engine, ProgressCountsWhatWasReusedAndEndsAtThePromptsLength) {
  const auto engine = load_engine();
  Request r = sampled(random_prompt(50, 1), 1, 1);
  const auto done = [&] {
    std::vector<int> out;
    for (const PromptProgress& p : answer_of(*engine, r).progress) {
      EXPECT_EQ(p.total, 50);
      out.push_back(p.done);
    }
    return out;
  };
  EXPECT_EQ(done(), (std::vector<int>{16, 32, 48, 50}));
  r.prompt[20] = r.prompt[20] == 5 ? 6 : 5;
  EXPECT_EQ(done(), (std::vector<int>{36, 50}));
}

TEST(Engine, RefusesWhatItCannotDoWithASentence) {
  const auto engine = load_engine();
  const Request good = sampled(random_prompt(20, 1), 1, 5);
  const Answer want = answer_of(*engine, good);
  const auto refusal = [&](auto change, Errc code) {
    Request r = good;
    change(r);
    const Answer a = answer_of(*engine, r);
    EXPECT_TRUE(a.error);
    if (!a.error) return std::string();
    EXPECT_EQ(a.error->code, code);
    EXPECT_TRUE(a.pieces.empty());
    expect_same(answer_of(*engine, good), want, "after a refusal");
    return a.error->what;
  };
  const std::string too_long =
      refusal([](Request& r) { r.prompt = random_prompt(257, 1); }, Errc::TooLarge);
  EXPECT_TRUE(has(too_long, "257") && has(too_long, "256") && has(too_long, "--ctx")) << too_long;
  EXPECT_TRUE(has(refusal([](Request& r) { r.prompt.clear(); }, Errc::BadInput), "empty"));
  EXPECT_TRUE(has(refusal([](Request& r) { r.max_tokens = -4; }, Errc::BadInput), "-4"));
  EXPECT_TRUE(has(refusal([](Request& r) { r.stop = {"a", ""}; }, Errc::BadInput), "stop text"));
  EXPECT_TRUE(has(refusal([](Request& r) { r.sampling.top_p = 2; }, Errc::BadInput), "top-p"));
  EXPECT_TRUE(has(refusal(
                      [](Request& r) {
                        r.sampling.bias = {{320, 1}};
                      },
                      Errc::BadInput),
                  "320"));
  const std::string bad_id = refusal([](Request& r) { r.prompt[7] = 999; }, Errc::BadInput);
  EXPECT_TRUE(has(bad_id, "999") && has(bad_id, "320")) << bad_id;
  EXPECT_TRUE(has(refusal(
                      [](Request& r) {
                        for (TokenId id = 0; id < 320; ++id)
                          r.sampling.bias.emplace_back(id, kNever);
                      },
                      Errc::BadInput),
                  "no token"));
}

// Log-probabilities from logits that the test computes itself.
void check_piece(const TextPiece& piece, std::span<const float> row) {
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x));
  const auto logprob = [&](TokenId id) {
    return static_cast<double>(row[static_cast<std::size_t>(id)]) - std::log(sum);
  };
  std::vector<TokenId> order;
  for (int id = 0; id < 320; ++id) order.push_back(id);
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return logprob(a) > logprob(b); });
  EXPECT_NEAR(static_cast<double>(piece.logprob), logprob(piece.id), 2e-6);
  for (std::size_t k = 0; k < piece.best.size(); ++k) {
    EXPECT_EQ(piece.best[k].id, order[k]);
    EXPECT_NEAR(static_cast<double>(piece.best[k].logprob), logprob(order[k]), 2e-6);
  }
}

TEST(Engine, LogprobsAreThoseOfTheLogitsBeforeEveryRule) {
  const auto engine = load_engine();
  Request r = sampled(random_prompt(30, 1), 5, 12);
  r.sampling.temperature = 2;
  r.sampling.presence_penalty = 3;
  r.sampling.bias.emplace_back(word_id(3), 20.0F);
  r.logprobs = 4;
  const Answer a = answer_of(*engine, r);
  ASSERT_EQ(a.done.ids.size(), 12U);

  RunnerOptions o;
  o.engine = tiny_engine();
  o.every_row = true;
  auto runner = bezel::Runner::open(o);
  ASSERT_TRUE(runner);
  std::vector<TokenId> all = r.prompt;
  all.insert(all.end(), a.done.ids.begin(), a.done.ids.end());
  std::vector<float> rows;
  bezel::Runner::Hooks hooks;
  hooks.rows = [&](int, ConstMat x) {
    for (int i = 0; i < x.rows; ++i)
      rows.insert(rows.end(), x.row_span(i).begin(), x.row_span(i).end());
    return true;
  };
  ASSERT_TRUE((*runner)->feed(all, 29, hooks));
  for (std::size_t i = 0; i < 12; ++i) {
    ASSERT_EQ(a.pieces[i].id, a.done.ids[i]);
    ASSERT_EQ(a.pieces[i].best.size(), 4U);
    check_piece(a.pieces[i], std::span(rows).subspan(i * 320, 320));
  }
  r.logprobs = 0;
  const Answer only_chosen = answer_of(*engine, r);
  EXPECT_EQ(only_chosen.pieces[0].logprob, a.pieces[0].logprob);
  EXPECT_TRUE(only_chosen.pieces[0].best.empty());
  r.logprobs = -1;
  EXPECT_EQ(answer_of(*engine, r).pieces[0].logprob, 0.0F);
  r.logprobs = 100000;
  EXPECT_EQ(answer_of(*engine, r).pieces[0].best.size(), 320U);
}

}  // namespace
}  // namespace bezel::test
