// bezel chat, on a terminal and with a script.
#include "apps/models.h"
#include "apps/terminal.h"

namespace bezel::test {
namespace {

const Words kShort{"-n", "5"};

Words chat_words(const std::string& model, const Words& flags = {}) {
  return Words{"chat", model} + TalkingModel::always('x') + flags;
}

// A saved conversation.
Json saved(const TempFolder& folder, const std::string& name) {
  return json_of(folder.get(name));
}

TEST(Chat, AnAnswerIsStreamedAndCtrlCStopsItAndNotTheProgram) {
  const TalkingModel model;
  Terminal t(chat_words(model.path()));
  t.until("/help lists the commands");
  t.until("> ");
  t.type("hello\n");
  t.until("xxxx");  // long before its end, which would be that of the context
  EXPECT_FALSE(has(t.screen(), "tokens used"));
  t.ctrl_c();
  t.until("[stopped]");
  t.until("tokens used");
  t.until("> ");
  t.type("again\n");
  t.until("xxxx");
  t.ctrl_c();
  t.until("[stopped]");
  t.until("> ");
  t.type("/save /dev/null\n");
  t.until("(4 turns)");
  t.until("> ");
  t.ctrl_d();
  const Ending end = t.finish();
  EXPECT_EQ(end.status, 0) << end.signal;
}

TEST(Chat, CtrlDEndsAtOnceAndCtrlCAtThePromptDropsTheLineOnly) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), kShort));
  t.until("> ");
  t.type("half a line");
  ::usleep(50000);
  t.ctrl_c();
  t.until("Ctrl-D or /quit ends the chat");
  t.until("> ");
  t.type("whole\n");
  EXPECT_EQ(t.until("[the longest"), "xxxxx\n");
  const TempFolder folder;
  t.until("> ");
  t.type("/save " + folder.file("chat") + "\n");
  t.until("Saved");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  EXPECT_EQ(saved(folder, "chat").at("turns").at(0).at("text"), "whole");
}

TEST(Chat, TheTokensLeftAreShownAfterEveryAnswer) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), kShort + Words{"--ctx", "100"}));
  int before = 0;
  for (const char* question : {"a\n", "b\n"}) {
    t.until("> ");
    t.type(question);
    t.until("\n[");
    const std::string line = t.until(" left]");
    t.type("");
    const std::string text = line.substr(line.rfind('[') + 1);
    int used = 0, context = 0, left = 0;
    ASSERT_EQ(std::sscanf(text.c_str(), "%d of %d tokens used, %d", &used, &context, &left), 3)
        << line;
    EXPECT_EQ(context, 100);
    EXPECT_EQ(used + left, 100);
    EXPECT_GT(used, before + 10);
    before = used;
  }
  t.until("> ");
  t.type("/quit\n");
  EXPECT_EQ(t.finish().status, 0);
}

TEST(Chat, HelpListsEveryCommandAndAnUnknownOneIsNamed) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), kShort));
  t.until("> ");
  t.type("/help\n");
  const std::string help = t.until("Ctrl-C stops an answer.");
  for (const char* name : {"/help", "/clear", "/system", "/save", "/load", "/stats", "/compact",
                           "/quit", "Ctrl-D", "\"\"\""})
    EXPECT_TRUE(has(help, name)) << name;
  t.until("> ");
  t.type("/nonsense\n");
  t.until("bezel: there is no command /nonsense");
  t.until("> ");
  t.type("   \n");  // nothing is asked
  t.until("> ");
  t.type("/exit\n");
  EXPECT_EQ(t.finish().status, 0);  // the person has seen the error
  EXPECT_FALSE(has(t.screen(), "xxx"));
}

TEST(Chat, StatsNameTheModelItsSpeedAndItsMemory) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), kShort + Words{"--threads", "1"}));
  t.until("> ");
  t.type("/stats\n");
  t.until("[0 of 131072 tokens used");
  t.until("model gemma4 custom, kernels ");
  t.until("1 threads");
  t.until("> ");
  t.type("one\n");
  t.until("> ");
  t.type("two\n");
  t.until("> ");
  t.type("/stats\n");
  t.until("last prompt ");
  EXPECT_FALSE(has(t.until("answer 5 tokens"), "(0 reused)"));
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
}

TEST(Chat, SystemTextIsShownSetAndRemovedAndClearKeepsIt) {
  const TalkingModel model;
  const TempFolder folder;
  Terminal t(chat_words(model.path(), kShort + Words{"--system", "be kind"}));
  const auto say = [&](const std::string& line, const char* answer) {
    t.until("> ");
    t.type(line + "\n");
    t.until(answer);
  };
  say("/system", "System text: be kind");
  say("/system be brief  ", "System text: be brief\n");
  say("hello", "tokens used");
  say("/save " + folder.file("first"), "(2 turns)");
  say("/clear", "forgotten");
  say("/save " + folder.file("second"), "(0 turns)");
  say("/system -", "There is no system text.");
  say("/save " + folder.file("third"), "(0 turns)");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  const Json first = saved(folder, "first");
  EXPECT_EQ(first.at("system"), "be brief");
  EXPECT_EQ(first.at("turns"), Json::array({{{"role", "user"}, {"text", "hello"}},
                                            {{"role", "assistant"}, {"text", "xxxxx"}}}));
  EXPECT_EQ(saved(folder, "second").at("system"), "be brief");
  EXPECT_EQ(saved(folder, "third").at("system"), "");
}

TEST(Chat, TextsOfSeveralLinesAreOneQuestion) {
  const TalkingModel model;
  const TempFolder folder;
  Terminal t(chat_words(model.path(), kShort));
  t.until("> ");
  t.type("one\\\n");
  t.until(". ");
  t.type("two\n");
  t.until("> ");
  t.type("\"\"\"first\n");
  t.until(". ");
  t.type("/clear\n");  // text, not a command
  t.until(". ");
  t.type("\n");
  t.until(". ");
  t.type("last\"\"\"\n");
  t.until("> ");
  t.type("\"\"\"a\\b\"\"\"\n");
  t.until("> ");
  t.type("/save " + folder.file("chat") + "\n");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  const Json turns = saved(folder, "chat").at("turns");
  ASSERT_EQ(turns.size(), 6U);
  EXPECT_EQ(turns.at(0).at("text"), "one\ntwo");
  EXPECT_EQ(turns.at(2).at("text"), "first\n/clear\n\nlast");
  EXPECT_EQ(turns.at(4).at("text"), "a\\b");
}

TEST(Chat, ASavedConversationGoesOnWhereItEnded) {
  const TalkingModel model;
  const TempFolder folder;
  const Words flags{"-n", "8", "--seed", "4", "--bias", "1=-inf", "--bias", "106=-inf"};
  const auto chat = [&](const Words& more, const std::string& script) {
    return output_of(Words{"chat", model.path()} + flags + more, script);
  };
  const std::string save = "/save " + folder.file("a") + "\n";
  const std::string both = chat({}, "one\n" + save + "two\n");
  const std::string first = chat({}, "one\n");
  ASSERT_EQ(both.rfind(first, 0), 0U);
  const std::string second = both.substr(first.size());
  EXPECT_EQ(chat({"--load", folder.file("a")}, "two\n"), second);
  EXPECT_EQ(chat({}, "/load " + folder.file("a") + "\ntwo\n"), second);
  EXPECT_NE(chat({}, "two\n"), second);
}

TEST(Chat, CompactPutsASummaryInTheConversationsPlace) {
  const TalkingModel model;
  const TempFolder folder;
  Terminal t(chat_words(model.path(), Words{"--ctx", "1200", "-n", "300"}));
  t.until("> ");
  t.type("/compact\n");
  t.until("bezel: there is no conversation to compact yet");
  t.until("> ");
  t.type("one\n");
  t.until("> ");
  t.type("two\n");
  t.until("> ");
  t.type("/compact\n");
  t.until("[compacted from ");
  const std::string numbers = t.until(" tokens]");
  int before = 0, after = 0;
  ASSERT_EQ(std::sscanf(numbers.c_str(), "%d to %d", &before, &after), 2) << numbers;
  EXPECT_GT(before, 600);
  EXPECT_LT(after, before);
  t.until("> ");
  t.type("/save " + folder.file("chat") + "\n");
  t.until("(2 turns)");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  const std::string summary = saved(folder, "chat").at("turns").at(0).at("text").get<std::string>();
  EXPECT_TRUE(has(summary, "summary") && has(summary, "\n\nxxx")) << summary;
}

TEST(Chat, CtrlCStopsASummaryAndChangesNothing) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), Words{"--chunk", "1", "--threads", "1"}));
  t.until("> ");
  t.type("one\n");
  t.until("xxxxxxxx");
  t.ctrl_c();
  t.until("[stopped]");
  t.until("> ");
  t.type("/compact\n");
  // It either is still being written, or reads: no end can come before 512 tokens.
  ::usleep(20000);
  t.ctrl_c();
  t.until("bezel: the summary was stopped; the conversation is as before");
  t.until("> ");
  t.type("/save /dev/null\n");
  t.until("(2 turns)");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0) << t.screen();
}

TEST(Chat, AFullContextIsSaidAndRoomCanBeMade) {
  const TalkingModel model;
  Terminal t(chat_words(model.path(), {"--ctx", "60"}));
  t.until("> ");
  t.type("one\n");
  t.until("[the context is full: the answer stops here]");
  t.until("0 left]");
  t.until("> ");
  t.type("two\n");
  t.until("bezel: the prompt has ");
  t.until("/compact or /clear make room.");
  t.until("> ");
  t.type("/clear\n");
  t.until("> ");
  t.type("three\n");
  t.until("xxx");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
}

TEST(Chat, ABaseModelSaysThatItHasNoTemplate) {
  const TalkingModel bare(false);
  Terminal t(chat_words(bare.path(), kShort));
  t.until("note: the file has no chat template");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  Terminal none({"chat", base_model()});
  none.until("note: the vocabulary has no turn markers");
  none.until("> ");
  none.type("hello\n");
  none.until("bezel: the vocabulary has no <|turn>, so this model cannot chat");
  none.until("> ");
  none.ctrl_d();
  EXPECT_EQ(none.finish().status, 0);
}

TEST(Chat, AScriptGetsAnswersOnStandardOutputAndFailsWhenALineFails) {
  const TalkingModel model;
  const Ran good = bezel(chat_words(model.path(), kShort), "one\ntwo\\\nthree\n\n/stats\nfour");
  EXPECT_EQ(good.status, 0);
  EXPECT_EQ(good.out, "xxxxx\nxxxxx\nxxxxx\n");
  EXPECT_FALSE(has(good.err, "> ")) << good.err;
  const Ran bad = bezel(chat_words(model.path(), kShort), "/nonsense\none\n");
  EXPECT_EQ(bad.status, 1);
  EXPECT_EQ(bad.out, "xxxxx\n");
  EXPECT_EQ(bezel({"chat", base_model()}, "hello\n").status, 1);
  EXPECT_EQ(bezel(chat_words(model.path(), kShort), "one\n/quit\ntwo\n").out, "xxxxx\n");
}

TEST(Chat, BadFilesOfConversationsAreOneSentenceAndChangeNothing) {
  const TalkingModel model;
  const TempFolder folder;
  const char* bad[] = {"",
                       "{",
                       "[]",
                       "{\"turns\":1}",
                       "{\"turns\":[1]}",
                       "{\"turns\":[{\"role\":\"user\",\"text\":\"a\"}]}",
                       "{\"turns\":[{\"role\":\"assistant\",\"text\":\"a\"}]}",
                       "{\"system\":1,\"turns\":[]}"};
  std::string script = "one\n";
  int n = 0;
  for (const char* text : bad) script += "/load " + folder.put(std::to_string(n++), text) + "\n";
  script += "/load " + folder.file("missing") + "\n/load\n/save\n/save " +
            folder.file("missing/x") + "\n/save " + folder.file("good") + "\n";
  const Ran ran = bezel(chat_words(model.path(), kShort), script);
  EXPECT_EQ(ran.status, 1);
  std::size_t errors = 0;
  for (std::size_t at = 0; (at = ran.err.find("\nbezel: ", at)) != std::string::npos; ++at)
    ++errors;
  EXPECT_EQ(errors, std::size(bad) + 4) << ran.err;
  EXPECT_EQ(saved(folder, "good").at("turns").size(), 2U);
  complaint({"chat", model.path(), "--load", folder.file("0")});
}

TEST(Chat, ThinkingAndToolsAreSwitchedAndListed) {
  const TalkingModel model;
  const Ran ran =
      bezel(Words{"chat", model.path(), "--builtin-tools", "-n", "4"} + TalkingModel::always('b'),
            "/tools\n/think on\n/think perhaps\nhello\n/quit\n");
  EXPECT_TRUE(has(ran.err, "current_time\ncalculate")) << ran.err;
  EXPECT_TRUE(has(ran.err, "thinks before")) << ran.err;
  EXPECT_TRUE(has(ran.err, "/think on or /think off")) << ran.err;
  EXPECT_TRUE(has(ran.out, "bbbb")) << ran.out;
  EXPECT_EQ(ran.status, 1) << "a script's mistake";
  EXPECT_TRUE(has(complaint({"chat", model.path(), "--mcp", "exit 1"}), "exit 1"));
  EXPECT_TRUE(has(complaint({"chat", model.path(), "--folder", "/no/such"}), "/no/such"));
}

}  // namespace
}  // namespace bezel::test
