// Models that other tools have put on the machine.
#include "hub/find/find.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "bezel/store.h"
#include "hub/world.h"

namespace bezel {
namespace {

namespace fs = std::filesystem;
using test::gguf_head;
using test::World;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
const std::string kSum(64, 'a');

std::unique_ptr<ModelStore> open_store() {
  auto store = ModelStore::open({.offline = true});
  EXPECT_TRUE(store);
  return store ? *std::move(store) : nullptr;
}

void put_in_cache(const World& w, const std::string& repo, const std::string& file,
                  const std::string& sum, const std::string& content) {
  const std::string folder = "hf/hub/" + hub::repo_folder(repo);
  w.folder().put(folder + "/blobs/" + sum, content);
  w.folder().put(folder + "/refs/main", kCommit);
  const fs::path link = w.folder().file(folder + "/snapshots/" + kCommit + "/" + file);
  fs::create_directories(link.parent_path());
  fs::create_symlink(
      (file.find('/') == std::string::npos ? "../../blobs/" : "../../../blobs/") + sum, link);
}

TEST(HubFind, EveryToolsFolderIsLookedInto) {
  const World w;
  put_in_cache(w, "o/gemma-4-E2B-it-GGUF", "gemma-4-E2B-it-Q4_K_M.gguf", kSum,
               gguf_head("gemma4", 35, "Gemma"));
  put_in_cache(w, "o/gemma-4-E2B-it-GGUF", "mmproj-F16.gguf", std::string(64, 'b'),
               gguf_head("clip", 1, "x"));
  w.folder().put("llama/o_r_gemma-3-1b-it-Q8_0.gguf", gguf_head("gemma3", 26, "Gemma 3 1b It"));
  w.folder().put(".lmstudio/models/o/r/gemma-3-4b-it-Q4_0.gguf", gguf_head("gemma3", 34, ""));
  w.folder().put("own/gemma-3-270m-q4_k_m.gguf", gguf_head("gemma3", 18, "base"));
  w.folder().put("own/notes.gguf", "no model at all");
  w.folder().put("ollama/blobs/sha256-" + kSum, gguf_head("gemma4", 42, ""));
  w.folder().put("ollama/manifests/registry.ollama.ai/library/gemma4/e4b",
                 R"({"layers":[{"mediaType":"application/vnd.ollama.image.license","digest":"x"},
                     {"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)" +
                     kSum + R"(","size":1}]})");
  const auto models = open_store()->list();
  std::string names;
  for (const StoredModel& m : models) names += m.place + " " + m.name + " " + m.type + "\n";
  EXPECT_EQ(names,
            "bezel gemma-3-270m-q4_k_m.gguf Q4_K_M\n"
            "hugging face o/gemma-4-E2B-it-GGUF:gemma-4-E2B-it-Q4_K_M.gguf Q4_K_M\n"
            "llama.cpp o_r_gemma-3-1b-it-Q8_0.gguf Q8_0\n"
            "lm studio o/r:gemma-3-4b-it-Q4_0.gguf Q4_0\n"
            "ollama gemma4:e4b \n");
  for (const StoredModel& m : models) {
    EXPECT_FALSE(m.ours) << m.name;
    EXPECT_GT(m.bytes, 1000U) << m.name;
    const auto found = open_store()->find(m.name);
    ASSERT_TRUE(found) << m.name;
    EXPECT_EQ(found->model.path, m.path);
  }
}

TEST(HubFind, AShortNameFindsTheModelByItsShape) {
  const World w;
  w.folder().put("own/whatever.gguf", gguf_head("gemma4", 35, "a base model"));
  auto found = open_store()->find("e2b");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->model.name, "whatever.gguf");
  EXPECT_NE(found->why.find("trained to answer"), std::string::npos) << found->why;
  w.folder().put("own/x-it-Q4_0.gguf", gguf_head("gemma4", 35, ""));
  w.folder().put("own/x-it-Q8_0.gguf", gguf_head("gemma4", 35, "", 2000));
  found = open_store()->find("e2b");
  EXPECT_EQ(found->model.name, "x-it-Q8_0.gguf");  // instructed, the largest that fits
  EXPECT_EQ(open_store()->find("e2b:q4_0")->model.name, "x-it-Q4_0.gguf");
  EXPECT_FALSE(open_store()->find("e2b:q5_0"));
  EXPECT_FALSE(open_store()->find("e4b"));
  EXPECT_EQ(open_store()->find("e4b").error().code, Errc::NotFound);
}

TEST(HubFind, ARepositoryIsFoundByItsNameAndTag) {
  const World w;
  put_in_cache(w, "o/r", "r-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""));
  put_in_cache(w, "o/r", "sub/r-Q8_0.gguf", std::string(64, 'c'),
               gguf_head("gemma4", 35, "", 3000));
  EXPECT_EQ(open_store()->find("o/r")->model.type, "Q8_0");
  EXPECT_EQ(open_store()->find("hf.co/o/r:q4_0")->model.type, "Q4_0");
  EXPECT_EQ(open_store()->find("o/r:sub/r-Q8_0.gguf")->model.type, "Q8_0");
  EXPECT_FALSE(open_store()->find("o/r:q5_0"));
  EXPECT_FALSE(open_store()->find("o/other"));
}

TEST(HubFind, AFolderOfSafetensorsIsAModelAndOneWithoutWeightsIsNone) {
  const World w;
  const std::string config = R"({"model_type": "gemma4", "torch_dtype": "bfloat16",
                                 "text_config": {"num_hidden_layers": 42}})";
  put_in_cache(w, "google/gemma-4-E4B-it", "config.json", std::string(40, 'd'), config);
  EXPECT_TRUE(open_store()->list().empty());
  put_in_cache(w, "google/gemma-4-E4B-it", "model.safetensors", kSum, "weights");
  const auto found = open_store()->find("e4b:bf16");
  ASSERT_TRUE(found);
  EXPECT_EQ(fs::path(found->model.path).filename(), kCommit);
}

TEST(HubFind, HostileStoresLeadNowhere) {
  const World w;
  w.folder().put("secret.gguf", gguf_head("gemma4", 35, "x"));
  for (const char* digest :
       {"sha256:../../secret.gguf", "sha256:", "../../secret.gguf", "sha256:AAAA"})
    w.folder().put(fmt::format("ollama/manifests/registry.ollama.ai/library/evil/{}",
                               std::hash<std::string>()(digest)),
                   fmt::format(R"({{"layers":[{{"mediaType":"application/vnd.ollama.image.model",
                                   "digest":"{}"}}]}})",
                               digest));
  w.folder().put("ollama/manifests/registry.ollama.ai/library/evil/json", "{\"layers\": [[[");
  w.folder().put("hf/hub/models--x/snapshots/y/z.gguf", gguf_head("gemma4", 35, ""));
  w.folder().put("hf/hub/models--..--x/snapshots/y/z.gguf", gguf_head("gemma4", 35, ""));
  EXPECT_TRUE(open_store()->list().empty());
}

TEST(HubFind, LyingFilesAreReadOnlyAsFarAsTheyGo) {
  const World w;
  const std::string head = gguf_head("gemma4", 35, "x", 0);
  for (std::size_t n = 0; n < head.size(); ++n)
    w.folder().put("own/cut.gguf", head.substr(0, n)), (void)open_store()->list();
  std::string huge = head;
  huge.replace(24, 8, std::string(8, '\xFF'));  // the length of the first key
  w.folder().put("own/cut.gguf", huge);
  EXPECT_EQ(open_store()->list().size(), 1U);
  EXPECT_EQ(open_store()->list()[0].architecture, "");
}

TEST(HubFind, OnlyOursIsRemovedAndOnlyWhatNobodyElseUses) {
  const World w;
  put_in_cache(w, "o/r", "r-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""));
  put_in_cache(w, "o/r", "r-Q8_0.gguf", std::string(64, 'c'), gguf_head("gemma4", 35, ""));
  auto store = open_store();
  const auto refused = store->remove("o/r:q4_0");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("not pulled by Bezel"), std::string::npos);
  EXPECT_EQ(store->list().size(), 2U);
  w.folder().put("hf/hub/models--o--r/.bezel/" + kSum, "");
  ASSERT_TRUE(store->remove("o/r:q4_0"));
  ASSERT_EQ(store->list().size(), 1U);
  EXPECT_EQ(store->list()[0].type, "Q8_0");
  EXPECT_FALSE(fs::exists(w.folder().file("hf/hub/models--o--r/blobs/" + kSum)));
  EXPECT_TRUE(fs::exists(w.folder().file("hf/hub/models--o--r/blobs/" + std::string(64, 'c'))));
}

TEST(HubFind, AnAliasIsAnotherNameAndIsRemovedAlone) {
  const World w;
  w.folder().put("own/x-it.gguf", gguf_head("gemma4", 35, ""));
  auto store = open_store();
  ASSERT_TRUE(store->alias("e2b", "mine"));
  ASSERT_TRUE(store->find("mine"));
  EXPECT_EQ(store->find("mine")->model.name, "x-it.gguf");
  for (const char* alias : {"", "../x", "a/b", "-x", "a b"})
    EXPECT_FALSE(store->alias("e2b", alias)) << alias;
  EXPECT_FALSE(store->alias("e4b", "other"));
  ASSERT_TRUE(store->remove("mine"));
  EXPECT_FALSE(store->find("mine"));
  EXPECT_EQ(store->list().size(), 1U);
}

}  // namespace
}  // namespace bezel
