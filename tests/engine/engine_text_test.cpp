// The text of an answer: whole characters, markers, stop texts; suppressed ids; what a model says
// about itself.
#include <algorithm>
#include <limits>
#include <set>

#include "base/utf8.h"
#include "engine/harness.h"
#include "text/tokenizer.h"

namespace bezel::test {
namespace {

using Ids = std::vector<TokenId>;
constexpr const char* kReplacement = "\xEF\xBF\xBD";

std::vector<std::string> texts(const Answer& a) {
  std::vector<std::string> out;
  for (const TextPiece& p : a.pieces) out.push_back(p.text);
  return out;
}

class EngineText : public testing::Test {
 protected:
  void SetUp() override { engine_ = load_engine(); }
  Answer scripted_answer(const Ids& ids, std::vector<std::string> stop = {}, bool markers = false) {
    Request r = scripted(Ids{kBos, word_id(28), word_id(29)}, ids);
    r.stop = std::move(stop);
    r.show_markers = markers;
    const Answer a = answer_of(*engine_, r);
    EXPECT_FALSE(a.error) << a.error->text();
    return a;
  }
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineText, EveryPieceIsWholeUtf8HoweverTheBytesCome) {
  const auto loaded = Tokenizer::load_json(e2b_folder().file("tokenizer.json"));
  ASSERT_TRUE(loaded);
  const Tokenizer& tokenizer = **loaded;
  int invalid = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Request r;
    r.prompt = random_prompt(5, seed);
    r.sampling.temperature = 100;  // nearly even: bytes in any order
    r.sampling.seed = seed;
    r.max_tokens = 120;
    const Answer a = answer_of(*engine_, r);
    ASSERT_FALSE(a.error);
    std::string bytes;
    for (const TextPiece& p : a.pieces) EXPECT_TRUE(valid_utf8(p.text));
    Detokenizer plain(tokenizer);
    std::string want;
    for (const TokenId id : a.done.ids) {
      if (id != kEnd) want += plain.push(id);
      bytes += tokenizer.bytes_of(id);
    }
    want += plain.finish();
    EXPECT_EQ(a.text, want) << "seed " << seed;
    invalid += valid_utf8(bytes) ? 0 : 1;
  }
  EXPECT_GT(invalid, 6) << "the bytes were no trial";
}

TEST_F(EngineText, ACharacterAppearsWithItsLastByte) {
  const Ids euro{byte_id(0xE2), byte_id(0x82), byte_id(0xAC), word_id(7)};
  EXPECT_EQ(texts(scripted_answer(euro)), (std::vector<std::string>{"", "", "\xE2\x82\xAC", "w7"}));
}

TEST_F(EngineText, ACharacterThatIsNeverFinishedEndsAsReplacements) {
  const Answer a = scripted_answer({word_id(7), byte_id(0xE2), byte_id(0x82)});
  EXPECT_EQ(a.text, std::string("w7") + kReplacement + kReplacement);
  ASSERT_EQ(a.pieces.size(), 4U);
  EXPECT_EQ(a.pieces[3].id, -1) << "what was held comes without a token";
}

TEST_F(EngineText, HeldTextStandsBeforeTheReplacementsOfAnUnfinishedCharacter) {
  const Answer a = scripted_answer({word_id(7), byte_id(0xE2)}, {"w7!"});
  EXPECT_EQ(a.text, std::string("w7") + kReplacement);
  EXPECT_EQ(a.done.reason, DoneReason::MaxTokens);
}

TEST_F(EngineText, AStopTextEndsTheAnswerAndIsNoPartOfIt) {
  const Ids words{word_id(1), word_id(2), word_id(3), word_id(4), word_id(5)};
  const Answer a = scripted_answer(words, {"w9", "2w3"});
  EXPECT_EQ(a.text, "w1w");
  EXPECT_EQ(a.done.reason, DoneReason::StopText);
  EXPECT_EQ(a.done.stop_text, "2w3");
  EXPECT_EQ(a.done.ids, head(words, 3));
  const Answer b = scripted_answer(words, {"w1"});
  EXPECT_EQ(b.text, "");
  EXPECT_EQ(b.done.ids, head(words, 1));
}

TEST_F(EngineText, AStopTextOfTheLastTokenCountsBeforeTheLimit) {
  const Answer a = scripted_answer({word_id(1), word_id(2)}, {"2"});
  EXPECT_EQ(a.done.reason, DoneReason::StopText);
  EXPECT_EQ(a.text, "w1w");
}

TEST_F(EngineText, TextThatMayBecomeAStopTextIsHeldAndComesBack) {
  const Ids words{word_id(1), word_id(2), word_id(3)};
  const Answer a = scripted_answer(words, {"w1w2w4", "w3w5"});
  EXPECT_EQ(texts(a), (std::vector<std::string>{"", "", "w1w2", "w3"}));
  EXPECT_EQ(a.done.reason, DoneReason::MaxTokens);
  EXPECT_EQ(a.pieces.back().id, -1);
}

TEST_F(EngineText, AStopTextMayBeMadeOfTheReplacementAtTheEnd) {
  const Answer a = scripted_answer({word_id(1), byte_id(0xE2)}, {std::string("1") + kReplacement});
  EXPECT_EQ(a.done.reason, DoneReason::StopText);
  EXPECT_EQ(a.text, "w");
}

TEST_F(EngineText, ACancelledAnswerGivesBackWhatWasHeld) {
  Request r = scripted(Ids{kBos, word_id(28)}, {word_id(1), word_id(2), word_id(3)});
  r.stop = {"w1w2w4"};
  const Answer a =
      answer_of(*engine_, r, [](const Answer& so_far) { return so_far.pieces.size() < 2; });
  EXPECT_EQ(a.done.reason, DoneReason::Cancelled);
  EXPECT_EQ(a.text, "w1w2");
}

TEST_F(EngineText, MarkersAppearOnlyWhenAskedFor) {
  const Ids ids{word_id(1), kBos + 1, 0, word_id(2)};
  EXPECT_EQ(scripted_answer(ids).done.ids, ids);
  const std::string hidden = scripted_answer(ids).text;
  const std::string shown = scripted_answer(ids, {}, true).text;
  EXPECT_EQ(hidden.find("<pad>"), std::string::npos) << hidden;
  EXPECT_NE(shown.find("<pad>"), std::string::npos) << shown;
}

TEST_F(EngineText, ARawPromptStartsWithOneBosAndMarkersAreTextUnlessAskedFor) {
  const Ids plain = engine_->raw_prompt("<eos>", false),
            marked = engine_->raw_prompt("<eos>", true);
  EXPECT_EQ(marked, (Ids{kBos, kEnd}));
  EXPECT_EQ(plain.front(), kBos);
  EXPECT_EQ(plain.size(), 6U) << "five characters";
  EXPECT_EQ(engine_->raw_prompt("<bos><eos>", true), (Ids{kBos, kEnd})) << "bos only once";
  EXPECT_EQ(engine_->raw_prompt("", false), (Ids{kBos}));
}

TEST_F(EngineText, SaysWhatItIs) {
  const EngineInfo& i = engine_->info();
  EXPECT_EQ(i.family, "gemma4");
  EXPECT_FALSE(i.isa.empty());
  EXPECT_EQ(i.threads, 1);
  EXPECT_EQ(i.context, 256);
  EXPECT_EQ(i.model_context, 4096);
  EXPECT_EQ(i.vocab, 320);
  EXPECT_FALSE(i.has_template);
  EXPECT_FALSE(i.template_note.empty());
  EXPECT_GT(i.memory.tokenizer, 0U);
  EXPECT_EQ(i.memory.mapped, std::filesystem::file_size(text_fixture("e2b/model.safetensors")));
  const auto chat = engine_->chat_prompt({{"user", "hello"}});
  ASSERT_FALSE(chat) << "this vocabulary has no turn markers";
  EXPECT_EQ(chat.error().code, Errc::Unsupported);
}

TEST(EngineFolder, SuppressedIdsNeverAppear) {
  const Ids prompt = random_prompt(20, 3);
  const ModelFolder open("e2b");
  const auto free_engine = load_engine(tiny(open.path()));
  Request r = greedy(prompt, 25);
  r.sampling.bias = {{kEnd, -std::numeric_limits<float>::infinity()}};
  const std::set<TokenId> used = [&] {
    const Ids ids = answer_of(*free_engine, r).done.ids;
    return std::set<TokenId>(ids.begin(), ids.end());
  }();
  ASSERT_GT(used.size(), 3U);

  std::string list;
  for (const TokenId id : used) list += (list.empty() ? "" : ", ") + std::to_string(id);
  const ModelFolder closed("e2b", false,
                           R"({"eos_token_id": [1], "suppress_tokens": [)" + list + "]}");
  const auto engine = load_engine(tiny(closed.path()));
  for (const float t : {0.0F, 1.0F, 100.0F}) {
    r.sampling.temperature = t;
    r.sampling.bias = {{*used.begin(), 1000.0F}};
    r.max_tokens = 150;
    const Answer a = answer_of(*engine, r);
    ASSERT_FALSE(a.error);
    for (const TokenId id : a.done.ids) EXPECT_EQ(used.count(id), 0U) << id;
  }
}

TEST(EngineFolder, DefaultsAndEndIdsAreThoseOfTheModelsOwnFiles) {
  const ModelFolder folder(
      "e2b", true, R"({"eos_token_id": [1, 270], "temperature": 0.5, "top_k": 7, "top_p": 0.25})");
  const auto engine = load_engine(tiny(folder.path()));
  const Sampling s = engine->default_sampling();
  EXPECT_EQ(s.temperature, 0.5F);
  EXPECT_EQ(s.top_k, 7);
  EXPECT_EQ(s.top_p, 0.25F);
  for (const TokenId end : {kEnd, TokenId{270}, ModelFolder::kTurnEnd}) {
    const Answer a = answer_of(*engine, scripted(Ids{kBos, 5}, {300, end, 301}));
    EXPECT_EQ(a.done.reason, DoneReason::EndToken) << end;
    EXPECT_EQ(a.done.ids, (Ids{300, end}));
  }
}

TEST(EngineFolder, WithoutATokenizerOrAModelIsAnErrorThatSaysSo) {
  const auto no_tokenizer = Engine::load(tiny(text_fixture("e2b")));
  ASSERT_FALSE(no_tokenizer);
  EXPECT_NE(no_tokenizer.error().text().find("tokenizer.json"), std::string::npos);
  const auto no_model = Engine::load(tiny(text_fixture("nothing.gguf")));
  ASSERT_FALSE(no_model);
  EXPECT_NE(no_model.error().text().find("nothing.gguf"), std::string::npos);
}

}  // namespace
}  // namespace bezel::test
