#include <gtest/gtest.h>

#include "base/temp_folder.h"
#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

namespace bezel {
namespace {

const std::string kModels = std::string(BEZEL_FIXTURES) + "/text/";

std::string refusal(const std::string& path) {
  auto file = open_tensor_file(path);
  return file ? "" : file.error().text();
}

#define EXPECT_REFUSED(path, word)                                      \
  do {                                                                  \
    const std::string why = refusal(path);                              \
    EXPECT_NE(why.find(word), std::string::npos) << "refusal: " << why; \
  } while (false)

// One F32 tensor of one value.
std::string shard(const std::string& name) {
  std::string header = R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  while (header.size() % 8 != 0) header += ' ';
  return Bytes().text(header).raw("1234").str();
}

// Part `no` (from 0) of a split model, with one tensor named after it.
std::string part(std::uint16_t no, std::uint16_t count, std::int32_t total,
                 const std::string& tensor) {
  GgufBuilder b;
  if (no == 0) b.key_text("general.architecture", "gemma4");
  b.key("split.no", 2, no).key("split.count", 2, count).key("split.tensors.count", 5, total);
  return b.tensor(tensor, {4}).build();
}

TEST(Open, AFolderIsReadWithItsConfigsFromOneFileAndFromShards) {
  auto single = open_tensor_file(kModels + "e2b");
  ASSERT_TRUE(single) << single.error().text();
  EXPECT_EQ(single->kind, FileKind::HuggingFace);
  EXPECT_TRUE(single->config.is_object());
  EXPECT_TRUE(single->generation_config.is_object());
  EXPECT_TRUE(single->meta.empty());
  auto shards = open_tensor_file(kModels + "12b");
  ASSERT_TRUE(shards) << shards.error().text();
  EXPECT_EQ(shards->maps.size(), 2U);
  ASSERT_NE(single->find("model.language_model.embed_tokens.weight"), nullptr);
  ASSERT_NE(shards->find("model.embed_tokens.weight"), nullptr);
  EXPECT_EQ(shards->find("model.embed_tokens.weight")->shape.size(), 2U);
  EXPECT_GT(touch(*single), 0U);
  EXPECT_GT(touch(*shards), 0U);
}

TEST(Open, AGgufFileHasMetadataAndNoConfig) {
  auto file = open_tensor_file(kModels + "e2b/model.gguf");
  ASSERT_TRUE(file) << file.error().text();
  EXPECT_EQ(file->kind, FileKind::Gguf);
  EXPECT_EQ(*file->meta_text("general.architecture", ""), "gemma4");
  EXPECT_TRUE(file->config.is_null());
  EXPECT_EQ(file->maps.size(), 1U);
  EXPECT_EQ(file->file_bytes, file->maps[0]->bytes().size());
  EXPECT_GT(touch(*file), 0U);
}

TEST(Open, ATensorFileOutlivesTheCallThatOpenedItAndMayBeMoved) {
  TensorFile kept;
  {
    auto file = open_tensor_file(kModels + "e2b/model.gguf");
    ASSERT_TRUE(file);
    kept = *std::move(file);
  }
  const Tensor* t = kept.find("token_embd.weight");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->name, "token_embd.weight");
  EXPECT_GT(touch(kept), 0U);
}

TEST(Open, WhatIsNotAModelIsNamed) {
  const TempFolder folder;
  EXPECT_REFUSED(folder.file("missing.gguf"), "no such file");
  EXPECT_REFUSED(folder.file("missing"), "no such file");
  EXPECT_REFUSED(folder.put("a.txt", "x"), "another kind of file");
  EXPECT_REFUSED(folder.put("empty.gguf", ""), "not a GGUF file");
  EXPECT_REFUSED(folder.put("empty.safetensors", ""), "not a safetensors file");
  EXPECT_REFUSED(folder.path(), "no config.json");
  folder.put("config.json", "{}");
  EXPECT_REFUSED(folder.path(), "found neither");
  folder.put("config.json", "{");
  EXPECT_REFUSED(folder.path(), "config.json: not valid JSON");
}

TEST(Open, OneSafetensorsFileIsReadWithTheCompanionsInItsFolder) {
  const TempFolder folder;
  const std::string path = folder.put("w.safetensors", shard("w"));
  auto bare = open_tensor_file(path);
  ASSERT_TRUE(bare) << bare.error().text();
  EXPECT_TRUE(bare->config.is_null());
  EXPECT_TRUE(bare->tokenizer_json_path.empty());
  folder.put("config.json", R"({"model_type":"gemma4"})");
  folder.put("tokenizer.json", "{}");
  folder.put("tokenizer_config.json", R"({"chat_template":"from config"})");
  auto with = open_tensor_file(path);
  ASSERT_TRUE(with) << with.error().text();
  EXPECT_EQ(with->config["model_type"], "gemma4");
  EXPECT_EQ(with->tokenizer_json_path, folder.file("tokenizer.json"));
  EXPECT_EQ(with->chat_template, "from config");
}

TEST(Open, TheChatTemplateComesFromItsOwnFileFirstAndFromTheDefaultOfAList) {
  const TempFolder folder;
  folder.put("config.json", "{}");
  folder.put("model.safetensors", shard("w"));
  folder.put(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"tools","template":"T"},{"name":"default","template":"D"}]})");
  auto listed = open_tensor_file(folder.path());
  ASSERT_TRUE(listed) << listed.error().text();
  EXPECT_EQ(listed->chat_template, "D");
  folder.put("chat_template.jinja", "J");
  EXPECT_EQ(open_tensor_file(folder.path())->chat_template, "J");
}

TEST(Open, ShardNamesInTheIndexStayInsideTheFolder) {
  const TempFolder folder;
  folder.put("secret.safetensors", shard("w"));
  folder.put("model/config.json", "{}");
  folder.put("model/sub/a.safetensors", shard("w"));
  const std::string model = folder.file("model");
  for (const std::string& name :
       {std::string("../secret.safetensors"), folder.file("secret.safetensors"),
        std::string("sub/a.safetensors"), std::string("..\\\\secret.safetensors"), std::string(""),
        std::string(".."), std::string(".safetensors"), std::string("a.txt"),
        std::string("a\\u0000.safetensors")}) {
    folder.put("model/model.safetensors.index.json", R"({"weight_map":{"w":")" + name + "\"}}");
    EXPECT_REFUSED(model, "plain names");
  }
  for (const char* index : {"[]", "{}", R"({"weight_map":[]})"}) {
    folder.put("model/model.safetensors.index.json", index);
    EXPECT_REFUSED(model, "weight_map");
  }
  folder.put("model/model.safetensors.index.json", R"({"weight_map":{"w":7}})");
  EXPECT_REFUSED(model, "plain names");
}

TEST(Open, ShardsMustHoldWhatTheIndexPromisesAndShareNoNames) {
  const TempFolder folder;
  folder.put("config.json", "{}");
  folder.put("1.safetensors", shard("a"));
  const auto index = [&](const char* map) {
    folder.put("model.safetensors.index.json", std::string(R"({"weight_map":)") + map + "}");
  };
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_REFUSED(folder.path(), "2.safetensors: no such file");
  folder.put("2.safetensors", shard("a"));
  EXPECT_REFUSED(folder.path(), "twice");
  folder.put("2.safetensors", shard("c"));
  EXPECT_REFUSED(folder.path(), "promises");
  folder.put("2.safetensors", shard("b"));
  EXPECT_EQ(refusal(folder.path()), "");
}

TEST(OpenSplit, AllPartsTogetherAreOneModel) {
  const TempFolder folder;
  const std::string first = folder.put("m-00001-of-00003.gguf", part(0, 3, 3, "a"));
  folder.put("m-00002-of-00003.gguf", part(1, 3, 3, "b"));
  const std::string last = folder.put("m-00003-of-00003.gguf", part(2, 3, 3, "c"));
  auto file = open_tensor_file(first);
  ASSERT_TRUE(file) << file.error().text();
  EXPECT_EQ(file->tensors.size(), 3U);
  EXPECT_EQ(file->maps.size(), 3U);
  EXPECT_NE(file->find("c"), nullptr);
  EXPECT_EQ(*file->meta_text("general.architecture", ""), "gemma4");
  std::uintmax_t bytes = 0;
  for (const auto& e : std::filesystem::directory_iterator(folder.path())) bytes += e.file_size();
  EXPECT_EQ(file->file_bytes, bytes);
  EXPECT_REFUSED(last, "open the first one");
}

TEST(OpenSplit, MissingSwappedAndForeignPartsAreNamed) {
  const TempFolder folder;
  const std::string first = folder.put("m-00001-of-00002.gguf", part(0, 2, 2, "a"));
  const char* second = "m-00002-of-00002.gguf";
  EXPECT_REFUSED(first, "m-00002-of-00002.gguf: no such file");
  folder.put(second, part(0, 2, 2, "b"));
  EXPECT_REFUSED(first, "expected part 2 of 2, found part 1 of 2");
  folder.put(second, part(1, 3, 2, "b"));
  EXPECT_REFUSED(first, "expected part 2 of 2, found part 2 of 3");
  folder.put(second, part(1, 2, 2, "a"));
  EXPECT_REFUSED(first, "twice");
  folder.put(second, part(1, 2, 2, "b"));
  EXPECT_EQ(refusal(first), "");
  folder.put("m-00001-of-00002.gguf", part(0, 2, 3, "a"));
  EXPECT_REFUSED(first, "expected 3 tensors");
}

TEST(OpenSplit, APartUnderAnotherNameIsNotTakenForAWholeModel) {
  const TempFolder folder;
  EXPECT_REFUSED(folder.put("renamed.gguf", part(0, 2, 2, "a")), "keep the parts' original names");
  EXPECT_REFUSED(folder.put("m-00001-of-00002.gguf", GgufBuilder().tensor("a", {4}).build()),
                 "expected part 1 of 2");
  for (const char* odd : {"m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-0001a-of-00002.gguf",
                          "m--0001-of-00002.gguf", "m-00001-of-00001.gguf"}) {
    EXPECT_EQ(refusal(folder.put(odd, GgufBuilder().tensor("a", {4}).build())), "") << odd;
  }
}

}  // namespace
}  // namespace bezel
