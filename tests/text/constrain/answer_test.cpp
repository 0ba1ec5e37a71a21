// Whole answers: thoughts, content and tool calls in Gemma's syntax.
#include "text/constrain/answer.h"

#include "text/constrain/support.h"
#include "text/output/joined.h"
#include "text/output/parser.h"

namespace bezel::test {

namespace {

using constrain::AnswerRules;

// Markers written as their text become the bytes that stand for them.
std::string marked(std::string text) {
  const std::pair<const char*, std::uint8_t> marks[] = {{"<|\"|>", kQuoteMark},
                                                        {"<|tool_call>", kCallMark},
                                                        {"<tool_call|>", kCallEndMark},
                                                        {"<|channel>", kThoughtMark},
                                                        {"<channel|>", kThoughtEndMark}};
  for (const auto& [name, byte] : marks)
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;)
      text.replace(at, std::string_view(name).size(), 1, static_cast<char>(byte));
  return text;
}

Json tools() {
  return *parse_json(R"([{"type":"function","function":{"name":"weather","parameters":{
    "type":"object","properties":{"city":{"type":"string","minLength":1},
    "unit":{"enum":["C","F"]},"days":{"type":"integer","minimum":1,"maximum":7},
    "tags":{"type":"array","items":{"type":"string"},"uniqueItems":true}},
    "required":["city"],"additionalProperties":false}}},
    {"type":"function","function":{"name":"now"}}])",
                     "tools");
}

AnswerRules rules(AnswerRules::Calls calls) {
  AnswerRules r;
  r.calls = calls;
  r.tools = tools();
  return r;
}

void check(const AnswerRules& r, const std::string& text, bool good) {
  EXPECT_EQ(accepts(must(constrain::answer(r)), marked(text)), good) << text;
}

constexpr const char* kOslo = "<|tool_call>call:weather{city:<|\"|>Oslo<|\"|>}<tool_call|>";
constexpr const char* kNow = "<|tool_call>call:now{}<tool_call|>";

}  // namespace

TEST(ToolCalls, FollowTheDeclaredParameters) {
  const AnswerRules r = rules(AnswerRules::Calls::Auto);
  check(r, kOslo, true);
  check(r,
        "<|tool_call>call:weather{days:3,city:<|\"|>a \"q\" {b},\n\\<|\"|>,unit:<|\"|>C<|\"|>}"
        "<tool_call|>",
        true);
  check(r,
        "<|tool_call>call:weather{city:<|\"|>x<|\"|>,tags:[<|\"|>a<|\"|>,<|\"|>b<|\"|>]}"
        "<tool_call|>",
        true);
  for (const char* arguments :
       {"{}", "{city:Oslo}", "{city:<|\"|><|\"|>}", "{city:<|\"|>x<|\"|>,days:8}",
        "{city:<|\"|>x<|\"|>,unit:<|\"|>K<|\"|>}", "{city:<|\"|>x<|\"|>,other:1}",
        "{city:<|\"|>x<|\"|>,city:<|\"|>y<|\"|>}", "{\"city\":<|\"|>x<|\"|>}",
        "{city:<|\"|>x<|\"|>,tags:[<|\"|>a<|\"|>,<|\"|>a<|\"|>]}", "{city: <|\"|>x<|\"|>}"})
    check(r, std::string("<|tool_call>call:weather") + arguments + "<tool_call|>", false);
  check(r, "<|tool_call>call:unknown{}<tool_call|>", false);
  check(r, "<|tool_call>call:now{x:1}<tool_call|>", false);
}

TEST(ToolCalls, FollowTheChoice) {
  const std::string both = std::string(kOslo) + kNow;
  AnswerRules r = rules(AnswerRules::Calls::Auto);
  for (const std::string& good : {std::string("Just text."), "Text, then " + both, both})
    check(r, good, true);
  check(r, std::string(kOslo) + "text", false);
  r.parallel = false;
  check(r, both, false);
  check(r, kNow, true);
  r = rules(AnswerRules::Calls::Required);
  check(r, "text", false);
  check(r, both, true);
  r.allowed = {"now"};
  check(r, kNow, true);
  check(r, kOslo, false);
  r.allowed = {"nothing"};
  EXPECT_FALSE(constrain::answer(r));
  check(rules(AnswerRules::Calls::None), kNow, false);
  check(rules(AnswerRules::Calls::None), "text", true);
}

TEST(Answer, ConstraintsBeginBehindTheThought) {
  AnswerRules r;
  r.content = must(constrain::json_schema(R"({"type":"object","required":["a"]})"));
  check(r, R"({"a":1})", true);
  check(r, "<|channel>thought\nhm<channel|>{\"a\":1}", false);
  r.thought = AnswerRules::Thought::MayOpen;
  check(r, R"({"a":1})", true);
  check(r, "<|channel>thought\n{\"a\":\"hm<channel|>{\"a\":1}", true);
  check(r, "<|channel>thought\nhm<channel|>{\"a\":1,\"b\":1,\"b\":2}", false);
  check(r, "<|channel>thought\nhm<channel|>no", false);
  r.thought = AnswerRules::Thought::Open;
  check(r, "hm<channel|>{\"a\":1}", true);
  r.calls = AnswerRules::Calls::Auto;
  r.tools = tools();
  check(r, std::string("hm<channel|>") + kNow, true);
}

TEST(ToolCalls, KeysThatCannotBeWrittenAreRefusedWhenRequired) {
  AnswerRules r = rules(AnswerRules::Calls::Auto);
  r.tools[0]["function"]["parameters"]["required"] = {"a:b"};
  const auto made = constrain::answer(r);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().text(), "weather: no JSON value can satisfy this schema");
}

}  // namespace bezel::test
