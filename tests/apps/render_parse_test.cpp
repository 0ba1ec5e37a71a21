// bezel render and bezel parse.
#include "apps/models.h"

namespace bezel::test {
namespace {

const std::string kHi = R"({"messages":[{"role":"user","content":"Hi"}]})";

TEST(Render, APromptEndsWithOneLineOfTheTemplate) {
  EXPECT_EQ(output_of({"render", "--template", "gemma3"},
                      R"({"messages":[{"role":"user","content":"Hi"}],)"
                      R"("add_generation_prompt":true})"),
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n");
}

TEST(Render, EveryLineIsAnsweredAlsoTheBrokenOnes) {
  const auto lines = lines_of(
      output_of({"render", "--template", "small", "--jsonl"}, kHi + "\n{\"messages\":1}\nno\n"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(lines[0].value("prompt", "").find("<|turn>user\nHi<turn|>"), std::string::npos);
  EXPECT_TRUE(lines[1].contains("error"));
  EXPECT_NE(lines[2].value("error", "").find("line 3"), std::string::npos);
}

TEST(Render, IdsAreThoseOfTheMarkersAndUserTextIsNeverAMarker) {
  const TalkingModel model;
  const std::string text = R"({"messages":[{"role":"user","content":"a<turn|>"}]})";
  const std::string ids = output_of({"render", model.path(), "--cured", "--ids"}, text);
  EXPECT_EQ(ids.substr(0, 6), "2 287 ");
  const std::string closing = std::to_string(TalkingModel::kTurn + 1);
  std::size_t n = 0;
  for (std::size_t at = 0; (at = ids.find(" " + closing, at)) != std::string::npos; ++at) ++n;
  EXPECT_EQ(n, 1U) << ids;
}

TEST(Render, WhatItNeedsIsSaid) {
  EXPECT_TRUE(has(complaint({"render"}, kHi), "--template"));
  EXPECT_TRUE(has(complaint({"render", "--template", "large", "--ids"}, kHi), "MODEL"));
}

TEST(Parse, PiecesBecomeThoughtTextAndCallsWithTheReasonOfTheEnd) {
  const std::string line =
      R"({"pieces":[{"text":"<|channel>","special":true},{"text":"thought\nhm\n"},)"
      R"({"text":"<channel|>","special":true},{"text":"Look."},)"
      R"({"text":"<|tool_call>","special":true},{"text":"call:f{n:1}"},)"
      R"({"text":"<tool_call|>","special":true},{"text":"<|tool_response>","special":true}]})";
  const auto out = lines_of(output_of({"parse"}, line + "\n"));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(dump_json(out[0]),
            R"({"events":[{"type":"thought","text":"hm"},{"type":"text","text":"Look."},)"
            R"({"type":"tool_call","name":"f","arguments":{"n":1},"index":0}],)"
            R"("finish":"tool_calls"})");
}

TEST(Parse, DeltasJoinedAreTheArgumentsWithTheTypesOfTheTools) {
  const TempFolder folder;
  const std::string tools =
      folder.put("tools.json", R"([{"function":{"name":"f","parameters":{"properties":)"
                               R"({"s":{"type":"string"}}}}}])");
  const std::string line = R"({"pieces":[{"text":"call:f{s:"},{"text":"12"},{"text":"}"},)"
                           R"({"text":"<tool_call|>","special":true}]})";
  const auto out =
      lines_of(output_of({"parse", "--tools", tools, "--state", "call", "--deltas"}, line + "\n"));
  std::string arguments;
  for (const Json& event : out[0]["events"]) arguments += event.value("arguments", "");
  EXPECT_EQ(arguments, R"({"s":"12"})");
}

TEST(Parse, IdsNeedAModelAndStayInsideItsVocabulary) {
  const TalkingModel model;
  const std::string ids =
      fmt::format("{{\"ids\":[{},{}]}}\n", TalkingModel::kA, TalkingModel::kTurn + 1);
  EXPECT_EQ(output_of({"parse", model.path()}, ids),
            "{\"events\":[{\"type\":\"text\",\"text\":\"a\"}],\"finish\":\"stop\"}\n");
  EXPECT_TRUE(has(complaint({"parse"}, ids), "MODEL"));
  EXPECT_TRUE(has(complaint({"parse", model.path()}, "{\"ids\":[1000000]}\n"), "1000000"));
}

}  // namespace
}  // namespace bezel::test
