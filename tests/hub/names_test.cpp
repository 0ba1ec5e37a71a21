// Names, tags and the catalogue.
#include <gtest/gtest.h>

#include "hub/catalogue.h"
#include "hub/name.h"
#include "hub/world.h"

namespace bezel {
namespace {

using hub::Catalogue;
using hub::ModelName;
using hub::parse_name;

ModelName named(const std::string& text) {
  auto name = parse_name(text);
  EXPECT_TRUE(name) << text;
  return name ? *name : ModelName();
}

TEST(HubNames, ShortNamesRepositoriesAndUrlsAreToldApart) {
  EXPECT_EQ(named("E2B:Q8_0").name, "e2b:q8_0");
  const ModelName repo = named("google/gemma-4-E2B-it@v1:Q4_K_M");
  EXPECT_EQ(repo.kind, ModelName::Kind::Repo);
  EXPECT_EQ(repo.repo, "google/gemma-4-E2B-it");
  EXPECT_EQ(repo.revision, "v1");
  EXPECT_EQ(repo.tag, "q4_k_m");
  EXPECT_EQ(named("o/r:sub/x-Q4_0.gguf").file, "sub/x-Q4_0.gguf");
  for (const char* text : {"hf.co/o/r:q4_0", "https://huggingface.co/o/r:q4_0", "hf://o/r:q4_0"}) {
    EXPECT_EQ(named(text).repo, "o/r");
    EXPECT_EQ(named(text).tag, "q4_0");
  }
  const ModelName page = named("https://huggingface.co/o/r/blob/main/x.gguf?download=true");
  EXPECT_EQ(page.repo, "o/r");
  EXPECT_EQ(page.file, "x.gguf");
  EXPECT_EQ(named("https://example.org/a/x.gguf?key=1").kind, ModelName::Kind::Url);
  EXPECT_EQ(named("https://example.org/a/x.gguf?key=1").file, "x.gguf");
}

TEST(HubNames, WhatCannotBeANameIsRefused) {
  for (const char* text : {"",
                           " ",
                           "a b",
                           "../x",
                           "o/../r",
                           "o/r/../../x",
                           "o/r:",
                           "o/r:../x.gguf",
                           "o/r:/x.gguf",
                           "o//r",
                           "/o",
                           "o/",
                           "-x",
                           "o/-r",
                           "o/r@",
                           "o/r@..",
                           "o\\r",
                           "e2b:",
                           "ftp://x/y.gguf",
                           "file:///x.gguf",
                           "https://x/",
                           "https://x/y.txt",
                           "https://huggingface.co/o",
                           "o/r\n",
                           "o--p/r",
                           "https://huggingface.co/o/r/blob/main/../../x.gguf",
                           "e2b\x01"})
    EXPECT_FALSE(parse_name(text)) << text;
  EXPECT_FALSE(parse_name(std::string(501, 'a')));
}

TEST(HubNames, PathsThatCouldLeaveAFolderAreNotSafe) {
  for (const char* path :
       {"", "/x", "../x", "a/../x", "a//b", "a/", ".", "a/.", "x\n", "a\\b", "\x7F"})
    EXPECT_FALSE(hub::is_safe_path(path)) << path;
  EXPECT_FALSE(hub::is_safe_path(std::string("a\0b", 3)));
  EXPECT_FALSE(hub::is_safe_path(std::string(256, 'a')));
  for (const char* path : {"x", "a/b.gguf", "..a/b..", "\xC3\xA4.gguf"})
    EXPECT_TRUE(hub::is_safe_path(path)) << path;
}

TEST(HubNames, ATagIsAWordOfItsOwn) {
  EXPECT_TRUE(hub::names_tag("gemma-4-E4B_q4_0-it.gguf", "q4_0"));
  EXPECT_TRUE(hub::names_tag("x-UD-Q4_K_XL.gguf", "q4_k_xl"));
  EXPECT_FALSE(hub::names_tag("x-Q4_K_M.gguf", "q4_k"));
  EXPECT_FALSE(hub::names_tag("x-BF16.gguf", "f16"));
  EXPECT_FALSE(hub::names_tag("x-IQ4_NL.gguf", "q4"));
  EXPECT_FALSE(hub::names_tag("x.gguf", ""));
  EXPECT_EQ(hub::type_in_name("gemma-3-270m-it-Q8_0.gguf"), "Q8_0");
  EXPECT_EQ(hub::type_in_name("gemma.gguf"), "");
  EXPECT_TRUE(hub::is_side_file("mmproj-x-Q8_0.gguf"));
  EXPECT_TRUE(hub::is_side_file("x-00002-of-00003.gguf"));
  EXPECT_FALSE(hub::is_side_file("x-00001-of-00003.gguf"));
  EXPECT_TRUE(hub::is_side_file("sub/X-00002-of-00003.GGUF"));
  EXPECT_FALSE(hub::is_side_file("1-of-2.gguf"));
}

TEST(HubNames, AFileNameWithoutAFolderMayBeOneThatListShows) {
  for (const char* path : {"/x", "./x.gguf", "../x", "~/x", "folder/x.gguf", "-", "x.safetensors"})
    EXPECT_TRUE(hub::means_a_path(path)) << path;
  for (const char* name : {"x.gguf", "X.GGUF", "e2b", "o/r:x.gguf"})
    EXPECT_FALSE(hub::means_a_path(name)) << name;
}

TEST(HubCatalogue, TheBuiltInOneHasTheWholeFamily) {
  const test::World world;
  const auto catalogue = Catalogue::load();
  ASSERT_TRUE(catalogue) << catalogue.error().text();
  std::string tag;
  for (const char* name : {"e2b", "e4b", "12b", "26b", "31b", "270m", "1b", "4b", "27b"}) {
    const auto* model = catalogue->find(name, tag);
    ASSERT_NE(model, nullptr) << name;
    EXPECT_EQ(tag, "");
    for (const hub::Source& s : model->sources) EXPECT_GT(s.bytes, 0U) << name;
  }
  ASSERT_NE(catalogue->find("gemma4:e2b:q8_0", tag), nullptr);
  EXPECT_EQ(tag, "q8_0");
  const auto* qat = catalogue->find("12b:qat", tag);
  ASSERT_NE(qat, nullptr);
  EXPECT_EQ(qat->source(tag)->tag, "q4_0");
  EXPECT_EQ(catalogue->find("e2", tag), nullptr);
  EXPECT_EQ(catalogue->find("e2bx", tag), nullptr);
}

TEST(HubCatalogue, WithoutATagTheMemoryDecidesAndIsNamed) {
  const test::World world;
  const auto catalogue = Catalogue::load();
  std::string tag, why;
  const auto* model = catalogue->find("e4b", tag);
  EXPECT_EQ(hub::source_for(*model, 64'000'000'000, why)->tag, "q8_0");
  EXPECT_NE(why.find("64.0 GB"), std::string::npos) << why;
  EXPECT_EQ(hub::source_for(*model, 12'000'000'000, why)->tag, "q4_0");
  EXPECT_EQ(hub::source_for(*model, 1'000'000'000, why)->tag, "q4_0");
  EXPECT_NE(why.find("smallest"), std::string::npos) << why;
}

TEST(HubCatalogue, AnotherFileTakesItsPlaceAndIsCheckedStrictly) {
  const test::World world;
  const auto load = [&](const std::string& json) {
    world.set("BEZEL_CATALOGUE", world.folder().put("c.json", json));
    return Catalogue::load();
  };
  std::string tag;
  const auto good = load(
      R"({"models": [{"names": ["mine"], "auto": ["q8_0"], "sources": [{"tag": "q8_0", "repo": "me/mine"}]}]})");
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_NE(good->find("mine", tag), nullptr);
  EXPECT_EQ(good->find("e2b", tag), nullptr);
  const auto refused = [&](const std::string& json, const std::string& why) {
    const auto catalogue = load(json);
    ASSERT_FALSE(catalogue) << json;
    const std::string text = catalogue.error().text(), begin = "this catalogue of models is wrong";
    EXPECT_NE(text.find(why), std::string::npos) << text;
    EXPECT_NE(text.find(begin), std::string::npos) << text;
    EXPECT_EQ(text.find(begin), text.rfind(begin)) << text;
    EXPECT_EQ(catalogue.error().where, world.folder().file("c.json"));
  };
  const auto one = [](const std::string& sources) {
    return R"({"models": [{"names": ["x"], "auto": ["q"], "sources": [)" + sources + "]}]}";
  };
  for (const char* json : {"[]", "{}", R"({"models": 1})"}) refused(json, "a list \"models\"");
  refused("", "JSON");
  refused(R"({"models": [1]})", "a model must be an object");
  refused(R"({"models": [{"names": []}]})", "\"names\" is empty");
  refused(R"({"models": [{"names": ["x"], "layers": "many"}]})", "layers");
  refused(one(""), "\"sources\" must be a list");
  refused(one(R"({"tag": "z", "repo": "a/b"})"), "no source's tag");
  refused(one(R"({"tag": "q", "repo": "../b"})"), "\"../b\" is no repository");
  refused(one(R"({"tag": "q", "repo": "a/b", "gb": -1})"), "\"gb\" must be between");
}

}  // namespace
}  // namespace bezel
