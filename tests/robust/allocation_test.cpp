// Memory that runs out while a model loads: the n-th allocation fails, for every n. Loading ends in
// std::bad_alloc for the caller or in an Error, never in a crash, and leaks nothing.
#include <gtest/gtest.h>

#include <new>

#include "engine/harness.h"
#include "formats/tensor_file.h"
#include "model/model.h"
#include "robust/failing_new.h"
#include "text/tokenizer.h"

namespace bezel {
namespace {

// Fails allocation 0, 1, 2, … of `load` (every one up to 2,000, then every 97th) until it succeeds;
// returns how many failures were seen, and whether memory came back each time.
template <class Load>
void fail_each_allocation(const Load& load, long least_failures) {
  load();  // whatever the libraries keep for good is taken here
  long failures = 0;
  for (long n = 0;; n += n < 2000 ? 1 : 97) {
    const long before = alive.load();
    countdown.store(n);
    bool done = false;
    try {
      done = load();
    } catch (const std::bad_alloc&) {
      done = false;
    }
    const bool reached = countdown.exchange(-1) < 0;
    ASSERT_EQ(alive.load(), before) << "memory is lost when allocation " << n << " fails";
    if (!reached) {
      EXPECT_TRUE(done);
      break;
    }
    ++failures;
  }
  EXPECT_GE(failures, least_failures);
}

TEST(Allocation, AModelThatLoadsWithoutMemoryEndsCleanlyAtEveryAllocation) {
  for (const char* name : {"/text/e2b", "/text/26b-a4b/model.gguf", "/text/12b"}) {
    const std::string path = std::string(BEZEL_FIXTURES) + name;
    fail_each_allocation(
        [&] {
          auto file = open_tensor_file(path);
          if (!file) return false;
          return static_cast<bool>(Model::load(*std::move(file)));
        },
        100);
  }
}

TEST(Allocation, ATokenizerThatLoadsWithoutMemoryEndsCleanlyAtEveryAllocation) {
  const std::string small = std::string(BEZEL_FIXTURES) + "/tokenizer/small/";
  fail_each_allocation(
      [&] { return static_cast<bool>(Tokenizer::load_json(small + "tokenizer.json")); }, 10);
  fail_each_allocation(
      [&] {
        auto file = open_tensor_file(small + "tokenizer.gguf");
        return file && Tokenizer::load(*file);
      },
      10);
}

TEST(Allocation, AnAnswerWithoutMemoryEndsInAnErrorAndTheNextOneIsRight) {
  const test::ModelFolder model("e2b");
  EngineOptions options = test::tiny(model.path());
  options.context = 1024;
  const auto engine = test::load_engine(options), spared = test::load_engine(options);
  long failures = 0;
  for (long n = 0;; n += n < 60 ? 1 : 7) {
    // Goes on from what is kept in the middle of a page, and crosses the edge of one.
    auto prompt = test::random_prompt(250, 1);
    for (const auto id : test::random_prompt(20, static_cast<std::uint64_t>(n)))
      prompt.push_back(id);
    const Request request = test::greedy(prompt, 5);
    countdown.store(n);
    const auto answer = engine->generate(request, [](const Event&) { return true; });
    const bool reached = countdown.exchange(-1) < 0;
    if (!answer) {
      ASSERT_EQ(answer.error().code, Errc::NoMemory) << answer.error().text();
      ++failures;
    }
    const auto again = test::answer_of(*engine, request);
    ASSERT_FALSE(again.error) << n << ": " << again.error->text();
    ASSERT_EQ(again.done.ids, test::answer_of(*spared, request).done.ids) << n;
    if (!reached) break;
  }
  EXPECT_GT(failures, 20);
}

}  // namespace
}  // namespace bezel
