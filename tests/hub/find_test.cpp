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
                  const std::string& sum, const std::string& content,
                  const std::string& commit = kCommit, const std::string& ref = "main") {
  const std::string folder = "hf/hub/" + hub::repo_folder(repo);
  w.folder().put(folder + "/blobs/" + sum, content);
  w.folder().put(folder + "/refs/" + ref, commit);
  const fs::path link = w.folder().file(folder + "/snapshots/" + commit + "/" + file);
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
  w.folder().put("ollama/blobs/sha256-x/y", "");  // what "sha256:x/../../../secret.gguf" needs
  ASSERT_TRUE(fs::exists(w.folder().file("ollama/blobs/sha256-x/../../../secret.gguf")));
  for (const char* digest : {"sha256:x/../../../secret.gguf", "sha256:../../secret.gguf",
                             "sha256:", "../../secret.gguf", "sha256:AAAA"})
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

TEST(HubFind, OfAFolderModelOnlyOurLinksGo) {
  const World w;
  const std::string sum[] = {std::string(40, '1'), std::string(64, '2'), std::string(64, '3'),
                             std::string(40, '4'), std::string(64, '5')};
  put_in_cache(w, "o/r", "config.json", sum[0], R"({"model_type": "gemma4"})");
  put_in_cache(w, "o/r", "model.safetensors", sum[1], "weights");
  put_in_cache(w, "o/r", "R-Q4_0.GGUF", sum[2], gguf_head("gemma4", 35, ""));
  put_in_cache(w, "o/r", "theirs.json", sum[3], "{}");
  put_in_cache(w, "o/r", "a-folder/x.safetensors", sum[4], "x");
  const std::string folder = w.folder().file("hf/hub/models--o--r");
  for (const int ours : {0, 1, 2}) w.folder().put("hf/hub/models--o--r/.bezel/" + sum[ours], "");
  ASSERT_TRUE(open_store()->remove("o/r"));
  for (const int gone : {0, 1}) EXPECT_FALSE(fs::exists(folder + "/blobs/" + sum[gone])) << gone;
  for (const char* left : {"R-Q4_0.GGUF", "theirs.json", "a-folder/x.safetensors"})
    EXPECT_TRUE(fs::exists(folder + "/snapshots/" + kCommit + "/" + left)) << left;
  for (const char* gone : {"config.json", "model.safetensors"})
    EXPECT_FALSE(fs::is_symlink(folder + "/snapshots/" + kCommit + "/" + gone)) << gone;
  ASSERT_EQ(open_store()->list().size(), 1U);
  ASSERT_TRUE(open_store()->remove("o/r:R-Q4_0.GGUF"));
  EXPECT_TRUE(fs::exists(folder + "/blobs/" + sum[3]));
}

TEST(HubFind, ABlobThatAnotherNameLeadsToStays) {
  const World w;
  const std::string other(40, 'f');
  put_in_cache(w, "o/r", "r-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""));
  put_in_cache(w, "o/r", "old-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""), other, "v1");
  w.folder().put("hf/hub/models--o--r/.bezel/" + kSum, "");
  ASSERT_TRUE(open_store()->remove("o/r:r-Q4_0.gguf"));
  ASSERT_EQ(open_store()->list().size(), 1U);
  EXPECT_TRUE(fs::exists(w.folder().file("hf/hub/models--o--r/blobs/" + kSum)));
  ASSERT_TRUE(open_store()->remove(open_store()->list()[0].name));
  EXPECT_FALSE(fs::exists(w.folder().file("hf/hub/models--o--r")));
}

TEST(HubFind, ARevisionIsTheOneThatWasAskedFor) {
  const World w;
  const std::string old(40, 'f');
  put_in_cache(w, "o/r", "r-Q4_0.gguf", std::string(64, 'c'), gguf_head("gemma4", 35, "", 5000),
               old, "v1");
  EXPECT_EQ(open_store()->find("o/r")->model.path.find(kCommit), std::string::npos);
  put_in_cache(w, "o/r", "r-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""));
  const auto commit_of = [](const std::string& name) {
    const auto found = open_store()->find(name);
    return found ? fs::path(found->model.path).parent_path().filename().string() : "none";
  };
  EXPECT_EQ(commit_of("o/r"), kCommit);  // main's, though the other is larger
  EXPECT_EQ(commit_of("o/r:q4_0"), kCommit);
  EXPECT_EQ(commit_of("e2b"), kCommit);
  EXPECT_EQ(commit_of("o/r@v1"), old);
  EXPECT_EQ(commit_of("o/r@v1:r-Q4_0.gguf"), old);
  EXPECT_EQ(commit_of("o/r@" + old), old);
  EXPECT_EQ(commit_of("o/r@v2"), "none");
  EXPECT_EQ(commit_of("o/r@" + std::string(40, 'e')), "none");
  const auto models = open_store()->list();
  ASSERT_EQ(models.size(), 2U);
  for (const StoredModel& m : models) EXPECT_EQ(open_store()->find(m.name)->model.path, m.path);
  // The same contents in both commits are one model, of both revisions.
  put_in_cache(w, "o/same", "s.gguf", kSum, gguf_head("gemma4", 42, ""));
  put_in_cache(w, "o/same", "s.gguf", kSum, gguf_head("gemma4", 42, ""), old, "v1");
  EXPECT_NE(commit_of("o/same@v1"), "none");
  EXPECT_NE(commit_of("o/same"), "none");
  w.folder().put("hf/hub/models--o--same/.bezel/" + kSum, "");
  ASSERT_TRUE(open_store()->remove("o/same"));
  EXPECT_FALSE(fs::exists(w.folder().file("hf/hub/models--o--same")));
}

TEST(HubFind, AUrlFindsOnlyWhatCameFromIt) {
  const World w;
  const std::string mine = "own/url/0123456789abcdef/", other = "own/url/fedcba9876543210/";
  w.folder().put(mine + "model.gguf", gguf_head("gemma4", 35, ""));
  w.folder().put(mine + "url", "https://a.org/model.gguf");
  EXPECT_TRUE(open_store()->find("https://a.org/model.gguf"));
  EXPECT_FALSE(open_store()->find("https://b.org/model.gguf"));
  EXPECT_FALSE(open_store()->remove("https://b.org/model.gguf"));
  w.folder().put(other + "model.gguf", gguf_head("gemma4", 42, ""));
  w.folder().put(other + "url", "https://b.org/model.gguf");
  EXPECT_EQ(open_store()->find("https://b.org/model.gguf")->model.layers, 42);
  const auto models = open_store()->list();
  ASSERT_EQ(models.size(), 2U);
  for (const StoredModel& m : models) EXPECT_EQ(open_store()->find(m.name)->model.path, m.path);
  ASSERT_TRUE(open_store()->remove("https://b.org/model.gguf"));
  EXPECT_FALSE(fs::exists(w.folder().file(other)));
  EXPECT_TRUE(fs::exists(w.folder().file(mine + "model.gguf")));
}

TEST(HubFind, OnlyWhatAPullByUrlPutThereIsRemoved) {
  const World w;
  w.folder().put("own/url/x.gguf", gguf_head("gemma4", 35, ""));
  w.folder().put("own/url/0123456789abcdef/y.gguf", gguf_head("gemma4", 42, ""));
  w.folder().put("own/url/0123456789abcdef/notes", "not ours");
  EXPECT_FALSE(open_store()->remove("x.gguf"));
  ASSERT_TRUE(open_store()->remove("y.gguf"));
  EXPECT_TRUE(fs::exists(w.folder().file("own/url/x.gguf")));
  EXPECT_TRUE(fs::exists(w.folder().file("own/url/0123456789abcdef/notes")));
  EXPECT_FALSE(fs::exists(w.folder().file("own/url/0123456789abcdef/y.gguf")));
}

TEST(HubFind, ABrokenCatalogueStopsOnlyShortNames) {
  const World w;
  w.set("BEZEL_CATALOGUE", w.folder().put("c.json", "[]"));
  w.folder().put("own/x-it.gguf", gguf_head("gemma4", 35, ""));
  put_in_cache(w, "o/r", "r-Q4_0.gguf", kSum, gguf_head("gemma4", 35, ""));
  w.folder().put("hf/hub/models--o--r/.bezel/" + kSum, "");
  const auto store = open_store();
  ASSERT_TRUE(store);
  EXPECT_EQ(store->list().size(), 2U);
  EXPECT_TRUE(store->find("x-it.gguf"));
  EXPECT_TRUE(store->remove("o/r:q4_0"));
  for (const auto& found : {store->find("e2b"), store->find("nothing")}) {
    ASSERT_FALSE(found);
    EXPECT_NE(found.error().what.find("catalogue of models is wrong"), std::string::npos);
  }
  EXPECT_FALSE(store->plan("e2b"));
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
