// Many requests at once: each answer is the same to the bit as alone, and nobody waits for long.
#include "bezel/service.h"

#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "engine/batch/watched.h"

namespace bezel::test {
namespace {

// Eight requests that differ in all that a request can have.
std::vector<Request> mixed() {
  std::vector<Request> all;
  for (int n = 0; n < 8; ++n) {
    Request r = greedy(random_prompt(5 + 23 * n, static_cast<std::uint64_t>(n % 5)), 20 + n);
    if (n % 2 == 1) {
      r.sampling.temperature = 1;
      r.sampling.top_k = 40;
      r.sampling.seed = static_cast<std::uint64_t>(n);
    }
    if (n == 2) r.sampling.presence_penalty = 3;
    if (n == 3) r.sampling.repetition_penalty = 1.3F;
    if (n == 4) r.constraint = {Constraint::Kind::Regex, "[ab]{3,9}", {}};
    if (n == 5) r.sampling.bias = {{byte_id('q'), 30.0F}};
    if (n == 6) r.stop = {"w1"};
    r.logprobs = 3;
    all.push_back(std::move(r));
  }
  return all;
}

TEST(Service, MixedAnswersAtTheSameTimeAreThoseOfEachRequestAlone) {
  const std::vector<Request> requests = mixed();
  EngineOptions alone = tiny_engine();
  alone.context = 512;
  std::vector<Answer> want;
  want.reserve(requests.size());
  for (const Request& r : requests) want.push_back(answer_of(*load_engine(alone), r));
  for (const int sequences : {2, 3, 8}) {
    const auto service = start(sequences);
    for (int round = 0; round < 3; ++round) {  // later ones find beginnings of theirs in the slots
      std::vector<Watched> watched(requests.size());
      for (std::size_t i = 0; i < requests.size(); ++i)
        ASSERT_TRUE(service->submit(watched[i].job(requests[i])));
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Answer got = watched[i].wait();
        ASSERT_FALSE(got.error) << got.error->text();
        ASSERT_FALSE(want[i].error) << want[i].error->text();
        EXPECT_EQ(got.done.ids, want[i].done.ids) << "request " << i << " of " << sequences;
        EXPECT_EQ(got.text, want[i].text);
        EXPECT_EQ(got.logprobs(), want[i].logprobs());
        EXPECT_EQ(got.done.reason, want[i].done.reason);
      }
    }
    EXPECT_EQ(service->load().running + service->load().waiting, 0);
  }
}

TEST(Service, AChatGoesOnFromItsOwnSlotWhileOthersTalk) {
  const auto service = start(4);
  std::vector<std::vector<TokenId>> chats;
  for (std::uint64_t c = 0; c < 3; ++c) chats.push_back(random_prompt(60, 100 + c));
  for (int turn = 0; turn < 4; ++turn) {
    std::vector<Watched> watched(chats.size());
    for (std::size_t c = 0; c < chats.size(); ++c)
      ASSERT_TRUE(service->submit(watched[c].job(greedy(chats[c], 8))));
    for (std::size_t c = 0; c < chats.size(); ++c) {
      const Answer got = watched[c].wait();
      ASSERT_FALSE(got.error);
      const int least = turn > 0 ? 60 : 0;
      EXPECT_GE(got.done.reused_tokens, least) << "turn " << turn << " of chat " << c;
      const auto more = random_prompt(12, 7 * c + static_cast<std::uint64_t>(turn));
      chats[c].insert(chats[c].end(), got.done.ids.begin(), got.done.ids.end());
      chats[c].insert(chats[c].end(), more.begin(), more.end());
    }
  }
}

TEST(Service, ABeginningThatAnotherRequestUsesIsCopiedAndGivesTheSameAnswer) {
  const auto first = random_prompt(100, 1);
  auto second = first;
  const auto tail = random_prompt(20, 9);
  second.insert(second.end(), tail.begin(), tail.end());
  const auto service = start(2);
  Watched long_one, other;
  ASSERT_TRUE(service->submit(long_one.job(greedy(first, 300))));
  ASSERT_TRUE(long_one.wait_for_text(2));
  ASSERT_TRUE(service->submit(other.job(greedy(second, 10))));
  const Answer got = other.wait();
  EXPECT_GE(got.done.reused_tokens, 99);
  EXPECT_EQ(got.done.ids, answer_of(*load_engine(), greedy(second, 10)).done.ids);
  EngineOptions alone = tiny_engine();
  alone.context = 512;
  EXPECT_EQ(long_one.wait().done.ids, answer_of(*load_engine(alone), greedy(first, 300)).done.ids);
}

TEST(Service, AnAnswerGoesOnWhileALongPromptIsRead) {
  EngineOptions slow = tiny_engine();
  slow.chunk = 16;
  const auto service = start(2, 4, 4096, slow);
  Watched talker, reader;
  std::atomic<int> during{0};
  std::atomic<bool> reading{false};
  talker.watch = [&](const Answer&) {
    if (reading) ++during;
    return true;
  };
  reader.watch = [&](const Answer& a) {
    reading = a.pieces.empty();
    return true;
  };
  Request endless = greedy(random_prompt(10, 1), 2000);
  endless.sampling.bias = {{kEnd, -std::numeric_limits<float>::infinity()}};
  const auto ticket = service->submit(talker.job(endless));
  ASSERT_TRUE(ticket);
  ASSERT_TRUE(talker.wait_for_text(1));
  ASSERT_TRUE(service->submit(reader.job(greedy(random_prompt(1600, 2), 1))));
  const Answer read = reader.wait();
  ticket->cancel();
  EXPECT_EQ(talker.wait().done.reason, DoneReason::Cancelled);
  // At most 15 rows of the prompt in a pass, and in each pass one token of the other answer.
  EXPECT_GE(during, 1600 / 15 - 2);
  EXPECT_LE(read.done.reused_tokens, 1) << "bos";
}

TEST(Service, AShortPromptDoesNotWaitForALongOne) {
  EngineOptions slow = tiny_engine();
  slow.chunk = 16;
  const auto service = start(2, 4, 4096, slow);
  Watched long_one, short_one;
  std::atomic<bool> long_answered{false};
  std::atomic<bool> first{false};
  long_one.watch = [&](const Answer& a) {
    if (!a.pieces.empty()) long_answered = true;
    return true;
  };
  short_one.watch = [&](const Answer& a) {
    if (!a.pieces.empty() && !long_answered) first = true;
    return true;
  };
  ASSERT_TRUE(service->submit(long_one.job(greedy(random_prompt(3000, 1), 1))));
  ASSERT_TRUE(service->submit(short_one.job(greedy(random_prompt(40, 2), 1))));
  short_one.wait();
  long_one.wait();
  EXPECT_TRUE(first);
}

TEST(Service, CancelEndsWhatRunsAndWhatWaitsAndLeavesTheOthersAlone) {
  const auto service = start(1);
  Watched running, waiting, last;
  Request endless = greedy(random_prompt(10, 1), 400);
  endless.sampling.bias = {{kEnd, -std::numeric_limits<float>::infinity()}};
  const auto a = service->submit(running.job(endless));
  ASSERT_TRUE(a);
  ASSERT_TRUE(running.wait_for_text(3));
  const auto b = service->submit(waiting.job(greedy(random_prompt(20, 2), 5)));
  const auto c = service->submit(last.job(greedy(random_prompt(20, 3), 5)));
  ASSERT_TRUE(b && c);
  b->cancel();
  const Answer never = waiting.wait();
  EXPECT_EQ(never.done.reason, DoneReason::Cancelled);
  EXPECT_TRUE(never.pieces.empty());
  a->cancel();
  EXPECT_EQ(running.wait().done.reason, DoneReason::Cancelled);
  const Answer got = last.wait();
  EXPECT_EQ(got.done.ids, answer_of(*load_engine(), greedy(random_prompt(20, 3), 5)).done.ids);
  EXPECT_EQ(service->load().cancelled, 2U);
}

TEST(Service, RefusesWithNumbersWhatCannotFitOrWait) {
  Watched w[4];  // outlive the service, which tells them of its end
  std::atomic<bool> go_on{false};
  w[1].watch = [&go_on](const Answer&) {
    while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return true;
  };
  const auto service = start(1, 1, 256);
  const auto too_long = service->submit(w[0].job(greedy(random_prompt(300, 1), 5)));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Errc::TooLarge);
  EXPECT_NE(too_long.error().what.find("300"), std::string::npos);
  EXPECT_NE(too_long.error().what.find("256"), std::string::npos);
  Request endless = greedy(random_prompt(10, 1), 200);
  endless.sampling.bias = {{kEnd, -std::numeric_limits<float>::infinity()}};
  const auto a = service->submit(w[1].job(endless));
  const auto b = service->submit(w[2].job(endless));
  const auto full = service->submit(w[3].job(endless));
  go_on = true;
  ASSERT_TRUE(a && b);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::Busy);
  EXPECT_NE(full.error().what.find("1 requests run and 1 wait"), std::string::npos)
      << full.error().what;
  EXPECT_EQ(service->load().refused, 1U);
}

TEST(Service, EndsWhileRequestsRunAndEachOfThemIsTold) {
  std::vector<Watched> watched(6);
  {
    const auto service = start(2);
    Request endless = greedy(random_prompt(10, 1), 400);
    endless.sampling.bias = {{kEnd, -std::numeric_limits<float>::infinity()}};
    for (Watched& w : watched) ASSERT_TRUE(service->submit(w.job(endless)));
    ASSERT_TRUE(watched[0].wait_for_text(2));
  }
  for (Watched& w : watched) EXPECT_EQ(w.wait().done.reason, DoneReason::Cancelled);
}

TEST(Service, TheProbabilitiesOfAPromptAreThoseOfReadingItIdById) {
  const auto prompt = random_prompt(120, 4);
  std::vector<float> want;
  for (std::size_t n = 1; n < prompt.size(); n += 17) {
    Request r = greedy(head(prompt, n), 1);
    r.sampling.bias = {{prompt[n], 1000.0F}};
    r.logprobs = 0;
    want.push_back(answer_of(*load_engine(), r).pieces.at(0).logprob);
  }
  for (const int sequences : {1, 3}) {
    const auto service = start(sequences);
    for (int round = 0; round < 2; ++round) {
      Watched w;
      Job job = w.job(greedy(prompt, 1));
      job.request.prompt_logprobs = true;
      job.request.logprobs = 2;
      std::vector<PromptToken> tokens;
      const auto pass_on = job.on_event;
      job.on_event = [&tokens, pass_on](const Event& e) {
        if (const auto* t = std::get_if<PromptToken>(&e)) tokens.push_back(*t);
        return pass_on(e);
      };
      ASSERT_TRUE(service->submit(std::move(job)));
      EXPECT_EQ(w.wait().done.reused_tokens, 0);
      ASSERT_EQ(tokens.size(), prompt.size() - 1);
      for (std::size_t n = 1, i = 0; n < prompt.size(); n += 17, ++i) {
        EXPECT_EQ(tokens[n - 1].id, prompt[n]);
        EXPECT_EQ(tokens[n - 1].logprob, want[i]) << n;
        EXPECT_EQ(tokens[n - 1].best.size(), 2U);
      }
    }
  }
}

Request embedding(std::vector<TokenId> ids) {
  Request r;
  r.prompt = std::move(ids);
  r.embedding = true;
  return r;
}

TEST(Service, EmbeddingsBesideEachOtherAndBesideAnswersAreThoseOfEachTextAlone) {
  std::vector<Request> requests;
  for (const int n : {1, 7, 60, 200, 333, 12})
    requests.push_back(embedding(random_prompt(n, static_cast<std::uint64_t>(n))));
  requests.push_back(greedy(random_prompt(50, 2), 30));
  requests.push_back(greedy(random_prompt(90, 3), 1));
  requests.back().prompt_logprobs = true;
  std::vector<Answer> want;
  EngineOptions options = tiny_engine();
  for (const Request& r : requests) {
    Watched w;
    const auto alone = start(1, 1, 512, options);
    ASSERT_TRUE(alone->submit(w.job(r)));
    want.push_back(w.wait());
  }
  for (const int chunk : {5, 64, 512})
    for (const int sequences : {1, 3, 8}) {
      options.chunk = chunk;
      const auto service = start(sequences, 64, 512, options);
      std::vector<Watched> watched(requests.size());
      for (std::size_t i = 0; i < requests.size(); ++i)
        ASSERT_TRUE(service->submit(watched[i].job(requests[i])));
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Answer got = watched[i].wait();
        ASSERT_FALSE(got.error) << got.error->text();
        EXPECT_EQ(got.done.embedding, want[i].done.embedding) << i << " of chunk " << chunk;
        EXPECT_EQ(got.done.ids, want[i].done.ids);
      }
    }
}

TEST(Service, TextsToEmbedAreReadWholeInOnePassTogether) {
  EngineOptions options = tiny_engine();
  options.chunk = 512;
  std::atomic<bool> inside{false}, all{false};
  std::vector<Watched> watched(6);
  watched[0].watch = [&](const Answer&) {  // the others wait in the meantime
    inside = true;
    while (!all) std::this_thread::yield();
    return true;
  };
  const auto service = start(8, 64, 512, options);
  // Too few tokens to learn from how long one takes: the next pass has all the room.
  EXPECT_TRUE(service->submit(watched[0].job(embedding(random_prompt(4, 1)))));
  while (!inside) std::this_thread::yield();
  for (std::size_t i = 1; i < watched.size(); ++i)
    EXPECT_TRUE(service->submit(watched[i].job(
        embedding(random_prompt(i == 1 ? 300 : 50, static_cast<std::uint64_t>(i))))));
  all = true;
  for (Watched& w : watched) {
    const Answer got = w.wait();
    ASSERT_FALSE(got.error) << got.error->text();
    EXPECT_EQ(got.progress.size(), 1U) << got.progress.front().done << " tokens first";
  }
}

}  // namespace
}  // namespace bezel::test
