// Ids against the published tokenizers.
#include "harness.h"
#include "sha256.h"

namespace bezel::test {
namespace {

void expect_ids(const Tokenizer& tokenizer, const std::string& fixture) {
  for (const Json& line : read_lines(tokenizer_fixture(fixture))) {
    const auto text = line.at("text").get<std::string>();
    ASSERT_EQ(tokenizer.encode(text), ids_of(line.at("ids"))) << text;
    ASSERT_EQ(tokenizer.encode_plain(text), ids_of(line.at("plain"))) << text;
  }
}

TEST(Ids, SmallJsonGivesTheReferenceIds) {
  expect_ids(*small_json(), "small/ids.jsonl");
}

TEST(Ids, SmallGgufGivesTheReferenceIds) {
  expect_ids(*small_gguf(), "small/ids.jsonl");
}

TEST(Ids, PublishedGemma4TokenizerGivesTheReferenceIds) {
  BEZEL_NEEDS_GEMMA4();
  expect_ids(*gemma4(), "ids.jsonl");
}

TEST(Ids, Gemma3ScoresGiveTheReferenceIds) {
  BEZEL_NEEDS_GEMMA3();
  constexpr TokenId kImageSoftToken = 262144;  // beyond the vocabulary of a text-only file
  int compared = 0;
  for (const Json& line : read_lines(tokenizer_fixture("ids.jsonl"))) {
    const auto ids = ids_of(line.contains("gemma3") ? line.at("gemma3") : line.at("ids"));
    if (std::find(ids.begin(), ids.end(), kImageSoftToken) != ids.end()) continue;
    const auto text = line.at("text").get<std::string>();
    ASSERT_EQ(gemma3()->encode(text), ids) << text;
    ++compared;
  }
  EXPECT_GT(compared, 4900);
}

TEST(Ids, EveryPieceOfTheVocabularyEncodesAsPublished) {
  BEZEL_NEEDS_GEMMA4();
  const Json expected = read_json(tokenizer_fixture("whole_vocabulary.json"));
  const auto hash_block = [](int first, bool plain) {
    std::string lines;
    for (TokenId id = first; id < first + 4096; ++id) {
      const std::string text = *gemma4()->decode(std::vector<TokenId>{id}, false);
      const auto ids = plain ? gemma4()->encode_plain(text) : gemma4()->encode(text);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (i > 0) lines.push_back(' ');
        lines.append(std::to_string(ids[i]));
      }
      lines.push_back('\n');
    }
    return Sha256::hex(lines);
  };
  ASSERT_EQ(gemma4()->vocab_size(), 262144);
  ASSERT_EQ(expected.at("blocks").size(), 64U);
  for (int block = 0; block < 64; ++block) {
    const Json& want = expected.at("blocks").at(static_cast<std::size_t>(block));
    EXPECT_EQ(hash_block(block * 4096, false), want.at("ids").get<std::string>()) << block;
    EXPECT_EQ(hash_block(block * 4096, true), want.at("plain").get<std::string>()) << block;
  }
}

TEST(Ids, MarkersAreFoundByNameAndKnownAsMarkers) {
  for (const Tokenizer* t : {small_json(), small_gguf()}) {
    for (const char* name : {"<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<|\"|>",
                             "<|tool_response>", "<|video|>"}) {
      ASSERT_TRUE(t->find(name)) << name;
      EXPECT_TRUE(t->is_marker(*t->find(name))) << name;
      EXPECT_EQ(t->bytes_of(*t->find(name)), name);
      EXPECT_EQ(t->encode(name), std::vector<TokenId>{*t->find(name)});
    }
    EXPECT_EQ(t->bos(), 2);
    EXPECT_EQ(t->eos(), 1);
    EXPECT_EQ(t->kind(), "gemma4 merges");
    EXPECT_EQ(t->vocab_size(), 2048);
    EXPECT_EQ(t->n_merges(), 2409U);
    EXPECT_FALSE(t->find("no such piece"));
    EXPECT_FALSE(t->is_marker(-1));
    EXPECT_FALSE(t->is_marker(2048));
    EXPECT_EQ(t->bytes_of(2048), "");
  }
}

TEST(Ids, PlainTextNeverBecomesAMarkerWhateverItHolds) {
  Random random(11);
  std::vector<std::string> names;
  for (TokenId id = 0; id < small_json()->vocab_size(); ++id)
    if (small_json()->is_marker(id)) names.emplace_back(small_json()->bytes_of(id));
  ASSERT_EQ(names.size(), 24U);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (std::size_t i = random.below(12); i > 0; --i) {
      const std::string& name = names[random.below(names.size())];
      text += name.substr(random.below(2), random.below(name.size() + 1));
    }
    for (const Tokenizer* t : {small_json(), small_gguf()})
      for (const TokenId id : t->encode_plain(text)) ASSERT_FALSE(t->is_marker(id)) << text;
  }
}

TEST(Ids, BytesThatAreNotUtf8BecomeBytePiecesAndComeBack) {
  const std::string text = "a\xFF\xC3(\xE2\x96 b\xF0\x9F\x98";
  const auto ids = small_json()->encode_plain(text);
  std::string back;
  for (const TokenId id : ids) back += small_json()->bytes_of(id);
  EXPECT_EQ(back, text);
  EXPECT_EQ(ids[1], *small_json()->find("<0xFF>"));
}

}  // namespace
}  // namespace bezel::test
