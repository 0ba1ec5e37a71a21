// The program killed at random moments of a pull, and `bezel` with names.
#include <gtest/gtest.h>

#include <random>

#include "apps/program.h"
#include "base/file.h"
#include "hub/test_hub.h"
#include "hub/world.h"

namespace bezel::test {
namespace {

const std::string kRepo = "o/gemma-4-E2B-it-GGUF";

// Links count, too.
std::string names_in(const World& world, const std::string& folder) {
  std::string out;
  std::error_code error;
  for (const auto& e : std::filesystem::directory_iterator(world.folder().file(folder), error))
    out += e.path().filename().string() + " ";
  return out;
}

TEST(HubKill, APullKilledAtRandomMomentsEndsInTheRightFile) {
  const int kills = ::getenv("BEZEL_LONG") != nullptr ? 100 : kSanitized ? 5 : 15;
  TestHub hub;
  const std::string content = gguf_head("gemma4", 35, "Gemma", 60'000'000);
  hub.add(kRepo, "x-Q4_0.gguf", {content});
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same moments every time
  int ended = 0;
  for (int done = 0; done < kills;) {
    const World world;  // a fresh machine for every file that came to its end
    world.set("HF_ENDPOINT", hub.url());
    hub.set_bytes_per_second(60'000'000);
    for (;;) {
      Child child({"pull", kRepo});
      const bool kill = done < kills;
      if (kill) {
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 900));
        child.signal(SIGKILL);
        ++done;
      }
      const Ran ran = child.finish();
      for (const std::string& file : world.files()) {  // never a half file under its name
        if (file.find("/blobs/") == std::string::npos || file.find(".bezel.") != std::string::npos)
          continue;
        ASSERT_TRUE(*read_file(world.folder().file(file), 1U << 30U) == content) << file;
      }
      if (ran.signal == SIGKILL) continue;
      ASSERT_EQ(ran.status, 0) << testing::PrintToString(ran);
      ++ended;
      ASSERT_TRUE(*read_file(ran.out.substr(0, ran.out.find('\n')), 1U << 30U) == content);
      for (const std::string& file : world.files())
        EXPECT_EQ(file.find(".bezel."), std::string::npos) << file;
      const std::string folder = "hf/hub/models--o--gemma-4-E2B-it-GGUF/";
      EXPECT_EQ(names_in(world, folder + "snapshots/" + TestHub::kCommit), "x-Q4_0.gguf ");
      EXPECT_EQ(names_in(world, folder + "refs"), "main ");
      EXPECT_EQ(names_in(world, folder + "blobs"), sha256_of(content) + " ");
      break;
    }
  }
  EXPECT_GT(ended, 0);
  RecordProperty("kills", kills);
}

TEST(HubProgram, NamesThatLeadNowhereAreOneSentenceForEveryCommand) {
  const World world;
  TestHub hub;
  world.set("HF_ENDPOINT", hub.url());
  for (const char* command :
       {"run", "chat", "serve", "show", "bench", "doctor", "perplexity", "logits"}) {
    Words words{command, "e2b", "--offline"};
    if (std::string(command) == "run") words.emplace_back("hello");
    if (std::string(command) == "perplexity") words = words + Words{"--ids-file", "/dev/null"};
    if (std::string(command) == "logits")
      words = words + Words{"--ids", "1,2", "--output", "/dev/null"};
    EXPECT_TRUE(has(complaint(words), "bezel pull e2b")) << command;
  }
  EXPECT_TRUE(has(complaint({"show", "nothing-like-it"}), "names are e2b"));
  EXPECT_TRUE(has(complaint({"show", "o/r"}), "bezel pull o/r"));
  EXPECT_TRUE(has(complaint({"show", "/nowhere/x.gguf"}), "no such file"));
  EXPECT_TRUE(has(complaint({"show", world.folder().path()}), world.folder().path()));
  EXPECT_TRUE(has(complaint({"pull", "../x"}), "no model's name"));
  EXPECT_EQ(hub.n_requests(), 0U);
  EXPECT_TRUE(world.files().empty());
}

TEST(HubProgram, EveryNameThatListPrintsOpensTheModel) {
  const World world;
  const auto model = read_file(std::string(BEZEL_FIXTURES) + "/text/e2b/model.gguf", 1U << 26U);
  ASSERT_TRUE(model);
  for (const char* name : {"plain.gguf", "with two words.gguf", "(odd)+name.gguf"}) {
    world.folder().put(std::string("own/") + name, *model);
    EXPECT_TRUE(has(output_of({"list"}), name));
    EXPECT_TRUE(has(output_of({"show", name, "--offline"}), "gemma4")) << name;
  }
  EXPECT_TRUE(has(complaint({"show", "other.gguf"}), "neither a file or folder nor a model's"));
  EXPECT_TRUE(has(complaint({"show", "two other words.gguf"}), "no such file"));
  EXPECT_TRUE(has(complaint({"show", "folder/other.gguf"}), "no such file"));
}

TEST(HubProgram, PullListUseAndRemove) {
  const World world;
  TestHub hub;
  const auto model = read_file(std::string(BEZEL_FIXTURES) + "/text/e2b/model.gguf", 1U << 26U);
  ASSERT_TRUE(model);
  hub.add("o/small", "small-F32.gguf", {*model});
  world.set("HF_ENDPOINT", hub.url());
  const Ran pulled = bezel({"pull", "o/small"});
  ASSERT_EQ(pulled.status, 0) << testing::PrintToString(pulled);
  EXPECT_TRUE(has(output_of({"list"}), "o/small:small-F32.gguf"));
  EXPECT_TRUE(has(output_of({"show", "o/small", "--offline"}), "gemma4"));
  EXPECT_TRUE(has(complaint({"rm", "o/small"}), "--yes"));
  world.folder().put("own/aliases.json", R"({"mine": "o/small:small-F32.gguf"})");
  EXPECT_TRUE(has(output_of({"show", "mine", "--offline"}), "gemma4"));
  EXPECT_EQ(bezel({"rm", "mine"}).status, 0) << "an alias goes alone, and without a question";
  EXPECT_TRUE(has(output_of({"list"}), "o/small:small-F32.gguf"));
  EXPECT_FALSE(has(world.folder().get("own/aliases.json"), "mine"));
  EXPECT_EQ(bezel({"rm", "o/small", "--yes"}).status, 0);
  EXPECT_FALSE(has(output_of({"list"}), "o/small"));
  EXPECT_TRUE(has(complaint({"pull", "o/small", "--offline"}), "no connection is allowed"));
}

}  // namespace
}  // namespace bezel::test
