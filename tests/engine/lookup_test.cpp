// Drafts from the text before: what is proposed, and that no answer depends on them.
#include "engine/lookup.h"

#include "engine/harness.h"

namespace bezel::test {
namespace {

Lookup lookup_of(const std::vector<TokenId>& ids) {
  Lookup l;
  l.push(ids);
  return l;
}

TEST(Lookup, ADraftIsWhatFollowedTheSameThreeIdsLast) {
  EXPECT_EQ(lookup_of({1, 2, 3, 4, 5, 9, 1, 2, 3}).draft(2), (std::vector<TokenId>{4, 5}));
  EXPECT_EQ(lookup_of({1, 2, 3, 4, 7, 1, 2, 3, 6, 8, 1, 2, 3}).draft(2),
            (std::vector<TokenId>{6, 8}));
}

TEST(Lookup, NothingIsDraftedWithoutAnEarlierPlace) {
  EXPECT_TRUE(lookup_of({}).draft(4).empty());
  EXPECT_TRUE(lookup_of({1, 2, 3}).draft(4).empty());
  EXPECT_TRUE(lookup_of({1, 2, 3, 4, 5, 6}).draft(4).empty());
  EXPECT_TRUE(lookup_of({1, 2, 3, 4, 1, 2, 3}).draft(0).empty());
}

TEST(Lookup, ATextThatRepeatsItselfGoesOnRepeating) {
  EXPECT_EQ(lookup_of({7, 7, 7, 7}).draft(3), (std::vector<TokenId>{7, 7, 7}));
  EXPECT_EQ(lookup_of({1, 2, 1, 2, 1}).draft(4), (std::vector<TokenId>{2, 1, 2, 1}));
}

TEST(Lookup, IdsWhoseKeysMeetAreNoMatch) {  // 21 bits an id: these three share a key
  const TokenId big = (1 << 21) + 5;
  const auto l = lookup_of({1, 5, 3, 4, 0, big, 3});
  for (const TokenId id : l.draft(1)) EXPECT_NE(id, 4);
}

TEST(Pace, DraftsPauseWhileTheyDoNotPayAndComeBack) {
  Pace pace;
  EXPECT_EQ(pace.wanted(), 0) << "what a plain pass costs is not known";
  pace.plain(1.0);
  ASSERT_GT(pace.wanted(), 0);
  pace.tried(3, 0, 2.0);
  int pause = 0;
  while (pace.wanted() == 0 && pause < 1000) ++pause;
  EXPECT_EQ(pause, 16);
  pace.tried(3, 0, 2.0);
  pause = 0;
  while (pace.wanted() == 0 && pause < 1000) ++pause;
  EXPECT_EQ(pause, 32) << "twice as long";
}

TEST(Pace, DraftsGrowWhileAllAreRight) {
  Pace pace;
  pace.plain(1.0);
  const int first = pace.wanted();
  pace.tried(first, first, 1.5);
  EXPECT_EQ(pace.wanted(), Pace::kLongest);
  pace.tried(Pace::kLongest, 2, 1.5);
  EXPECT_EQ(pace.wanted(), first);
}

Request repeated(std::uint64_t seed, float temperature, int max_tokens) {
  Request r;
  const auto part = random_prompt(12, seed);
  for (int i = 0; i < 4; ++i) r.prompt.insert(r.prompt.end(), part.begin(), part.end());
  r.sampling.temperature = temperature;
  r.sampling.seed = seed;
  r.sampling.bias = {{kEnd, -1000.0F}};
  // A few ids are so likely that the answer repeats itself.
  for (int i = 0; i < 3; ++i) r.sampling.bias.emplace_back(word_id(i), 60.0F);
  r.max_tokens = max_tokens;
  r.logprobs = 2;
  return r;
}

void expect_equal(const Answer& got, const Answer& want) {
  ASSERT_FALSE(got.error) << got.error->text();
  ASSERT_FALSE(want.error) << want.error->text();
  EXPECT_EQ(got.done.ids, want.done.ids);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.logprobs(), want.logprobs());  // the same bits
  EXPECT_EQ(got.done.reason, want.done.reason);
}

TEST(Speculation, AnswersAreThoseOfPlainDecodingAtEveryTemperature) {
  EngineOptions o = tiny_engine();
  const auto ahead = load_engine(o);
  o.lookup = false;
  const auto plain = load_engine(o);
  int accepted = 0, wrong = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    for (const float temperature : {0.0F, 0.7F, 1.5F}) {
      const Request r = repeated(seed, temperature, 60);
      const Answer a = answer_of(*ahead, r), b = answer_of(*plain, r);
      expect_equal(a, b);
      EXPECT_EQ(b.done.drafted, 0);
      EXPECT_EQ(a.done.reused_tokens, b.done.reused_tokens);
      accepted += a.done.accepted;
      wrong += a.done.drafted - a.done.accepted;
    }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(wrong, 0) << "drafts that were dropped belong to the test, too";
}

TEST(Speculation, EveryEndOfAnAnswerIsThatOfPlainDecoding) {
  EngineOptions o = tiny_engine();
  o.context = 64;
  const auto ahead = load_engine(o);
  o.lookup = false;
  const auto plain = load_engine(o);
  Request full = repeated(3, 0, 0);  // the context ends it
  expect_equal(answer_of(*ahead, full), answer_of(*plain, full));
  for (int n = 1; n < 12; ++n) {
    const Request r = repeated(3, 0, n);
    const Answer a = answer_of(*ahead, r);
    expect_equal(a, answer_of(*plain, r));
    EXPECT_EQ(static_cast<int>(a.done.ids.size()), n);
    Request next = r;  // what was run ahead is forgotten
    next.prompt.insert(next.prompt.end(), a.done.ids.begin(), a.done.ids.end());
    next.max_tokens = 2;
    if (next.prompt.size() < 62) expect_equal(answer_of(*ahead, next), answer_of(*plain, next));
  }
  Request stop = repeated(3, 0, 14);
  stop.stop = {"w0w0", "w1w1", "w2w2"};
  expect_equal(answer_of(*ahead, stop), answer_of(*plain, stop));
  int seen = 0;
  const Watch three = [&](const Answer&) { return ++seen < 3; };
  const Answer cancelled = answer_of(*ahead, repeated(4, 0, 14), three);
  EXPECT_EQ(cancelled.done.reason, DoneReason::Cancelled);
  expect_equal(answer_of(*ahead, repeated(4, 0, 14)), answer_of(*plain, repeated(4, 0, 14)));
}

struct Heard {
  Turn turn;
  Done done;
  std::string events;
};

Heard heard(Engine& engine, const Talk& talk, const Request& rules) {
  Heard h;
  const auto reply = engine.reply({{"user", "abc abc abc"}}, talk, rules, [&](const Event& e) {
    if (const auto* text = std::get_if<TextPiece>(&e)) h.events += "x" + text->text;
    if (const auto* thought = std::get_if<ThoughtPiece>(&e)) h.events += "t" + thought->text;
    if (const auto* call = std::get_if<CallPiece>(&e)) h.events += "c" + call->arguments;
    return true;
  });
  EXPECT_TRUE(reply) << reply.error().text();
  if (reply) h.turn = reply->turn, h.done = reply->done;
  return h;
}

// Texts that can only be one make the answer repeat itself, so that drafts are tried in it.
TEST(Speculation, UnderAConstraintWithToolsAndThoughtsAnswersAreThoseOfPlainDecoding) {
  static const ModelFolder folder("e2b", true);
  EngineOptions o = tiny(folder.path());
  o.context = 1024;
  o.chunk = 64;
  const auto ahead = load_engine(o);
  o.lookup = false;
  const auto plain = load_engine(o);
  Talk talk;
  talk.tools =
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"const":"abcabcabcabcabcabc"},"n":{"type":"integer"}},"required":["a"],"additionalProperties":false}}}])";
  int accepted = 0, wrong = 0, calls = 0, thoughts = 0, texts = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    Request r;
    r.sampling.seed = seed;
    r.max_tokens = 120;
    r.constraint = {
        Constraint::Kind::JsonSchema,
        R"({"type":"array","items":{"enum":["abcabcabcabc","abcabcabcxyz"]},"minItems":4,"maxItems":6})",
        {}};
    talk.think = seed % 2 == 0;
    talk.thought_budget = 6;
    if (talk.think) r.sampling.bias.emplace_back(ModelFolder::kThought, 1000.0F);
    if (seed % 3 == 0) r.sampling.bias.emplace_back(ModelFolder::kCall, 20.0F);
    talk.calls = seed % 6 == 1 ? Talk::Calls::Required : Talk::Calls::Auto;
    const Heard a = heard(*ahead, talk, r), b = heard(*plain, talk, r);
    EXPECT_EQ(a.turn, b.turn) << seed;
    EXPECT_EQ(a.done.ids, b.done.ids) << seed;
    EXPECT_EQ(a.done.reason, b.done.reason) << seed;
    EXPECT_EQ(a.events, b.events) << seed;
    EXPECT_EQ(b.done.drafted, 0);
    accepted += a.done.accepted;
    wrong += a.done.drafted - a.done.accepted;
    calls += static_cast<int>(a.turn.calls.size());
    thoughts += a.turn.thought.empty() ? 0 : 1;
    texts += a.turn.text.empty() ? 0 : 1;
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(wrong, 0);
  EXPECT_GT(calls, 10);
  EXPECT_GT(thoughts, 5);
  EXPECT_GE(texts, 3);
}

}  // namespace
}  // namespace bezel::test
