// bezel logits.
#include "apps/models.h"
#include "base/file.h"

namespace bezel::test {
namespace {

const std::vector<std::string> kModels{"e2b/model.gguf", "e2b", "12b", "26b-a4b/model.gguf",
                                       "gemma3-270m/model.gguf"};

std::string folder_of(const std::string& model) {
  return model.substr(0, model.find('/'));
}

// Name and shape of every tensor in the file, in order.
std::string contents_of(const std::string& path) {
  auto file = open_tensor_file(path);
  EXPECT_TRUE(file) << (file ? "" : file.error().text());
  std::string out;
  if (file)
    for (const Tensor& t : file->tensors)
      out += fmt::format("{} {} {}\n", t.name, format(t.type).name, t.shape_text());
  return out;
}

class Logits : public testing::Test {
 protected:
  // Writes the numbers and gives the file's bytes.
  std::string numbers(const std::string& model, const std::vector<std::int32_t>& ids,
                      const Words& flags, const std::string& name = "out.safetensors") {
    const Words words = Words{"logits",      text_fixture(model), "--ids",
                              ids_text(ids), "--output",          folder_.file(name)} +
                        flags;
    const Ran ran = bezel(words);
    EXPECT_EQ(ran.status, 0) << testing::PrintToString(words) << testing::PrintToString(ran);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "");
    return folder_.get(name);
  }
  std::string out() const { return folder_.file("out.safetensors"); }

  static std::vector<std::int32_t> prompt_of(const std::string& model) {
    return Expected(text_fixture(folder_of(model)) + "/expected.safetensors")
        .values<std::int32_t>("prompt");
  }

  TempFolder folder_;
};

TEST_F(Logits, TheFileHoldsWhatWasAskedForInTheRightShapes) {
  const std::vector<std::int32_t> ids{2, 5, 7, 11, 13};
  numbers("e2b", ids, {});
  EXPECT_EQ(contents_of(out()), "logits F32 [5, 320]\n");
  numbers("e2b", ids, {"--last", "2"});
  EXPECT_EQ(contents_of(out()), "logits F32 [2, 320]\n");
  numbers("e2b", ids, {"--greedy", "3"});
  EXPECT_EQ(contents_of(out()),
            "logits F32 [5, 320]\ngreedy I32 [3]\ngreedy_logits F32 [3, 320]\n");
  numbers("e2b", ids, {"--layers", "--last", "1", "--greedy", "1"});
  std::string want = "logits F32 [1, 320]\nembedding F32 [5, 64]\n";
  for (int i = 0; i < 10; ++i) want += fmt::format("layer.{} F32 [5, 64]\n", i);
  want += "final_norm F32 [5, 64]\ngreedy I32 [1]\ngreedy_logits F32 [1, 320]\n";
  EXPECT_EQ(contents_of(out()), want);
}

TEST_F(Logits, LayersLogitsAndGreedyStepsAreTheReference) {
  auto index_text = read_file(text_fixture("index.json"), 1U << 20U);
  ASSERT_TRUE(index_text);
  const Json index = json_of(*index_text);
  for (const std::string& model : kModels) {
    const Json noise = index[folder_of(model)].at("float32_noise");
    const Expected want(text_fixture(folder_of(model)) + "/expected.safetensors");
    numbers(model, prompt_of(model), {"--act", "f32", "--kv", "f32", "--layers", "--greedy", "24"});
    const Expected got(out());
    for (const auto& [what, bound] : noise.items()) {
      if (what == "long_logits") continue;
      const auto a = got.values<float>(what), b = want.values<float>(what);
      ASSERT_EQ(a.size(), b.size()) << model << " " << what;
      for (std::size_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(a[i], b[i], std::max(2e-5, 4 * bound.get<double>())) << model << " " << what;
    }
    EXPECT_EQ(got.values<std::int32_t>("greedy"), want.values<std::int32_t>("greedy")) << model;
    const auto a = got.values<float>("greedy_logits"), b = want.values<float>("greedy_logits");
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], std::max(2e-5, 4 * noise.at("logits").get<double>())) << model;
  }
}

TEST_F(Logits, TheBytesAreTheSameForAnyThreadsChunkAndInstructionSet) {
  for (const std::string model : {"e2b/model.gguf", "26b-a4b/model.gguf", "e2b-wide/Q4_K_M.gguf"}) {
    const auto ids = prompt_of("e2b");
    const Words what{"--layers", "--greedy", "6"};
    const std::string one = numbers(model, ids, what + Words{"--threads", "1"});
    ASSERT_GT(one.size(), 40U * 320 * 4);
    std::vector<Words> others;
    for (const char* threads : compared({"1", "2", "3"}))
      for (const char* chunk : {"1", "7", "64"})
        others.push_back({"--threads", threads, "--chunk", chunk});
    for (const std::string& isa : isas_here())
      for (const char* chunk : compared({"7", "64"}))
        others.push_back({"--isa", isa, "--chunk", chunk, "--threads", "2"});
    for (const Words& flags : others)
      EXPECT_TRUE(numbers(model, ids, what + flags, "other") == one)
          << model << testing::PrintToString(flags);
    // The comparison sees a difference where there must be one.
    EXPECT_FALSE(numbers(model, ids, what + Words{"--kv", "bf16"}, "other") == one);
  }
}

TEST_F(Logits, LastRowsAreTheEndOfAllRows) {
  const auto ids = prompt_of("e2b");
  numbers("e2b", ids, {});
  const auto all = Expected(out()).values<float>("logits");
  for (const std::size_t n : {1U, 3U, 40U})
    for (const char* chunk : {"1", "7", "64"}) {
      numbers("e2b", ids, {"--last", std::to_string(n), "--chunk", chunk});
      const auto last = Expected(out()).values<float>("logits");
      ASSERT_EQ(last.size(), n * 320);
      EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - std::ptrdiff_t(n * 320)));
    }
}

TEST_F(Logits, IdsFromAFileAreTheIdsFromTheCommandLine) {
  const std::string direct = numbers("e2b", {2, 5, 7}, {});
  const std::string file = folder_.put("ids.txt", "2, 5\n\t7\r\n");
  output_of({"logits", text_fixture("e2b"), "--ids-file", file, "--output", folder_.file("other")});
  EXPECT_TRUE(folder_.get("other") == direct);
}

TEST_F(Logits, GreedyLogitsBeginWithTheLastRow) {
  numbers("e2b", {2, 5, 7}, {"--greedy", "2"});
  const Expected got(out());
  const auto rows = got.values<float>("logits"), greedy = got.values<float>("greedy_logits");
  EXPECT_TRUE(std::equal(greedy.begin(), greedy.begin() + 320, rows.end() - 320));
  const auto best = std::max_element(greedy.begin(), greedy.begin() + 320) - greedy.begin();
  EXPECT_EQ(got.values<std::int32_t>("greedy")[0], best);
}

TEST_F(Logits, AFailureLeavesNoFileAndKeepsAnOldOne) {
  const std::string model = text_fixture("e2b"), file = folder_.file("out");
  const std::string bad = "2,5,320";
  EXPECT_TRUE(has(complaint({"logits", model, "--ids", bad, "--output", file}), "320"));
  EXPECT_EQ(folder_.n_files(), 0);
  // Found only after many passes.
  complaint({"logits", model, "--ids", "2,5,7,9,319,320", "--chunk", "1", "--output", file});
  EXPECT_EQ(folder_.n_files(), 0);
  folder_.put("out", "old");
  complaint({"logits", model, "--ids", bad, "--output", file});
  EXPECT_EQ(folder_.get("out"), "old");
  EXPECT_EQ(folder_.n_files(), 1);
}

TEST_F(Logits, PlacesThatCannotBeWrittenAreOneSentence) {
  const std::string model = text_fixture("e2b"), plain = folder_.put("plain", "x");
  for (const std::string& place :
       {folder_.file("missing/out"), plain + "/out", folder_.path(), std::string("/dev/full"),
        std::string("/proc/out"), std::string()})
    complaint({"logits", model, "--ids", "2,5", "--output", place});
  EXPECT_TRUE(
      has(complaint({"logits", model, "--ids", "2,5", "--output", "/dev/full"}), "disk is full"));
  EXPECT_EQ(folder_.n_files(), 1);
}

TEST_F(Logits, AnInterruptEndsWith130AndLeavesNoFile) {
  const TalkingModel model;
  std::string ids = "2";
  for (int i = 0; i < 100000; ++i) ids += ",5";
  const std::string list = folder_.put("ids.txt", ids);
  Child child({"logits", model.path(), "--ids-file", list, "--chunk", "1", "--threads", "1",
               "--last", "1", "--output", folder_.file("out")});
  const auto writes = [&] { return folder_.n_files() > 1; };
  while (!writes() && child.pump(5)) {
  }
  EXPECT_TRUE(writes());
  ::usleep(20000);
  child.signal(SIGINT);
  const Ran ran = child.finish();
  EXPECT_EQ(ran.status, 130) << testing::PrintToString(ran);
  EXPECT_EQ(ran.err, "bezel: stopped\n");
  EXPECT_EQ(folder_.n_files(), 1);
}

TEST_F(Logits, WhatIsAskedForMustFit) {
  const std::string model = text_fixture("e2b"), file = folder_.file("out");
  EXPECT_TRUE(has(complaint({"logits", model, "--ids", "2,5", "--last", "3", "--output", file}),
                  "--last 3"));
  const std::string text =
      complaint({"logits", model, "--ids", "2,5", "--greedy", "4096", "--output", file});
  EXPECT_TRUE(has(text, "4097") && has(text, "4096")) << text;
  EXPECT_TRUE(
      has(complaint({"logits", model, "--ids", "2,5,7", "--ctx", "2", "--output", file}), "3"));
  complaint({"logits", model, "--output", file});
  complaint({"logits", model, "--ids", "2", "--ids-file", file, "--output", file});
  complaint({"logits", model, "--ids", "2"});
  EXPECT_EQ(folder_.n_files(), 0);
}

}  // namespace
}  // namespace bezel::test
