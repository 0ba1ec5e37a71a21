// Conversations: what is kept, saved, read back and made shorter.
#include "bezel/chat.h"

#include <algorithm>

#include "engine/harness.h"

namespace bezel::test {
namespace {

using Saved = std::vector<std::pair<std::string, std::string>>;
Saved turns_of(const Chat& chat) {
  Saved out;
  for (const Turn& t : chat.turns()) out.emplace_back(t.role, t.text);
  return out;
}

class ChatTest : public testing::Test {
 protected:
  static constexpr int kContext = 1024;
  void SetUp() override {
    EngineOptions o = tiny(folder_.path());
    o.context = kContext;
    o.chunk = 128;
    engine_ = load_engine(o);
    rules_.sampling.seed = 3;
    rules_.sampling.top_k = 8;
    rules_.max_tokens = 12;
    // no end token: answers are as long as asked for; only letters, which stay one token each
    for (TokenId id = 0; id < 320; ++id)
      if (id < ModelFolder::letter('a') || id > ModelFolder::letter('z'))
        rules_.sampling.bias.emplace_back(id, -1000.0F);
  }
  // Asks, and gives the text of the events; `pieces` > 0 cancels after that many.
  std::string ask(Chat& chat, const std::string& text, std::size_t pieces = 0) {
    std::string answer;
    std::size_t n = 0;
    const auto done = chat.ask(text, rules_, [&](const Event& e) {
      if (const auto* piece = std::get_if<TextPiece>(&e)) {
        answer += piece->text;
        return ++n != pieces;
      }
      return true;
    });
    EXPECT_TRUE(done) << (done ? "" : done.error().text());
    if (done) last_ = *done;
    return answer;
  }
  static bool go_on(const Event&) { return true; }

  ModelFolder folder_{"e2b", true};
  std::unique_ptr<Engine> engine_;
  Request rules_;
  Done last_;
};

TEST_F(ChatTest, KeepsQuestionsAndAnswersAndSendsThemAgain) {
  Chat chat(*engine_);
  EXPECT_EQ(*chat.used_tokens(), 0);
  chat.set_system("be kind");
  const std::string first = ask(chat, "hello");
  EXPECT_EQ(first.size(), 12U);
  EXPECT_EQ(turns_of(chat), (Saved{{"user", "hello"}, {"assistant", first}}));
  const auto want =
      engine_->chat_prompt({{"system", "be kind"}, {"user", "hello"}, {"assistant", first}});
  ASSERT_TRUE(want);
  EXPECT_EQ(*chat.used_tokens(), static_cast<int>(want->size()));

  const std::string second = ask(chat, "and you");
  EXPECT_EQ(
      turns_of(chat),
      (Saved{{"user", "hello"}, {"assistant", first}, {"user", "and you"}, {"assistant", second}}));
  const auto sent = engine_->chat_prompt(
      {{"system", "be kind"}, {"user", "hello"}, {"assistant", first}, {"user", "and you"}});
  ASSERT_TRUE(sent);
  EXPECT_EQ(last_.prompt_tokens, static_cast<int>(sent->size()));
  EXPECT_GT(last_.reused_tokens, last_.prompt_tokens / 2) << "the first exchange was still there";
}

TEST_F(ChatTest, AMarkerInAQuestionStaysText) {
  Chat chat(*engine_);
  ask(chat, "x<turn|>y");
  const auto prompt = engine_->chat_prompt({{"user", "x<turn|>y"}});
  ASSERT_TRUE(prompt);
  EXPECT_EQ(std::count(prompt->begin(), prompt->end(), ModelFolder::kTurnEnd), 1);
  EXPECT_EQ(chat.turns()[0].text, "x<turn|>y");
}

TEST_F(ChatTest, ACancelledAnswerIsKeptAsFarAsItCame) {
  Chat chat(*engine_);
  const std::string part = ask(chat, "hello", 4);
  EXPECT_EQ(last_.reason, DoneReason::Cancelled);
  EXPECT_EQ(part.size(), 4U);
  EXPECT_EQ(turns_of(chat), (Saved{{"user", "hello"}, {"assistant", part}}));
}

TEST_F(ChatTest, AnErrorLeavesTheHistoryAsItWas) {
  Chat chat(*engine_);
  ask(chat, "hello");
  const Saved before = turns_of(chat);
  const auto too_long = chat.ask(std::string(kContext, 'a'), rules_, go_on);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Errc::TooLarge);
  EXPECT_NE(too_long.error().what.find("1024"), std::string::npos) << too_long.error().what;
  EXPECT_EQ(turns_of(chat), before);
  Request bad = rules_;
  bad.sampling.temperature = -1;
  EXPECT_FALSE(chat.ask("hello", bad, go_on));
  EXPECT_EQ(turns_of(chat), before);
}

TEST_F(ChatTest, ClearForgetsTheTurnsAndKeepsTheSystemText) {
  Chat chat(*engine_);
  chat.set_system("be kind");
  ask(chat, "hello");
  chat.clear();
  EXPECT_TRUE(chat.turns().empty());
  EXPECT_EQ(chat.system(), "be kind");
  Chat fresh(*engine_);
  fresh.set_system("be kind");
  EXPECT_EQ(ask(chat, "hello"), ask(fresh, "hello"));
}

const Saved kOdd{{"user", "a \"quoted\"\nline\t\\"},
                 {"assistant", "\xC3\xA9 \xF0\x9F\x98\x80 <turn|>"},
                 {"user", ""},
                 {"assistant", std::string("\0", 1) + "\x01\x7F"}};

std::string saved_json(const Saved& turns, const std::string& system) {
  Json list = Json::array();
  for (const auto& [role, text] : turns) list.push_back({{"role", role}, {"text", text}});
  return dump_json({{"system", system}, {"turns", list}});
}

TEST_F(ChatTest, WhatIsSavedIsReadBackAsItWas) {
  const TempFolder files;
  Chat chat(*engine_);
  ASSERT_TRUE(chat.load(files.put("in.json", saved_json(kOdd, "sys\n"))));
  EXPECT_EQ(turns_of(chat), kOdd);
  ASSERT_TRUE(chat.save(files.file("out.json")));
  EXPECT_EQ(files.n_files(), 2) << "no temporary file stays";
  Chat other(*engine_);
  ask(other, "something else");
  ASSERT_TRUE(other.load(files.file("out.json")));
  EXPECT_EQ(turns_of(other), kOdd);
  EXPECT_EQ(other.system(), "sys\n");

  ASSERT_TRUE(Chat(*engine_).save(files.file("out.json"))) << "over an old file";
  ASSERT_TRUE(other.load(files.file("out.json")));
  EXPECT_TRUE(other.turns().empty());
  EXPECT_EQ(other.system(), "");
}

TEST_F(ChatTest, AConversationGoesOnAfterSavingAsItWouldHaveWithout) {
  const TempFolder files;
  Chat chat(*engine_), other(*engine_);
  ask(chat, "hello");
  ASSERT_TRUE(chat.save(files.file("chat.json")));
  ASSERT_TRUE(other.load(files.file("chat.json")));
  EXPECT_EQ(ask(other, "more"), ask(chat, "more"));
}

TEST_F(ChatTest, SavingWhereNoFileCanBeIsAnError) {
  const TempFolder files;
  Chat chat(*engine_);
  ask(chat, "hello");
  const Status saved = chat.save(files.file("no/such/folder.json"));
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().text().find("folder.json"), std::string::npos) << saved.error().text();
  EXPECT_EQ(files.n_files(), 0);
}

TEST_F(ChatTest, ABadFileIsRefusedWithASentenceAndChangesNothing) {
  constexpr const char* kBad[] = {
      "",
      "[]",
      "17",
      "{",
      R"({"system": "x"})",
      R"({"turns": {}})",
      R"({"turns": ["text"]})",
      R"({"turns": [{"role": "user", "text": "a"}]})",
      R"({"turns": [{"role": "assistant", "text": "a"}, {"role": "user", "text": "b"}]})",
      R"({"turns": [{"role": "user", "text": "a"}, {"role": "user", "text": "b"}]})",
      R"({"turns": [{"role": "system", "text": "a"}, {"role": "user", "text": "b"}]})",
      R"({"turns": [{"role": "user", "text": 3}, {"role": "assistant", "text": "b"}]})",
      R"({"turns": [{"role": 1, "text": "a"}, {"role": "assistant", "text": "b"}]})",
      R"({"system": 5, "turns": []})",
      R"({"turns": [{"text": "a"}, {"text": "b"}]})",
      R"({"turns": []} and more)",
  };
  const TempFolder files;
  Chat chat(*engine_);
  chat.set_system("be kind");
  ask(chat, "hello");
  const Saved before = turns_of(chat);
  for (const char* text : kBad) {
    const Status loaded = chat.load(files.put("bad.json", text));
    ASSERT_FALSE(loaded) << text;
    EXPECT_GT(loaded.error().what.size(), 15U) << text;
    EXPECT_EQ(turns_of(chat), before) << text;
    EXPECT_EQ(chat.system(), "be kind") << text;
  }
  const Status missing = chat.load(files.file("missing.json"));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().text().find("missing.json"), std::string::npos);
  EXPECT_EQ(turns_of(chat), before);
}

TEST_F(ChatTest, CompactingPutsASummaryInTheHistorysPlace) {
  Chat chat(*engine_);
  for (int i = 0; i < 3; ++i) ask(chat, std::string(60, 'q'));
  const int before = *chat.used_tokens();
  std::string summary;
  const auto done = chat.compact(rules_, [&](const Event& e) {
    if (const auto* piece = std::get_if<TextPiece>(&e)) summary += piece->text;
    return true;
  });
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->before, before);
  EXPECT_EQ(done->after, *chat.used_tokens());
  EXPECT_EQ(done->dropped, 0);
  EXPECT_EQ(summary.size(), 256U) << "a quarter of the context";
  ASSERT_EQ(chat.turns().size(), 2U);
  EXPECT_EQ(chat.turns()[0].role, "user");
  EXPECT_NE(chat.turns()[0].text.find(summary), std::string::npos);
  EXPECT_EQ(chat.turns()[1].role, "assistant");
  ask(chat, "more");
  EXPECT_EQ(chat.turns().size(), 4U);
}

TEST_F(ChatTest, CompactingALongHistoryLeavesOutTheOldestExchanges) {
  Chat chat(*engine_);
  chat.set_system("be kind");
  const TempFolder files;
  Saved turns;
  for (int i = 0; i < 8; ++i) {
    turns.emplace_back("user", std::string(50, static_cast<char>('a' + i)));
    turns.emplace_back("assistant", std::string(50, 'z'));
  }
  ASSERT_TRUE(chat.load(files.put("long.json", saved_json(turns, "be kind"))));
  const int used = *chat.used_tokens();
  const auto done = chat.compact(rules_, go_on);
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->before, used);
  EXPECT_GT(done->dropped, 0);
  EXPECT_LT(done->dropped, 8);
  EXPECT_LT(done->after, done->before);
  EXPECT_EQ(chat.turns().size(), 2U);
}

TEST_F(ChatTest, CompactingThatCannotBeDoneChangesNothing) {
  Chat chat(*engine_);
  const auto empty = chat.compact(rules_, go_on);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Errc::BadInput);

  ask(chat, std::string(700, 'x'));
  const Saved before = turns_of(chat);
  const auto too_long = chat.compact(rules_, go_on);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Errc::TooLarge);
  EXPECT_EQ(turns_of(chat), before);

  Chat other(*engine_);
  ask(other, "hello");
  const Saved short_one = turns_of(other);
  int pieces = 0;
  const auto stopped = other.compact(rules_, [&](const Event& e) {
    return !std::holds_alternative<TextPiece>(e) || ++pieces < 3;
  });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::Cancelled);
  EXPECT_EQ(turns_of(other), short_one);
}

}  // namespace
}  // namespace bezel::test
