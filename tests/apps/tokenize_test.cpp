// bezel tokenize.
#include "apps/models.h"

namespace bezel::test {
namespace {

const std::string kFolder = std::string(BEZEL_FIXTURES) + "/tokenizer/small";
const std::string kJson = kFolder + "/tokenizer.json";
const std::string kGguf = kFolder + "/tokenizer.gguf";

std::string fixture_text(const std::string& name) {
  auto text = read_file(kFolder + "/" + name, 1U << 26U);
  EXPECT_TRUE(text) << name;
  return text ? *std::move(text) : "";
}

// One field of every line.
std::vector<Json> column(const std::vector<Json>& lines, const char* key) {
  std::vector<Json> out;
  out.reserve(lines.size());
  for (const Json& line : lines) out.push_back(line.contains(key) ? line[key] : Json(nullptr));
  return out;
}

class TokenizeFrom : public testing::TestWithParam<std::string> {
 protected:
  static Words command(const Words& flags = {}) { return Words{"tokenize", GetParam()} + flags; }
};
INSTANTIATE_TEST_SUITE_P(Apps, TokenizeFrom, testing::Values(kJson, kGguf),
                         [](const auto& file) { return file.param == kJson ? "json" : "gguf"; });

TEST_P(TokenizeFrom, JsonlGivesTheReferencesIdsWithAndWithoutMarkers) {
  const std::string text = fixture_text("ids.jsonl");
  const auto want = lines_of(text);
  ASSERT_GT(want.size(), 900U);
  const auto marked = lines_of(output_of(command({"--jsonl"}), text));
  EXPECT_EQ(column(marked, "ids"), column(want, "ids"));
  const auto plain = lines_of(output_of(command({"--jsonl", "--plain"}), text));
  EXPECT_EQ(column(plain, "ids"), column(want, "plain"));
  EXPECT_NE(column(want, "ids"), column(want, "plain"));
}

TEST_P(TokenizeFrom, JsonlDecodesAsTheReferenceWithAndWithoutSpecialTokens) {
  const std::string text = fixture_text("pieces.jsonl");
  const auto want = lines_of(text);
  ASSERT_EQ(want.size(), 200U);
  const auto shown = lines_of(output_of(command({"--jsonl", "--decode"}), text));
  EXPECT_EQ(column(shown, "text"), column(want, "text"));
  const auto skipped =
      lines_of(output_of(command({"--jsonl", "--decode", "--skip-special"}), text));
  EXPECT_EQ(column(skipped, "text"), column(want, "text_skip"));
}

TEST_P(TokenizeFrom, DecodingTheIdsOfATextGivesTheTextByteForByte) {
  const std::string texts[] = {"Hello, world",
                               "two lines\nand no end",
                               "an end\n",
                               "\n\n  leading and trailing  \n\n",
                               "dos\r\nlines\r\n",
                               "tab\tbell\x07 null" + std::string(1, '\0') + "byte",
                               "a\xC2\x85 b\xE2\x80\xA8 c",
                               "\xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80",
                               "<bos>a marker<|turn>inside",
                               ""};
  for (const Words& how : {Words{}, Words{"--plain"}})
    for (const std::string& text : texts) {
      const std::string ids = output_of(command(how), text);
      EXPECT_EQ(ids.find_first_not_of("0123456789 \n"), std::string::npos) << ids;
      EXPECT_EQ(std::count(ids.begin(), ids.end(), '\n'), 1);
      EXPECT_EQ(ids.back(), '\n');
      EXPECT_EQ(output_of(command({"--decode"}), ids), text);
    }
}

TEST(Tokenize, PlainTextNeverBecomesAMarkerAndOtherTextDoes) {
  EXPECT_EQ(output_of({"tokenize", kJson}, "<bos><|turn>"), "2 20\n");
  const std::string plain = output_of({"tokenize", kJson, "--plain"}, "<bos><|turn>");
  EXPECT_NE(plain, "2 20\n");
  EXPECT_GT(std::count(plain.begin(), plain.end(), ' '), 3);
}

TEST(Tokenize, NoBosIsAddedAndIdsMayBeSeparatedByCommas) {
  const std::string ids = output_of({"tokenize", kJson}, "tab");
  EXPECT_NE(ids.rfind("2 ", 0), 0U);
  EXPECT_EQ(output_of({"tokenize", kJson, "--decode"}, "2,20 ,\n2"), "<bos><|turn><bos>");
  EXPECT_EQ(output_of({"tokenize", kJson, "--decode", "--skip-special"}, "2,20 ,\n2"), "");
}

TEST(Tokenize, AFolderWithATokenizerWorksAndOneWithoutSaysSo) {
  EXPECT_EQ(output_of({"tokenize", kFolder}, "line one\n"),
            output_of({"tokenize", kJson}, "line one\n"));
  EXPECT_TRUE(has(complaint({"tokenize", text_fixture("e2b")}, "text"), "tokenizer"));
}

TEST(Tokenize, JsonLinesEndAtLineFeedsOnly) {
  // U+0085, U+2028 and a carriage return inside a line; the last line has no end.
  const std::string in =
      "{\"text\":\"a\xC2\x85\"}\n{\"text\":\"b\xE2\x80\xA8\"}\r\n{\"text\":\"c\"}";
  const std::string ids = output_of({"tokenize", kJson, "--jsonl"}, in);
  const auto lines = lines_of(ids);
  ASSERT_EQ(lines.size(), 3U);
  const auto back = lines_of(output_of({"tokenize", kJson, "--jsonl", "--decode"}, ids));
  ASSERT_EQ(back.size(), 3U);
  EXPECT_EQ(back[0].at("text"), "a\xC2\x85");
  EXPECT_EQ(back[1].at("text"), "b\xE2\x80\xA8");
  EXPECT_EQ(back[2].at("text"), "c");
}

TEST(Tokenize, NoLinesInGivesNoLinesOut) {
  EXPECT_EQ(output_of({"tokenize", kJson, "--jsonl"}), "");
  EXPECT_EQ(output_of({"tokenize", kJson, "--jsonl", "--decode"}), "");
}

TEST(Tokenize, BadIdsAreOneSentenceThatNamesThem) {
  for (const char* bad : {"x", "-1", "1.5", "99999999999999999999", "0x10", "1;2"})
    EXPECT_TRUE(has(complaint({"tokenize", kJson, "--decode"}, bad), bad)) << bad;
  EXPECT_TRUE(has(complaint({"tokenize", kJson, "--decode"}, "5 2048"), "2048"));
  for (const char* bad : {"2048", "-1", "18446744073709551615", "1.5", "\"2\"", "null"})
    EXPECT_TRUE(has(complaint({"tokenize", kJson, "--decode", "--jsonl"},
                              fmt::format("{{\"ids\":[{}]}}\n", bad)),
                    "line 1"))
        << bad;
}

TEST(Tokenize, BadJsonLinesAreOneSentenceThatNamesTheLine) {
  for (const char* bad : {"", "{", "[]", "\"text\"", "{\"text\":1}", "{\"ids\":[1]}", "{} {}",
                          "{\"text\":\"\xFF\"}", "nonsense"}) {
    const Ran ran =
        bezel({"tokenize", kJson, "--jsonl"}, fmt::format("{{\"text\":\"a\"}}\n{}\n", bad));
    EXPECT_EQ(lines_of(ran.out).size(), 1U);  // what came before stays
    Ran rest = ran;
    rest.out.clear();
    EXPECT_TRUE(has(complaint(rest), "line 2")) << bad;
  }
}

TEST(Tokenize, AnUnreadableInputIsAnErrorInEveryForm) {
  for (const Words& form : {Words{}, Words{"--jsonl"}, Words{"--decode"}}) {
    const Ran ran = Child(Words{"tokenize", kJson} + form, {.stdin_path = kFolder}).finish();
    complaint(ran);
  }
}

TEST(Tokenize, BytesThatAreNoTextGiveByteIdsAndDecodeToReplacements) {
  const std::string ids = output_of({"tokenize", kJson, "--plain"},
                                    "a\xFF"
                                    "b");
  EXPECT_EQ(output_of({"tokenize", kJson, "--decode"}, ids),
            "a\xEF\xBF\xBD"
            "b");
}

TEST(Tokenize, FlagsThatExcludeEachOtherAreRefused) {
  complaint({"tokenize", kJson, "--decode", "--plain"}, "1");
  complaint({"tokenize", kJson, "--skip-special"}, "1");
}

}  // namespace
}  // namespace bezel::test
