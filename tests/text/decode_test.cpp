// Ids to text: whole and streamed.
#include "base/utf8.h"
#include "harness.h"

namespace bezel::test {
namespace {

void expect_pieces(const Tokenizer& tokenizer, const std::string& fixture) {
  for (const Json& line : read_lines(tokenizer_fixture(fixture))) {
    const auto ids = ids_of(line.at("ids"));
    const auto shown = tokenizer.decode(ids, false);
    const auto skipped = tokenizer.decode(ids, true);
    ASSERT_TRUE(shown && skipped);
    ASSERT_EQ(*shown, line.at("text").get<std::string>()) << line.dump();
    ASSERT_EQ(*skipped, line.at("text_skip").get<std::string>()) << line.dump();
  }
}

TEST(Decode, SmallTokenizersGiveTheReferenceTexts) {
  expect_pieces(*small_json(), "small/pieces.jsonl");
  expect_pieces(*small_gguf(), "small/pieces.jsonl");
}

TEST(Decode, PublishedTokenizerGivesTheReferenceTexts) {
  BEZEL_NEEDS_GEMMA4();
  expect_pieces(*gemma4(), "pieces.jsonl");
}

TEST(Decode, TextComesBackExceptThatU2581BecomesASpace) {
  for (const Json& line : read_lines(tokenizer_fixture("small/ids.jsonl"))) {
    const auto text = line.at("text").get<std::string>();
    std::string expected;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool mark = text.compare(i, 3, "\xE2\x96\x81") == 0;
      expected.push_back(mark ? ' ' : text[i]);
      i += mark ? 2 : 0;
    }
    const auto ids = small_json()->encode(text);
    EXPECT_EQ(*small_json()->decode(ids, false), expected);
  }
}

TEST(Decode, AnIdOutOfRangeIsAnErrorThatNamesIt) {
  for (const TokenId id : {-1, 2048, 1 << 30}) {
    const auto text = small_json()->decode(std::vector<TokenId>{5, id}, false);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().what,
              "ids[1] is " + std::to_string(id) + ", but the vocabulary has the ids 0 to 2047");
  }
}

// The bytes of all ids, every byte outside a well-formed sequence as U+FFFD.
std::string repaired(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool special) {
  std::string bytes, out;
  for (const TokenId id : ids)
    if (special || !tokenizer.is_marker(id)) bytes += tokenizer.bytes_of(id);
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t n = utf8_length_at(bytes, i);
    out += n == 0 ? "\xEF\xBF\xBD" : bytes.substr(i, n);
    i += n == 0 ? 1 : n;
  }
  return out;
}

TEST(Detokenizer, EveryPrefixIsWholeUtf8AndTheSumIsTheWholeText) {
  Random random(3);
  const TokenId first_byte = *small_json()->find("<0x00>");
  const std::string mix = "\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA9\xE0\xED\xF4\x80\xBF\x8F\x9F\xFF z";
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> ids;
    for (std::size_t i = random.below(14); i > 0; --i) {
      const auto byte = static_cast<unsigned char>(mix[random.below(mix.size())]);
      const bool any = random.below(5) == 0;
      ids.push_back(any ? static_cast<TokenId>(random.below(2048)) : first_byte + byte);
    }
    for (const bool special : {false, true}) {
      Detokenizer stream(*small_json(), special);
      std::string text;
      for (const TokenId id : ids) {
        const std::string part = stream.push(id);
        ASSERT_TRUE(valid_utf8(part));
        text += part;
      }
      text += stream.finish();
      ASSERT_EQ(text, repaired(*small_json(), ids, special));
    }
  }
}

TEST(Detokenizer, SplitsOfCleanTextGiveTheDecodedText) {
  for (const Json& line : read_lines(tokenizer_fixture("small/ids.jsonl"))) {
    const auto ids = ids_of(line.at("ids"));
    Detokenizer stream(*small_json(), true);
    std::string text;
    for (const TokenId id : ids) text += stream.push(id);
    text += stream.finish();
    ASSERT_EQ(text, *small_json()->decode(ids, false));
  }
}

TEST(Detokenizer, AnUnfinishedCharacterWaitsAndABrokenOneIsReplacedAtOnce) {
  const auto byte = [](const char* name) { return *small_json()->find(name); };
  Detokenizer stream(*small_json());
  EXPECT_EQ(stream.push(byte("<0xE2>")), "");
  EXPECT_EQ(stream.push(byte("<0x82>")), "");
  EXPECT_EQ(stream.push(byte("<0xAC>")), "\xE2\x82\xAC");
  EXPECT_EQ(stream.push(byte("<0xFF>")), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.push(byte("<0xE0>")), "");
  EXPECT_EQ(stream.push(byte("<0x80>")), "\xEF\xBF\xBD\xEF\xBF\xBD");  // E0 80 is overlong
  EXPECT_EQ(stream.push(byte("<0xF0>")), "");
  EXPECT_EQ(stream.push(*small_json()->find("<turn|>")), "");  // not shown: does not interrupt
  EXPECT_EQ(stream.push(byte("<0x9F>")), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace bezel::test
