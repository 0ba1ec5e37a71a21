// The runner: one sequence, fed in any pieces; what it refuses, and going back.
#include "engine/runner.h"

#include <cstring>
#include <fstream>
#include <limits>

#include "engine/harness.h"

namespace bezel::test {
namespace {

using RunnerPtr = std::unique_ptr<bezel::Runner>;

RunnerPtr open_runner(int chunk, int threads = 1, const EngineOptions& engine = tiny()) {
  RunnerOptions o;
  o.engine = engine;
  o.engine.chunk = chunk;
  o.engine.threads = threads;
  o.every_row = true;
  auto runner = bezel::Runner::open(o);
  EXPECT_TRUE(runner) << (runner ? "" : runner.error().text());
  return runner ? *std::move(runner) : nullptr;
}

// Feeds and gives the fingerprint of the rows from `read_from` on.
std::string print_of(bezel::Runner& runner, std::span<const TokenId> ids,
                     std::size_t read_from = 0) {
  Fingerprint print;
  bezel::Runner::Hooks hooks;
  auto expected = static_cast<int>(read_from);
  hooks.rows = [&](int first, ConstMat x) {
    EXPECT_EQ(first, expected);
    expected += x.rows;
    for (int r = 0; r < x.rows; ++r) print.add(x.row(r), static_cast<std::size_t>(x.cols));
    return true;
  };
  const Status fed = runner.feed(ids, read_from, hooks);
  EXPECT_TRUE(fed) << (fed ? "" : fed.error().text());
  EXPECT_EQ(expected, static_cast<int>(ids.size()));
  return print.hex();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Runner, AnyChunkGivesTheSameFingerprint) {
  const auto ids = random_prompt(90, 1);
  const std::string want = print_of(*open_runner(90), ids);
  EXPECT_NE(print_of(*open_runner(90), random_prompt(90, 2)), want);
  for (const int chunk : {1, 2, 7, 16, 33, 64, 89})
    for (const int threads : {1, 3})
      EXPECT_EQ(print_of(*open_runner(chunk, threads), ids), want) << chunk << " " << threads;
}

// The states behind the last norm of a pass that reads every row.
std::vector<float> states_of(bezel::Runner& runner, std::span<const TokenId> ids, bool logits) {
  Batch batch;
  batch.logits = logits;
  for (std::size_t i = 0; i < ids.size(); ++i) batch.add(0, static_cast<int>(i), ids[i], true);
  std::vector<float> out;
  const auto tap = [&](std::string_view what, int, ConstMat x) {
    for (int r = 0; what == "final_norm" && r < x.rows; ++r) {
      const auto row = x.row_span(r);
      out.insert(out.end(), row.begin(), row.end());
    }
  };
  const Status passed = runner.pass(batch, tap, nullptr);
  EXPECT_TRUE(passed) << (passed ? "" : passed.error().text());
  return out;
}

TEST(Runner, PassesWithoutLogitsReadEveryRowInTheirPlannedMemoryWithTheSameStates) {
  for (const char* fixture : {"e2b/model.gguf", "e2b-wide/Q4_0.gguf", "e4b", "12b", "26b-a4b",
                              "26b-wide/Q4_0.gguf", "31b", "gemma3-270m", "gemma3-4b"})
    for (const ActKind act : {ActKind::F32, ActKind::Int8})
      for (const int chunk : {3, 80}) {
        RunnerOptions o;
        o.engine = tiny(text_fixture(fixture));
        o.engine.act = act;
        o.engine.chunk = chunk;
        o.states = true;  // and logits of one row
        const auto runner = bezel::Runner::open(o);
        ASSERT_TRUE(runner) << runner.error().text();
        EXPECT_EQ((*runner)->max_read(), 1);
        ASSERT_EQ((*runner)->max_read(false), chunk);
        const auto ids = random_prompt(chunk, 5);
        const auto all = open_runner(chunk, 1, o.engine);
        EXPECT_EQ(states_of(**runner, ids, false), states_of(*all, ids, true)) << fixture;
      }
}

TEST(Runner, WeightsPackedForAnAnswerGiveTheSameRowsAndAreStated) {
  const auto ids = random_prompt(40, 1);
  EngineOptions packs = tiny(text_fixture("e2b-wide/Q4_0.gguf"));
  packs.act = ActKind::Int8;
  EngineOptions file = packs;
  file.weights = WeightKind::File;
  const auto rows_of = [&ids](bezel::Runner& runner) {
    std::string prints = print_of(runner, std::span(ids).first(30));
    for (std::size_t i = 30; i < 40; ++i) prints += print_of(runner, std::span(ids).subspan(i, 1));
    runner.clear();  // a prompt read from packed weights
    return prints + print_of(runner, ids);
  };
  const auto with = open_runner(16, 2, packs), without = open_runner(16, 2, file);
  EXPECT_EQ(rows_of(*with), rows_of(*without));
  EXPECT_GT(with->memory().packed, 0U);
  EXPECT_EQ(with->memory().packed, with->model().packed_bytes(false));
  EXPECT_EQ(without->memory().packed, 0U);
}

TEST(Runner, FloatWeightsAsQ8_0AreCloseAndTheSameForAnyChunksAndThreads) {
  const auto ids = random_prompt(40, 1);
  EngineOptions exact = tiny(text_fixture("12b/model.gguf"));
  exact.act = ActKind::Int8;
  EngineOptions rounded = exact;
  rounded.weights = WeightKind::Q8_0;
  const auto first = open_runner(40, 1, rounded);
  EXPECT_GT(first->memory().packed, 0U);
  const std::string want = print_of(*first, ids);
  EXPECT_NE(want, print_of(*open_runner(40, 1, exact), ids));
  EXPECT_EQ(want, print_of(*open_runner(1, 2, rounded), ids));
  EXPECT_EQ(want, print_of(*open_runner(7, 3, rounded), ids));
  const auto logits_of = [&ids](bezel::Runner& runner) {
    std::vector<float> all;
    bezel::Runner::Hooks hooks;
    hooks.rows = [&all](int, ConstMat x) {
      for (int r = 0; r < x.rows; ++r) {
        const auto row = x.row_span(r);
        all.insert(all.end(), row.begin(), row.end());
      }
      return true;
    };
    runner.clear();
    EXPECT_TRUE(runner.feed(ids, 0, hooks));
    return all;
  };
  const auto a = logits_of(*first), b = logits_of(*open_runner(40, 1, exact));
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * static_cast<double>(a[i] - b[i]);
    size += b[i] * static_cast<double>(b[i]);
  }
  EXPECT_LT(error, 0.02 * size) << "random layers of width 64 make the rounding large";
}

TEST(Runner, WeightsAsQ8_0NeedInt8Activations) {
  RunnerOptions o;
  o.engine = tiny();
  o.engine.weights = WeightKind::Q8_0;
  o.engine.act = ActKind::F32;
  const auto runner = bezel::Runner::open(o);
  ASSERT_FALSE(runner);
  EXPECT_TRUE(has(runner.error().text(), "--act int8")) << runner.error().text();
}

TEST(Runner, AnyCutOfTheIdsIntoCallsGivesTheSameRows) {
  const auto ids = random_prompt(80, 1);
  const std::string want = print_of(*open_runner(80), ids, 60);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Dice dice(seed);
    const auto runner = open_runner(1 + dice.below(20));
    for (std::size_t at = 0; at < 60;) {
      const auto n = std::min<std::size_t>(60 - at, static_cast<std::size_t>(dice.below(25)));
      ASSERT_TRUE(runner->feed(std::span(ids).subspan(at, n), n, {}));  // no row is read
      at += n;
    }
    EXPECT_EQ(runner->length(), 60);
    EXPECT_EQ(print_of(*runner, std::span(ids).subspan(60)), want) << "seed " << seed;
  }
}

TEST(Runner, RefusesIdsOutOfRangeWithNumbersAndFeedsNone) {
  const auto runner = open_runner(4);
  for (const TokenId bad : {-1, 320, std::numeric_limits<TokenId>::max()}) {
    auto ids = random_prompt(10, 1);
    ids[6] = bad;
    const Status fed = runner->feed(ids, 9, {});
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code, Errc::BadInput);
    EXPECT_TRUE(has(fed.error().what, "id " + std::to_string(bad) + " (number 7"))
        << fed.error().what;
    EXPECT_TRUE(has(fed.error().what, "320 ids"));
    EXPECT_EQ(runner->length(), 0);
  }
}

TEST(Runner, RefusesMoreIdsThanFitWithNumbersAndFeedsNone) {
  const auto runner = open_runner(64);
  ASSERT_TRUE(runner->feed(random_prompt(200, 1), 200, {}));
  const auto more = random_prompt(57, 2);
  const Status fed = runner->feed(more, 57, {});
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::TooLarge);
  EXPECT_TRUE(has(fed.error().what, "57 tokens")) << fed.error().what;
  EXPECT_TRUE(has(fed.error().what, "56 of the context's 256")) << fed.error().what;
  EXPECT_EQ(runner->length(), 200);
  EXPECT_TRUE(runner->feed(head(more, 56), 56, {}));
  EXPECT_EQ(runner->length(), runner->context());
}

TEST(Runner, GoesBackAndOnAsIfNothingHadBeen) {
  const auto ids = random_prompt(120, 1), other = random_prompt(60, 9);
  const auto runner = open_runner(16);
  for (const std::size_t keep : {1UL, 17UL, 64UL, 99UL}) {
    const auto cold = open_runner(16);
    ASSERT_TRUE(cold->feed(head(ids, keep), keep, {}));
    const std::string want = print_of(*cold, other);
    runner->clear();
    EXPECT_EQ(runner->length(), 0);
    ASSERT_TRUE(runner->feed(ids, ids.size(), {}));
    ASSERT_TRUE(runner->rewind(static_cast<int>(keep)));
    EXPECT_EQ(runner->length(), static_cast<int>(keep));
    EXPECT_EQ(print_of(*runner, other), want) << keep;
  }
  EXPECT_TRUE(runner->rewind(runner->length()));
  EXPECT_TRUE(runner->rewind(0));
  EXPECT_EQ(runner->length(), 0);
}

TEST(Runner, ForgetsEverythingWhenItCannotGoBackThatFar) {
  EngineOptions o = tiny();
  o.context = 1024;
  const auto runner = open_runner(16, 1, o);
  ASSERT_TRUE(runner->feed(random_prompt(900, 1), 900, {}));
  EXPECT_FALSE(runner->rewind(901)) << "never held";
  EXPECT_EQ(runner->length(), 0);
  ASSERT_TRUE(runner->feed(random_prompt(900, 1), 900, {}));
  EXPECT_FALSE(runner->rewind(100)) << "the sliding layers hold two pages";
  EXPECT_EQ(runner->length(), 0);
  const auto ids = random_prompt(50, 3);
  EXPECT_EQ(print_of(*runner, ids), print_of(*open_runner(16), ids));
}

TEST(Runner, StopsWhenAHookSaysSoAndKeepsWhatWasFed) {
  const auto ids = random_prompt(50, 1);
  const std::string want = print_of(*open_runner(50), ids, 40);
  const auto runner = open_runner(8);
  bezel::Runner::Hooks hooks;
  std::vector<int> seen;
  hooks.progress = [&](int done) {
    seen.push_back(done);
    return done < 24;
  };
  const Status fed = runner->feed(ids, 50, hooks);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::Cancelled);
  EXPECT_EQ(seen, (std::vector<int>{8, 16, 24}));
  EXPECT_EQ(runner->length(), 24);

  bezel::Runner::Hooks rows;
  rows.rows = [](int first, ConstMat) { return first < 8; };
  const Status again = runner->feed(std::span(ids).subspan(24, 16), 4, rows);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::Cancelled);
  EXPECT_EQ(runner->length(), 40) << "the chunk whose rows were shown is held";
  EXPECT_EQ(print_of(*runner, std::span(ids).subspan(40)), want);
}

TEST(Runner, TheTapSeesTheRowsOfEveryChunk) {
  const auto runner = open_runner(8);
  int rows = 0;
  bezel::Runner::Hooks hooks;
  hooks.tap = [&](const char* what, int, ConstMat x) {
    if (std::strcmp(what, "final_norm") == 0) rows += x.rows;
  };
  ASSERT_TRUE(runner->feed(random_prompt(20, 1), 0, hooks));
  EXPECT_EQ(rows, 20);
}

// A copy of e2b whose per-layer row of one id is not a number.
void write_poisoned(const TempFolder& folder, TokenId id) {
  for (const char* name : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(text_fixture("e2b/") + name, folder.file(name));
  const std::string path = folder.file("model.safetensors");
  std::uint64_t at = 0;
  {
    const auto map = MappedFile::open(path);
    ASSERT_TRUE(map);
    TensorFile file;
    ASSERT_TRUE(parse_safetensors((*map)->bytes(), path, file));
    for (const Tensor& t : file.tensors)
      if (has(t.name, "embed_tokens_per_layer")) {
        const auto row = t.data.size() / static_cast<std::size_t>(t.shape[0]);
        at = static_cast<std::uint64_t>(t.data.data() - (*map)->bytes().data()) +
             row * static_cast<std::size_t>(id);
      }
  }
  ASSERT_GT(at, 0U);
  std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(at));
  const std::string nan(16, '\xFF');
  out.write(nan.data(), static_cast<std::streamsize>(nan.size()));
}

TEST(Runner, ANumericErrorClearsTheSequenceAndTheNextOneIsRight) {
  const TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(write_poisoned(folder, 77));
  const auto runner = open_runner(8, 1, tiny(folder.path()));
  ASSERT_NE(runner, nullptr);
  std::vector<TokenId> good = random_prompt(30, 1), bad = good;
  std::replace(good.begin(), good.end(), 77, 78);
  bad[20] = 77;
  const Status fed = runner->feed(bad, 0, {});
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::Numeric);
  EXPECT_EQ(runner->length(), 0);
  const auto untouched = open_runner(8, 1, tiny(text_fixture("e2b")));
  EXPECT_EQ(print_of(*runner, good), print_of(*untouched, good));
}

std::string refusal(const RunnerOptions& o, Errc code) {
  const auto runner = bezel::Runner::open(o);
  EXPECT_FALSE(runner);
  if (runner) return "";
  EXPECT_EQ(runner.error().code, code) << runner.error().text();
  return runner.error().text();
}

TEST(Runner, RefusesOptionsOutOfRangeWithNumbers) {
  RunnerOptions o;
  o.engine = tiny();
  const auto with = [&](auto change) {
    RunnerOptions changed = o;
    change(changed);
    return changed;
  };
  using R = RunnerOptions;
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.threads = -1; }), Errc::BadInput), "-1"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.threads = 1025; }), Errc::BadInput), "1025"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.chunk = -3; }), Errc::BadInput), "-3"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.chunk = 65537; }), Errc::BadInput), "65537"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.context = 4097; }), Errc::TooLarge), "4096"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.engine.context = -2; }), Errc::BadInput), "-2"));
  EXPECT_TRUE(has(refusal(with([](R& r) { r.positions = 5000; }), Errc::TooLarge), "5000"));
  const std::string both = refusal(with([](R& r) { r.positions = 300; }), Errc::TooLarge);
  EXPECT_TRUE(has(both, "300") && has(both, "256")) << both;
  const auto missing = bezel::Runner::open(with([](R& r) { r.engine.model_path += ".not"; }));
  ASSERT_FALSE(missing);
  EXPECT_TRUE(has(missing.error().text(), "model.gguf.not")) << missing.error().text();
  const auto isa = bezel::Runner::open(with([](R& r) { r.engine.isa = "mmx"; }));
  ASSERT_FALSE(isa);
  EXPECT_TRUE(has(isa.error().text(), "mmx")) << isa.error().text();
}

TEST(Runner, TakesTheContextThatItsPositionsNeed) {
  RunnerOptions o;
  o.engine = tiny();
  o.engine.context = 0;
  o.positions = 37;
  const auto exact = bezel::Runner::open(o);
  ASSERT_TRUE(exact);
  EXPECT_EQ((*exact)->context(), 37);
  EXPECT_EQ((*exact)->chunk(), 16);
  o.engine.context = 64;
  o.engine.chunk = 1000;
  const auto given = bezel::Runner::open(o);
  ASSERT_TRUE(given);
  EXPECT_EQ((*given)->context(), 64);
  EXPECT_EQ((*given)->chunk(), 64) << "a chunk is never longer than the context";
  o.engine.context = 0;
  o.positions = 0;
  const auto free_choice = bezel::Runner::open(o);
  ASSERT_TRUE(free_choice);
  EXPECT_GE((*free_choice)->context(), 256);
}

}  // namespace
}  // namespace bezel::test
