// Masks: equal to trying every token, the same for every cut, an end only where one may be.
#include <fmt/format.h>

#include <random>

#include "text/constrain/support.h"

namespace bezel::test {

namespace {

using constrain::Mask;
using constrain::Masker;
using constrain::Masks;
using constrain::Vocabulary;

constexpr const char* kSchemas[] = {
    R"({"type":"object","properties":{"name":{"type":"string","minLength":2,"maxLength":9},"n":{"type":"integer","minimum":3,"maximum":40},"tags":{"type":"array","items":{"enum":["ab","b",null]},"uniqueItems":true}},"required":["name"],"additionalProperties":false})",
    R"({"type":"object","additionalProperties":{"type":["boolean","string"]},"patternProperties":{"^a":{"type":"number"}}})",
    R"({"type":"array","items":{"type":"string","pattern":"^[a-f]+\\d*$"},"minItems":1})",
    R"({"anyOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^the "},{"type":"array"}]})",
    R"({"type":"string","pattern":"o"})"};

std::shared_ptr<const Vocabulary> small_vocabulary(TokenizerPtr& tokenizer) {
  tokenizer = take(Tokenizer::load_json(tokenizer_fixture("small/tokenizer.json")));
  return tokenizer == nullptr ? nullptr : std::make_shared<Vocabulary>(*tokenizer);
}

void compare(const Masker& masker, const Mask& mask, const Vocabulary& vocabulary) {
  for (TokenId id = 0; id < static_cast<TokenId>(vocabulary.size()); ++id) {
    const std::string_view bytes = vocabulary.bytes_of(id);
    constrain::Walk walk = masker.walk();
    const bool fits = !bytes.empty() && walk.push(bytes) == bytes.size();
    const bool wanted = id == 1 ? masker.can_end() : fits;
    ASSERT_EQ(mask.has(id), wanted) << "token " << id << " \"" << bytes << '"';
  }
}

void walk_at_random(const std::string& schema, const std::shared_ptr<const Vocabulary>& vocabulary,
                    std::mt19937& random) {
  const auto language = must(constrain::json_schema(schema));
  Masker masker(std::make_shared<Masks>(vocabulary, language, std::vector<TokenId>{1}));
  for (int step = 0; step < 25; ++step) {
    const auto mask = masker.mask();
    compare(masker, *mask, *vocabulary);
    std::vector<TokenId> may;
    for (TokenId id = 0; id < static_cast<TokenId>(vocabulary->size()); ++id)
      if (mask->has(id)) may.push_back(id);
    ASSERT_FALSE(may.empty());
    const TokenId id = may[random() % may.size()];
    ASSERT_TRUE(masker.accept(id));
    if (id == 1) break;
  }
}

}  // namespace

TEST(Mask, IsWhatTryingEveryTokenGives) {
  TokenizerPtr tokenizer;
  const auto vocabulary = small_vocabulary(tokenizer);
  ASSERT_NE(vocabulary, nullptr);
  std::mt19937 random(7);
  for (const char* schema : kSchemas)
    for (int i = 0; i < 8; ++i) walk_at_random(schema, vocabulary, random);
}

TEST(Mask, ControlTokensAreNeverAllowedButAnEnd) {
  TokenizerPtr tokenizer;
  const auto vocabulary = small_vocabulary(tokenizer);
  ASSERT_NE(vocabulary, nullptr);
  Masker masker(std::make_shared<Masks>(vocabulary, must(constrain::json_schema("true")),
                                        std::vector<TokenId>{1}));
  for (const std::string text : {"\"", "a <", "\""}) {
    const auto mask = masker.mask();
    for (TokenId id = 0; id < static_cast<TokenId>(vocabulary->size()); ++id)
      EXPECT_FALSE(tokenizer->is_marker(id) && mask->has(id)) << id;
    for (const TokenId id : tokenizer->encode_plain(text)) ASSERT_TRUE(masker.accept(id));
  }
  EXPECT_TRUE(masker.mask()->has(1));
  EXPECT_TRUE(masker.accept(1));
  EXPECT_FALSE(masker.accept(2));
}

TEST(Mask, StaysValidWhileItIsHeld) {
  TokenizerPtr tokenizer;
  const auto vocabulary = small_vocabulary(tokenizer);
  ASSERT_NE(vocabulary, nullptr);
  Masker masker(std::make_shared<Masks>(vocabulary, must(constrain::json_schema("true")),
                                        std::vector<TokenId>{}));
  const auto first = masker.mask();
  const Mask copy = *first;
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(masker.accept(tokenizer->encode_plain("[").front()) || i >= 500);
    masker.mask();
  }
  EXPECT_EQ(*first, copy);
}

TEST(Mask, EveryCutIntoTokensGivesTheSameVerdict) {
  TokenizerPtr tokenizer;
  const auto vocabulary = small_vocabulary(tokenizer);
  ASSERT_NE(vocabulary, nullptr);
  const auto language = must(constrain::json_schema(kSchemas[0]));
  const std::string good = R"({"name":"héllo w","n":12,"tags":["ab",null]})";
  const std::string bad = R"({"name":"héllo w","n":12,"tags":["ab","ab"]})";
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    for (const std::string& text : {good, bad}) {  // as any tokens at all
      Masker masker(std::make_shared<Masks>(vocabulary, language, std::vector<TokenId>{1}));
      bool ok = true;
      for (std::size_t at = 0; ok && at < text.size();) {
        const std::size_t n = std::min<std::size_t>(1 + random() % 6, text.size() - at);
        auto id = tokenizer->find(text.substr(at, n));
        if (!id)
          id = tokenizer->find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(text[at])));
        ASSERT_TRUE(id);
        const auto mask = masker.mask();
        ok = masker.accept(*id);
        EXPECT_EQ(ok, mask->has(*id));
        at += vocabulary->bytes_of(*id).size();
      }
      EXPECT_EQ(ok && masker.can_end(), text == good);
    }
  }
}

TEST(Walk, GoesAllTheWayOrStaysWhereItIs) {
  const auto language = must(constrain::json_schema(
      R"({"properties":{"list":{"items":{"type":"string"},"uniqueItems":true}}})"));
  const std::string text = R"({"a":{"b":[1,{"c":"x\"y"}],"d":{}},"e":2,"list":["p","q"],"f":"é"})";
  constrain::Walk walk(language), plain(language);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (std::size_t n = 1; i + n <= text.size() && n < 12; ++n) {
      const std::string part = text.substr(i, n);
      EXPECT_TRUE(walk.fits(part)) << i;
      EXPECT_FALSE(walk.push_all(part + "\x01")) << i;
      EXPECT_FALSE(walk.fits(part + "\x01")) << i;
    }
    ASSERT_TRUE(walk.push_all(text.substr(i, 1)));
    ASSERT_TRUE(plain.push(static_cast<std::uint8_t>(text[i])));
    EXPECT_EQ(walk.keys().taken, plain.keys().taken) << i;
    EXPECT_EQ(walk.keys().begun, plain.keys().begun) << i;
    EXPECT_EQ(walk.can_end(), plain.can_end()) << i;
  }
  EXPECT_TRUE(walk.can_end());
}

TEST(Walk, KeysThatWereTriedInVainDoNotCount) {
  const auto language = must(constrain::json_schema(
      R"({"properties":{"list":{"items":{"type":"string"},"uniqueItems":true}}})"));
  constrain::Walk walk(language);
  ASSERT_TRUE(walk.push_all(R"({"a":1,)"));
  EXPECT_FALSE(walk.push_all(R"("b":{"c":1,"c":)"));
  EXPECT_FALSE(walk.fits(R"("a":)"));
  EXPECT_TRUE(walk.fits(R"("b":{"a":1,"c":2},"c":3})"));
  EXPECT_EQ(walk.keys().taken.size(), 1U);
  EXPECT_FALSE(walk.push_all(R"("list":["p","p")"));
  EXPECT_TRUE(walk.push_all(R"("list":["p","q"]})"));
  EXPECT_TRUE(walk.can_end());
}

}  // namespace bezel::test
