// Prefixes on disk: read once over all starts, and a damaged or foreign file does no harm.
#include "engine/batch/prefix_store.h"

#include <fstream>

#include "base/temp_folder.h"
#include "engine/batch/watched.h"

namespace bezel::test {
namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

EngineOptions with_folder(const TempFolder& folder) {
  EngineOptions o = tiny_engine();
  o.context = 1024;
  o.cache_folder = folder.file("cache");  // made by the engine
  return o;
}

TEST(PrefixStore, AfterARestartOnlyNewTokensAreReadAndTheAnswerIsTheSame) {
  const TempFolder folder;
  const EngineOptions o = with_folder(folder);
  const auto system = random_prompt(600, 1);
  auto prompt = system, other = system;
  prompt.insert(prompt.end(), {7, 8, 9});
  other.insert(other.end(), {9, 8, 7, 6});
  {
    const auto service = start(2, 4, 1024, o);
    EXPECT_EQ(service->engine().info().cache_note, "");
    Watched w;
    ASSERT_TRUE(service->submit(w.job(greedy(prompt, 20))));
    w.wait();
    const Status stopped = service->stop();
    EXPECT_TRUE(stopped) << stopped.error().text();
    Watched late;
    EXPECT_FALSE(service->submit(late.job(greedy(prompt, 20)))) << "it has stopped";
  }
  const auto service = start(2, 4, 1024, o);
  EXPECT_NE(service->engine().info().cache_note.find("stored prefixes"), std::string::npos);
  Watched w;
  ASSERT_TRUE(service->submit(w.job(greedy(other, 20))));
  const Answer got = w.wait();
  EXPECT_EQ(got.done.reused_tokens, 600);
  EngineOptions alone = tiny_engine();
  alone.context = 1024;
  EXPECT_EQ(got.done.ids, answer_of(*load_engine(alone), greedy(other, 20)).done.ids);
}

TEST(PrefixStore, AnotherTypeOfKeysAndValuesFindsNothingOfIt) {
  const TempFolder folder;
  EngineOptions o = with_folder(folder);
  const auto engine = load_engine(o);
  answer_of(*engine, greedy(random_prompt(300, 1), 5));
  ASSERT_TRUE(engine->store_prefixes());
  o.kv = KvKind::F16;
  const auto second = load_engine(o);
  EXPECT_EQ(second->info().cache_note, "");
  EXPECT_EQ(answer_of(*second, greedy(random_prompt(300, 1), 5)).done.reused_tokens, 0);
}

// A tree over a cache, without an engine.
class Stored : public testing::Test {
 protected:
  void SetUp() override {
    model_ = load_model(text_fixture("e2b/model.gguf"));
    ASSERT_NE(model_, nullptr);
    key_ = prefix_key(*model_, {});
    for (const int length : {5, 260, 300}) {
      const auto ids = random_prompt(length, 1);
      cache_.clear(0);
      ASSERT_TRUE(cache_.reserve(0, length));
      cache_.set_length(0, length);
      tree_.insert(ids, cache_.share(0, length));
    }
    ASSERT_TRUE(store_prefixes(tree_, cache_, key_, folder_.path(), 1U << 30U));
    path_ = prefix_file(folder_.path(), key_);
    bytes_ = contents(path_);
  }
  Result<std::string> load(std::uint64_t limit = 64U << 20U) {
    KvShape shape = shape_;
    shape.limit = limit;
    KvCache cache(model_->config(), shape);
    PrefixTree tree(cache);
    auto note = load_prefixes(tree, cache, key_, 320, folder_.path());
    found_ = tree.size();
    if (!note) {
      EXPECT_EQ(found_, 0);
      EXPECT_EQ(cache.used_bytes(), 0U);
    }
    return note;
  }
  std::unique_ptr<Model> model_ = load_model(text_fixture("e2b/model.gguf"));
  KvShape shape_{1, 512, 512, 256, DType::F16, 64U << 20U};
  KvCache cache_{model_->config(), shape_};
  PrefixTree tree_{cache_};
  TempFolder folder_;
  std::uint64_t key_ = 0;
  std::string path_, bytes_;
  int found_ = 0;
};

TEST_F(Stored, ComesBackWhole) {
  const auto note = load();
  ASSERT_TRUE(note) << note.error().text();
  EXPECT_EQ(found_, 3);
}

TEST_F(Stored, EveryDamagedByteAndEveryShorterFileIsRefusedInOneSentence) {
  for (std::size_t at = 0; at < bytes_.size(); at += at < 600 ? 1 : 997) {
    std::string damaged = bytes_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    write(path_, damaged);
    const auto note = load();
    ASSERT_FALSE(note) << "byte " << at;
    EXPECT_NE(note.error().text().find("are not used"), std::string::npos);
    EXPECT_EQ(note.error().text().find('\n'), std::string::npos);
  }
  for (std::size_t n = 0; n < bytes_.size(); n += n < 600 ? 7 : 4001) {
    write(path_, bytes_.substr(0, n));
    ASSERT_FALSE(load()) << n << " bytes";
  }
  write(path_, bytes_ + "x");
  EXPECT_FALSE(load());
}

TEST_F(Stored, AFileOfAnotherModelUnderThisNameIsRefused) {
  ++key_;
  write(prefix_file(folder_.path(), key_), bytes_);
  const auto note = load();
  ASSERT_FALSE(note);
  EXPECT_NE(note.error().text().find("another model"), std::string::npos) << note.error().text();
}

TEST_F(Stored, TakesWhatFitsTheMemoryAndNoMore) {
  const auto page = cache_.page_bytes();
  const auto note = load(page[0] + page[1]);  // 5 tokens are one page of each kind
  ASSERT_TRUE(note) << note.error().text();
  EXPECT_EQ(found_, 1);
}

TEST_F(Stored, TheFileStaysWithinItsLimit) {
  const auto page = cache_.page_bytes();
  ASSERT_TRUE(store_prefixes(tree_, cache_, key_, folder_.path(), page[0] + page[1]));
  EXPECT_LT(contents(path_).size(), page[0] + page[1] + 4096);
  ASSERT_TRUE(load());
  EXPECT_EQ(found_, 1);
}

TEST_F(Stored, AFolderThatCannotBeMadeIsAnError) {
  write(folder_.file("file"), "");
  const Status stored = store_prefixes(tree_, cache_, key_, folder_.file("file/sub"), 1U << 30U);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Errc::Io);
}

TEST_F(Stored, AnAnswerThatDoesNotFitLeavesItsRoomToOthers) {
  tree_.find(random_prompt(300, 1));  // the latest used is the first in the file, and the longest
  ASSERT_TRUE(store_prefixes(tree_, cache_, key_, folder_.path(), 1U << 30U));
  const auto page = cache_.page_bytes();
  const auto note = load(page[0] + page[1]);
  ASSERT_TRUE(note) << note.error().text();
  EXPECT_EQ(found_, 1);
}

TEST(PrefixKey, DiffersForAnotherConfigurationOfTheSameTensors) {
  const ModelFolder folder("e2b", true);
  const std::uint64_t key = prefix_key(*load_model(folder.path()), {});
  std::string text = contents(folder.file("config.json"));
  for (const std::string name : {"\"rms_norm_eps\":", "\"sliding_window\":"}) {
    const std::size_t at = text.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    std::string other = text;
    const std::size_t from = at + name.size();
    other.replace(from, other.find_first_of(",}\n", from) - from,
                  name == "\"rms_norm_eps\":" ? " 1e-5" : " 24");
    write(folder.file("config.json"), other);
    EXPECT_NE(prefix_key(*load_model(folder.path()), {}), key) << name;
  }
}

TEST(PrefixKey, DiffersForEverythingThatChangesBits) {
  const auto a = load_model(text_fixture("e2b/model.gguf"));
  const auto b = load_model(text_fixture("26b-a4b/model.gguf"));
  EngineOptions o, act, kv, weights;
  act.act = ActKind::F32;
  kv.kv = KvKind::BF16;
  weights.weights = WeightKind::Q8_0;
  const std::uint64_t key = prefix_key(*a, o);
  EXPECT_EQ(prefix_key(*load_model(text_fixture("e2b/model.gguf")), o), key);
  EXPECT_NE(prefix_key(*b, o), key);
  for (const EngineOptions* other : {&act, &kv, &weights}) EXPECT_NE(prefix_key(*a, *other), key);
}

}  // namespace
}  // namespace bezel::test
