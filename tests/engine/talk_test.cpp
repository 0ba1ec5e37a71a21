// Answers taken apart, thoughts kept within bounds, and chats whose model calls tools.
#include <algorithm>
#include <deque>

#include "bezel/chat.h"
#include "engine/harness.h"
#include "engine/talk/talker.h"
#include "engine/talk/thought.h"

namespace bezel::test {
namespace {

const Tokenizer& tokenizer() {
  static const auto loaded =
      Tokenizer::load_json(std::string(BEZEL_FIXTURES) + "/tokenizer/small/tokenizer.json");
  return **loaded;
}

struct Taken {
  Turn turn;
  Done done;
  std::string order;  // of events: t thought, x text, c call
  std::string shown;  // text as it came
};

// The answer `text`, in which markers count, ended by `end`.
Taken taken(const std::string& text, const std::string& end = "<turn|>",
            const std::vector<std::string>& stops = {}, bool think = true) {
  Taken out;
  const std::function<bool(const Event&)> on_event = [&](const Event& e) {
    const char kind = std::holds_alternative<ThoughtPiece>(e) ? 't'
                      : std::holds_alternative<TextPiece>(e)  ? 'x'
                                                              : 'c';
    if (out.order.empty() || out.order.back() != kind) out.order += kind;
    if (const auto* piece = std::get_if<TextPiece>(&e)) out.shown += piece->text;
    return true;
  };
  output::Options options;
  options.thinking = think;
  Talker talker(tokenizer(), options, stops, 3, on_event);
  out.done.reason = end.empty() ? DoneReason::MaxTokens : DoneReason::EndToken;
  for (const TokenId id : tokenizer().encode(text)) {
    TextPiece piece;
    piece.id = id;
    out.done.ids.push_back(id);
    if (talker.push(piece)) continue;
    out.done.reason = DoneReason::Cancelled;
    break;
  }
  if (out.done.reason == DoneReason::EndToken) out.done.ids.push_back(*tokenizer().find(end));
  talker.finish(out.done);
  out.turn = talker.take();
  return out;
}

TEST(Talker, ThoughtTextAndCallsComeApartInTheirOrder) {
  const Taken t = taken(
      "<|channel>thought\nhm, 2+2\n<channel|>Let me see.<|tool_call>call:calculate{expression:"
      "<|\"|>2+2<|\"|>}<tool_call|><|tool_call>call:now{}<tool_call|>",
      "<|tool_response>");
  EXPECT_EQ(t.turn.role, "assistant");
  EXPECT_EQ(t.turn.thought, "hm, 2+2");
  EXPECT_EQ(t.turn.text, "Let me see.");
  EXPECT_EQ(t.shown, t.turn.text);
  ASSERT_EQ(t.turn.calls.size(), 2U);
  EXPECT_EQ(t.turn.calls[0], (ToolCall{"call_3", "calculate", R"({"expression":"2+2"})"}));
  EXPECT_EQ(t.turn.calls[1], (ToolCall{"call_4", "now", "{}"}));
  EXPECT_EQ(t.order, "txc");
  EXPECT_EQ(t.done.reason, DoneReason::EndToken);
}

TEST(Talker, NoMarkerTextLeaksIntoTheTextWhenTheAnswerIsCutAnywhere) {
  const std::string all =
      "<|channel>thought\nhm\n<channel|>Hi<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|>";
  const auto ids = tokenizer().encode(all);
  for (std::size_t n = 0; n <= ids.size(); ++n) {
    const std::string part = *tokenizer().decode(std::span(ids).subspan(0, n), false);
    const Taken t = taken(part, "");
    EXPECT_EQ(t.turn.text.find('<'), std::string::npos) << part;
    EXPECT_EQ(t.turn.thought.find('<'), std::string::npos) << part;
    for (const ToolCall& c : t.turn.calls) EXPECT_TRUE(parse_json(c.arguments, "")) << part;
  }
}

TEST(Talker, AStopTextCountsInTheTextAlone) {
  const Taken t = taken("<|channel>thought\nSTOP\n<channel|>one STOP two", "<turn|>", {"STOP"});
  EXPECT_EQ(t.turn.thought, "STOP");
  EXPECT_EQ(t.turn.text, "one ");
  EXPECT_EQ(t.shown, "one ");
  EXPECT_EQ(t.done.reason, DoneReason::StopText);
  EXPECT_EQ(t.done.stop_text, "STOP");
  EXPECT_EQ(taken("one STO", "<turn|>", {"STOP"}).turn.text, "one STO");
}

TEST(ThoughtGuard, EndsAThoughtWhenItsBudgetIsSpent) {
  constexpr TokenId kOpen = 100, kClose = 101;
  Request r;
  r.thought_budget = 2;
  ThoughtGuard guard(kOpen, kClose, r);
  EXPECT_EQ(guard.forced(), -1);
  guard.push(kOpen);
  EXPECT_EQ(guard.forced(), -1);
  guard.push(7);
  guard.push(8);
  EXPECT_EQ(guard.forced(), kClose);
  guard.push(kClose);
  for (int i = 0; i < 5; ++i) guard.push(7);
  EXPECT_EQ(guard.forced(), -1) << "the text has no budget";
  r.in_thought = true;
  r.thought_budget = 0;
  EXPECT_EQ(ThoughtGuard(kOpen, kClose, r).forced(), kClose);
  EXPECT_EQ(ThoughtGuard(-1, -1, r).forced(), -1) << "a vocabulary without these markers";
}

// Gives replies as they were set up, and keeps what it was asked.
class ScriptedEngine final : public Engine {
 public:
  std::deque<Reply> replies;
  std::vector<std::vector<Turn>> asked;

  const EngineInfo& info() const override { return info_; }
  Sampling default_sampling() const override { return {}; }
  std::vector<TokenId> raw_prompt(std::string_view, bool) const override { return {}; }
  std::string text_of(const std::vector<TokenId>&) const override { return {}; }
  Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns,
                                           const Talk&) const override {
    return std::vector<TokenId>(turns.size());
  }
  Result<Done> generate(const Request&, const std::function<bool(const Event&)>&) override {
    return Error{Errc::Unsupported, "", ""};
  }
  Result<Reply> reply(const std::vector<Turn>& turns, const Talk&, const Request&,
                      const std::function<bool(const Event&)>&) override {
    asked.push_back(turns);
    if (replies.empty()) return Error{Errc::BadInput, "no reply is left", ""};
    Reply next = std::move(replies.front());
    replies.pop_front();
    return next;
  }
  void says(const std::string& text, std::vector<ToolCall> calls = {},
            DoneReason reason = DoneReason::EndToken) {
    Reply r;
    r.turn = {"assistant", text};
    r.turn.calls = std::move(calls);
    r.done.reason = reason;
    replies.push_back(std::move(r));
  }

 private:
  EngineInfo info_{};
};

bool go_on(const Event&) {
  return true;
}

TEST(ChatTools, ResultsGoBackToTheModelUntilItAnswers) {
  ScriptedEngine engine;
  engine.says("I look.", {{"call_0", "f", "{}"}, {"call_1", "g", "{}"}});
  engine.says("Both are there.");
  Chat chat(engine);
  const auto done = chat.ask("go", {}, go_on, [](const ToolCall& c) -> Result<std::string> {
    if (c.name == "g") return Error{Errc::NotFound, "g is gone", ""};
    return std::string("fine");
  });
  ASSERT_TRUE(done);
  ASSERT_EQ(engine.asked.size(), 2U);
  ASSERT_EQ(chat.turns().size(), 5U);
  EXPECT_EQ(chat.turns()[1].calls.size(), 2U);
  EXPECT_EQ(chat.turns()[2].role, "tool");
  EXPECT_EQ(chat.turns()[2].call_id, "call_0");
  EXPECT_EQ(chat.turns()[2].text, "fine");
  EXPECT_EQ(chat.turns()[3].text, "error: g is gone");
  EXPECT_EQ(chat.turns()[4].text, "Both are there.");

  const TempFolder folder;
  ASSERT_TRUE(chat.save(folder.file("chat.json")));
  Chat again(engine);
  ASSERT_TRUE(again.load(folder.file("chat.json")));
  EXPECT_EQ(again.turns(), chat.turns());
}

TEST(ChatTools, OfALongResultTheModelReadsTheBeginningAndIsTold) {
  ScriptedEngine engine;
  engine.says("", {{"call_0", "f", "{}"}});
  engine.says("done");
  Chat chat(engine);
  std::string result(Chat::kMaxResultBytes - 1, 'x');
  result += "\u00e9 and more";  // the limit lies inside this character
  ASSERT_TRUE(
      chat.ask("go", {}, go_on, [&](const ToolCall&) -> Result<std::string> { return result; }));
  EXPECT_EQ(chat.turns()[2].text,
            std::string(Chat::kMaxResultBytes - 1, 'x') +
                fmt::format("\n[cut here: these are 65535 of {} bytes]", result.size()));
}

TEST(ChatTools, AModelThatCallsForEverIsStoppedAndLeavesNoOpenCall) {
  ScriptedEngine engine;
  for (int i = 0; i < 40; ++i) engine.says("", {{"c", "f", "{}"}});
  Chat chat(engine);
  int calls = 0;
  ASSERT_TRUE(chat.ask("go", {}, go_on, [&](const ToolCall&) -> Result<std::string> {
    ++calls;
    return std::string("x");
  }));
  EXPECT_EQ(calls, Chat::kMaxRounds);
  EXPECT_TRUE(chat.turns().back().calls.empty());
}

TEST(ChatTools, ACancelledAnswerMakesNoCallAndAnErrorLeavesTheHistory) {
  ScriptedEngine engine;
  engine.says("I ", {{"c", "f", "{}"}}, DoneReason::Cancelled);
  Chat chat(engine);
  bool called = false;
  const auto call = [&](const ToolCall&) -> Result<std::string> {
    called = true;
    return std::string("x");
  };
  ASSERT_TRUE(chat.ask("go", {}, go_on, call));
  EXPECT_FALSE(called);
  EXPECT_TRUE(chat.turns().back().calls.empty());
  const auto before = chat.turns();
  engine.says("", {{"c", "f", "{}"}});  // then no reply is left
  EXPECT_FALSE(chat.ask("more", {}, go_on, call));
  EXPECT_TRUE(called);
  EXPECT_EQ(chat.turns(), before);
}

}  // namespace
}  // namespace bezel::test
