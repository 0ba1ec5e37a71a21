// Prefixes that are gone on from: only new tokens are read, and no bit of an answer changes,
// whatever was shared, forgotten or preempted.
#include <fstream>
#include <limits>

#include "engine/batch/watched.h"
#include "engine/runner.h"
#include "robust/sanitized.h"

namespace bezel::test {
namespace {

using Ids = std::vector<TokenId>;

// A fixture with another window and a longer context.
class Windowed {
 public:
  Windowed(const std::string& fixture, int window) : folder_(fixture, true) {
    std::string text;
    {
      std::ifstream in(folder_.file("config.json"));
      text.assign(std::istreambuf_iterator<char>(in), {});
    }
    put(text, "\"sliding_window\":", window);
    put(text, "\"max_position_embeddings\":", 16384);
    std::ofstream(folder_.file("config.json")) << text;
  }
  EngineOptions options(int context, int chunk) const {
    EngineOptions o = tiny(folder_.path());
    o.context = context;
    o.chunk = chunk;
    return o;
  }
  // Bytes of an answer's whole context, and of a page of each kind of layers.
  struct Sizes {
    std::uint64_t sequence = 0;
    std::vector<std::size_t> pages;
  };
  Sizes sizes(const EngineOptions& o) const {
    RunnerOptions r;
    r.engine = o;
    r.tokenizer = true;
    auto runner = bezel::Runner::open(r);
    if (!runner) throw std::runtime_error(runner.error().text());
    return {(*runner)->memory().sequence, (*runner)->cache().page_bytes()};
  }

 private:
  static void put(std::string& text, const std::string& name, int value) {
    const std::size_t at = text.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    const std::size_t from = at + name.size(), to = text.find_first_of(",}\n", from);
    text.replace(from, to - from, fmt::format(" {}", value));
  }
  ModelFolder folder_;
};

Ids plus(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A turn of `n` tokens in all, and where the model's begins.
Ids user_turn(int n, std::uint64_t seed) {
  Dice dice(seed);
  Ids ids{ModelFolder::kTurn};
  while (static_cast<int>(ids.size()) < n - 2) ids.push_back(260 + dice.below(20));
  return plus(ids, {ModelFolder::kTurnEnd, ModelFolder::kTurn});
}

// An answer of exactly `n` tokens, none of which ends it.
Request answer_to(Ids prompt, int n) {
  Request r = greedy(std::move(prompt), n);
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  r.sampling.bias = {{kEnd, kNever}};
  for (TokenId marker = 280; marker <= ModelFolder::kTurnEnd; ++marker)
    r.sampling.bias.emplace_back(marker, kNever);
  return r;
}

Answer ask(Service& service, const Request& request) {
  Watched w;
  EXPECT_TRUE(service.submit(w.job(request)));
  return w.wait();
}

int tokens_read(const Answer& a) {
  return a.done.prompt_tokens - a.done.reused_tokens;
}

// 20 turns, an edit of the fifth, a branch and a second try: each reads its own turn and the last
// token of the answer before it, which nobody had read yet.
void expect_only_new_tokens(Service& service, int user, int answer) {
  std::vector<Ids> prompts, answers;
  Ids history{kBos};
  for (int turn = 0; turn < 20; ++turn) {
    prompts.push_back(plus(history, user_turn(user, static_cast<std::uint64_t>(turn))));
    const Answer got = ask(service, answer_to(prompts.back(), answer));
    ASSERT_FALSE(got.error) << got.error->text();
    ASSERT_EQ(static_cast<int>(got.done.ids.size()), answer);
    EXPECT_EQ(tokens_read(got), user + 1) << "turn " << turn;
    answers.push_back(got.done.ids);
    history = plus(prompts.back(), got.done.ids);
  }
  const Answer again = ask(service, answer_to(prompts.back(), answer));
  EXPECT_EQ(tokens_read(again), 1) << "a second try";
  EXPECT_EQ(again.done.ids, answers.back());
  Ids edited = plus(prompts[3], answers[3]);
  edited = plus(edited, user_turn(user, 99));
  const Answer fifth = ask(service, answer_to(edited, answer));
  EXPECT_LE(tokens_read(fifth), user + 1) << "edit turn 5";
  const Ids on = plus(plus(edited, fifth.done.ids), user_turn(user, 100));
  EXPECT_EQ(tokens_read(ask(service, answer_to(on, answer))), user + 1);
  const Ids back = plus(history, user_turn(user, 101));
  EXPECT_EQ(tokens_read(ask(service, answer_to(back, 1))), user + 1) << "the first branch again";
}

TEST(Reuse, TwentyTurnsReadOnlyNewTokensOnTheShapesOfE2B) {
  const Windowed model("e2b", 512);
  const auto service = start(1, 4, 8192, model.options(8192, 256));
  expect_only_new_tokens(*service, 120, 80);
}

TEST(Reuse, TwentyTurnsOf26BReadOnlyNewTokensWithinTwoGigabytes) {
  const Windowed model("26b-a4b", 1024);
  EngineOptions o = model.options(8192, 256);
  // Two gigabytes for pages of the real sizes: 25 sliding layers with 8 heads of 256, 5 that see
  // all with 2 of 512; K and V of 256 positions, 2 bytes a value.
  const double sliding = 25.0 * 8 * 256 * 2 * 2 * 256, global = 5.0 * 2 * 512 * 2 * 2 * 256;
  const auto pages = model.sizes(o).pages;
  const double scale =
      std::min(static_cast<double>(pages[0]) / sliding, static_cast<double>(pages[1]) / global);
  o.cache_memory = static_cast<std::uint64_t>(2e9 * scale);
  const auto service = start(1, 4, 8192, o);
  expect_only_new_tokens(*service, 120, 80);
  EXPECT_LE(service->load().cache_bytes, o.cache_memory);
}

TEST(Reuse, ADocumentWithAnotherQuestionIsNotReadAgain) {
  const Windowed model("e2b", 512);
  const auto service = start(1, 4, 8192, model.options(8192, 256));
  const Ids document = random_prompt(3000, 1);
  ask(*service, answer_to(plus(document, user_turn(30, 1)), 20));
  EXPECT_LE(tokens_read(ask(*service, answer_to(plus(document, user_turn(30, 2)), 20))), 30);
}

// Conversations that go on, are edited, branch and ask again.
class Conversations {
 public:
  explicit Conversations(std::uint64_t seed) : dice_(seed), chats_(3, Ids{kBos}) {}

  Request next() {
    Ids& chat = chats_[pick(chats_.size())];
    const int what = dice_.below(6);
    if (what == 1) chat = chats_[pick(chats_.size())];  // a branch
    if (what == 2 || chat.size() > 700) chat.resize(1 + pick(chat.size()));
    if (what != 3) chat = plus(chat, user_turn(5 + dice_.below(150), dice_.below(1 << 20)));
    Request r = greedy(chat, 1 + dice_.below(60));
    if (dice_.below(3) == 0) {
      r.sampling.temperature = 1;
      r.sampling.seed = static_cast<std::uint64_t>(dice_.below(100));
    }
    if (dice_.below(5) == 0) r.sampling.repetition_penalty = 1.2F;
    if (dice_.below(8) == 0) r.constraint = {Constraint::Kind::Regex, "[ab]{3,30}", {}};
    r.logprobs = 1;
    asked_.push_back(&chat);
    return r;
  }
  void answered(std::size_t n, const Ids& ids) {
    if (dice_.below(4) != 0) *asked_[n] = plus(*asked_[n], ids);
  }

 private:
  std::size_t pick(std::size_t n) {
    return static_cast<std::size_t>(dice_.below(static_cast<int>(n)));
  }
  Dice dice_;
  std::vector<Ids> chats_;
  std::vector<Ids*> asked_;
};

void expect_same(const Answer& got, const Answer& want) {
  ASSERT_FALSE(got.error) << got.error->text();
  ASSERT_FALSE(want.error) << want.error->text();
  EXPECT_EQ(got.done.ids, want.done.ids);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.logprobs(), want.logprobs());
  EXPECT_EQ(got.done.reason, want.done.reason);
}

TEST(Reuse, RandomConversationsGetTheAnswersOfAFreshEngineToTheBit) {
  const std::uint64_t seeds = kSanitized ? 2 : 4;  // engines are slow to build there
  const std::size_t rounds = kSanitized ? 2 : 12;
  int reused = 0;
  for (const int window : {8, 300})
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      const Windowed model(seed % 2 == 0 ? "e2b" : "26b-a4b", window);
      EngineOptions o = model.options(1024, seed < 2 ? 32 : 150);
      const EngineOptions alone = model.options(1024, 64);
      o.cache_memory = model.sizes(o).sequence * (2 + seed) / 2;
      o.threads = 1 + static_cast<int>(seed % 2);
      Conversations talk(seed);
      std::vector<Request> requests;
      std::vector<Answer> want;
      const auto service = start(3, 64, 1024, o);
      for (std::size_t round = 0; round < rounds; ++round) {
        std::vector<Watched> watched(4);
        for (Watched& w : watched) {
          requests.push_back(talk.next());
          ASSERT_TRUE(service->submit(w.job(requests.back())));
        }
        for (std::size_t i = 0; i < watched.size(); ++i) {
          const Answer got = watched[i].wait();
          reused += got.done.reused_tokens;
          const std::size_t n = 4 * round + i;
          ASSERT_NO_FATAL_FAILURE(expect_same(got, answer_of(*load_engine(alone), requests[n])))
              << "window " << window << " seed " << seed << " request " << n;
          talk.answered(n, got.done.ids);
        }
      }
      EXPECT_LE(service->load().cache_bytes, o.cache_memory);
    }
  EXPECT_GT(reused, kSanitized ? 100 : 10000);
}

TEST(Preemption, AnswersThatOutgrowTheMemoryGoOnWithTheSameBits) {
  const Windowed model("e2b", 300);
  EngineOptions o = model.options(1024, 64);
  const EngineOptions alone = o;
  o.cache_memory = model.sizes(o).sequence * 3 / 2;
  std::vector<Request> requests;
  for (std::uint64_t n = 0; n < 4; ++n) {
    Request r = answer_to(random_prompt(20 + 90 * static_cast<int>(n), n), 600);
    r.logprobs = 1;
    if (n == 1) r.sampling.temperature = 1;
    if (n == 2) r.sampling.repetition_penalty = 1.1F;
    if (n == 3) r.constraint = {Constraint::Kind::Regex, "[abc]{400,900}", {}};
    requests.push_back(std::move(r));
  }
  std::vector<Watched> watched(requests.size());
  const auto service = start(4, 4, 1024, o);
  for (std::size_t i = 0; i < requests.size(); ++i)
    ASSERT_TRUE(service->submit(watched[i].job(requests[i])));
  int preemptions = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Answer got = watched[i].wait();
    preemptions += got.done.preemptions;
    ASSERT_NO_FATAL_FAILURE(expect_same(got, answer_of(*load_engine(alone), requests[i]))) << i;
    if (i == 0) {
      EXPECT_EQ(got.done.preemptions, 0) << "the one that came first never waits";
    }
  }
  EXPECT_GT(preemptions, 0);
  EXPECT_EQ(service->load().preemptions, static_cast<std::uint64_t>(preemptions));
}

// An answer that has to wait again while it reads its prompt: the memory is not enough for it and
// one of 1,500 tokens that came before.
struct Crowd {
  Windowed model{"e2b", 300};
  // Two rows a pass: the other answer grows as the prompt is read.
  EngineOptions alone = model.options(1536, 2);

  Answer preempted(Job job, Watched& watched) const {
    EngineOptions o = alone;
    o.cache_memory = model.sizes(o).sequence * 3 / 2;
    Watched first;
    const auto service = start(2, 4, 1536, o);
    EXPECT_TRUE(service->submit(first.job(answer_to(random_prompt(10, 1), 1500))));
    EXPECT_TRUE(first.wait_for_text(50));
    EXPECT_TRUE(service->submit(std::move(job)));
    Answer got = watched.wait();
    first.wait();
    EXPECT_GT(got.done.preemptions, 0);
    return got;
  }
};

TEST(Preemption, ThePromptsProbabilitiesAreToldOnce) {
  const Crowd crowd;
  Request request = answer_to(random_prompt(1000, 4), 1);
  request.prompt_logprobs = true;
  request.logprobs = 0;
  const auto told = [&](const auto& answer) {
    std::vector<float> seen;
    Watched watched;
    Job job = watched.job(request);
    const auto pass_on = job.on_event;
    job.on_event = [&seen, pass_on](const Event& e) {
      if (const auto* t = std::get_if<PromptToken>(&e)) seen.push_back(t->logprob);
      return pass_on(e);
    };
    answer(std::move(job), watched);
    return seen;
  };
  const auto alone = told([&](Job job, Watched& watched) {
    const auto service = start(1, 4, 1536, crowd.alone);
    EXPECT_TRUE(service->submit(std::move(job)));
    watched.wait();
  });
  EXPECT_EQ(told([&](Job job, Watched& w) { crowd.preempted(std::move(job), w); }), alone);
  EXPECT_EQ(alone.size(), 999U);
}

TEST(Preemption, AnEmbeddingCountsEveryTokenOnce) {
  const Crowd crowd;
  Request request;
  request.prompt = random_prompt(1000, 4);
  request.embedding = true;
  Watched watched;
  const Answer got = crowd.preempted(watched.job(request), watched);
  const Answer want = answer_of(*load_engine(crowd.alone), request);
  ASSERT_FALSE(want.done.embedding.empty());
  EXPECT_EQ(got.done.embedding, want.done.embedding);
}

TEST(Admission, ACacheTooSmallForOneAnswerIsRefusedWithNumbers) {
  EngineOptions o = tiny_engine();
  o.context = 4096;
  o.cache_memory = 1000;
  const auto engine = Engine::load(o);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Errc::TooLarge);
  EXPECT_NE(engine.error().what.find("4096 tokens"), std::string::npos) << engine.error().what;
  EXPECT_NE(engine.error().what.find("1000 bytes"), std::string::npos) << engine.error().what;
}

}  // namespace
}  // namespace bezel::test
