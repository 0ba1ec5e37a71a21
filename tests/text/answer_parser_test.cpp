// Answers to events: the table of broken forms, any cut of the stream, and calls there and back.
#include <fmt/format.h>

#include "harness.h"
#include "robust/sanitized.h"
#include "text/chat/render.h"
#include "text/output/joined.h"
#include "text/output/parser.h"

namespace bezel::test {
namespace {

using output::Finish;
using output::Options;
using output::Parser;
using output::Start;

using Token = std::pair<std::string, bool>;  // text, and whether it is a control token

// A text with its markers as control tokens.
std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = text[i] == '<' ? text.find('>', i) : std::string_view::npos;
    const std::string_view marker =
        end == std::string_view::npos ? "" : text.substr(i, end + 1 - i);
    if (output::is_output_marker(marker)) {
      out.push_back({std::string(marker), true});
      i = end + 1;
      continue;
    }
    if (out.empty() || out.back().second) out.push_back({"", false});
    out.back().first += text[i++];
  }
  return out;
}

// Events in short: T(hought), text as it is, CALL name arguments, and the reason.
std::string shown(const std::vector<output::Item>& items, Finish reason) {
  std::string out;
  for (const auto& i : items) {
    if (i.kind == output::Item::Kind::Call) {
      EXPECT_TRUE(Json::accept(i.arguments)) << i.arguments;
      out += "[call " + i.text + " " + i.arguments + "]";
    } else {
      out += (i.kind == output::Item::Kind::Text ? "[text " : "[thought ") + i.text + "]";
    }
  }
  return out + (reason == Finish::Stop ? " stop" : reason == Finish::Length ? " length" : " calls");
}

template <class Cut>
std::string parsed_as(const std::vector<Token>& tokens, const Options& options, const Cut& cut) {
  Parser parser(options);
  std::vector<output::Item> items;
  for (const auto& [text, special] : tokens) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t n =
          special ? text.size() : std::min<std::size_t>(cut(text.size() - i), text.size() - i);
      special ? parser.push_marker(text) : parser.push_text(std::string_view(text).substr(i, n));
      i += n;
      if (cut(2) == 1) output::join(items, parser.take());
    }
  }
  parser.finish();
  output::join(items, parser.take());
  return shown(items, parser.reason());
}
std::string parsed(std::string_view text, const Options& options = {}) {
  return parsed_as(tokens_of(text), options, [](std::size_t n) { return n; });
}

Json tools() {
  return *parse_json(
      R"([{"function":{"name":"f","parameters":{"type":"object","properties":{
      "s":{"type":"string"},"city":{"type":"string"},"n":{"type":"integer"},"b":{"type":"boolean"},
      "x":{"type":"number"},"o":{"type":"object","properties":{"n":{"type":"integer"}}},
      "a":{"type":"array","items":{"type":"integer"}}}}}}])",
      "");
}

TEST(AnswerParser, ThoughtTextAndCallsComeApart) {
  EXPECT_EQ(parsed("<|channel>thought\nNeed it.\n<channel|>\nHello \n<turn|>"),
            "[thought Need it.][text Hello] stop");
  EXPECT_EQ(
      parsed("Let me see. <|tool_call>call:f{a:[1,-2.5e3],o:{k:<|\"|>v \"w\"\n<|\"|>},t:true,z:"
             "null}<tool_call|><|tool_call>call:g{}<tool_call|><|tool_response>"),
      "[text Let me see.][call f {\"a\":[1,-2.5e3],\"o\":{\"k\":\"v \\\"w\\\"\\n\"},\"t\":true,"
      "\"z\":null}][call g {}] calls");
  EXPECT_EQ(parsed("so\n<channel|>Yes<eos>", {Start::Thought, false, nullptr}),
            "[thought so][text Yes] stop");
  EXPECT_EQ(parsed("call:f{}<tool_call|><eos>", {Start::Call, false, nullptr}),
            "[call f {}] calls");
  EXPECT_EQ(parsed("<|channel>thought<channel|>A<turn|>"), "[text A] stop");
  EXPECT_EQ(parsed("<|channel>thought\nlong"), "[thought long] length");
  EXPECT_EQ(parsed("plain <|tool_call spelled"), "[text plain <|tool_call spelled] length");
}

TEST(AnswerParser, WhiteSpaceAtTheEndsStaysInATextThatHasAFormToKeep) {
  const std::string text = "<|channel>thought\nwhy<channel|>\n- a\n<turn|>";
  EXPECT_EQ(parsed(text), "[thought why][text - a] stop");
  Options options;
  options.exact = true;
  EXPECT_EQ(parsed(text, options), "[thought why][text \n- a\n] stop");
}

TEST(AnswerParser, BrokenFormsRecoverAsTheTableSays) {
  const Options with_tools{Start::Content, false, tools()};
  const std::vector<std::pair<std::string, std::string>> plain = {
      {"<|tool_call>call:f{s:1}<eos>", "[call f {\"s\":1}] calls"},
      {"<|tool_call>call:f{s:1}<tool_call|><tool_call|><eos>", "[call f {\"s\":1}] calls"},
      {"<|tool_call>call:f{s:<|\"|>x<tool_call|>y<|\"|>}<tool_call|><eos>",
       "[call f {\"s\":\"xy\"}] calls"},
      {"<|tool_call>call:f{s:<|\"|>text}<tool_call|><eos>", "[call f {\"s\":\"text\"}] calls"},
      {"<|tool_call>call:f{s:<|\"|>if "
       "{y}}<tool_call|><|tool_call>call:g{s:<|\"|>x<|\"|>}<tool_call|>"
       "<eos>",
       "[call f {\"s\":\"if {y}\"}][call g {\"s\":\"x\"}] calls"},
      {"<|tool_call>call:f{s:<|\"|>x<|\"|><tool_call|><eos>", "[call f {\"s\":\"x\"}] calls"},
      {"<|tool_call>call:f{o:{a:[1,2<tool_call|><eos>", "[call f {\"o\":{\"a\":[1,2]}}] calls"},
      {"<|tool_call>call:f{pattern:':\\s*\\w+'<|\"|>}<tool_call|><eos>",
       "[call f {\"pattern\":\":\\\\s*\\\\w+\"}] calls"},
      {"<|tool_call>call:f{\"s\":\"a \\\"b\\\" \\u00e9\",\"n\":[\"x\"]}<tool_call|><eos>",
       "[call f {\"s\":\"a \\\"b\\\" é\",\"n\":[\"x\"]}] calls"},
      {"<|tool_call>call:f{<|\"|>s<|\"|>:1}<tool_call|><eos>", "[call f {\"s\":1}] calls"},
      {"<|tool_call>:f{s:1}<tool_call|><eos>", "[call f {\"s\":1}] calls"},
      {"<|tool_call>call:f<tool_call|><eos>", "[call f {}] calls"},
      {"<|tool_call>call:f(s:1)<tool_call|><eos>", "[call f {\"s\":1}] calls"},
      {"<|tool_call>call:f\nBEGIN_ARG:s\nx\nEND_ARG<tool_call|>after<eos>",
       "[text call:f\nBEGIN_ARG:s\nx\nEND_ARGafter] stop"},
      {"Hi<channel|><tool_call|> there<turn|>", "[text Hi there] stop"},
      {"<|channel><|channel>thought\na<|channel>b<|tool_call>call:f{}<eos>",
       "[thought ab][call f {}] calls"},
      {"<|tool_call>call:f{s:<|\"|>cut of", "[call f {\"s\":\"cut of\"}] length"},
      {"<|tool_call>call:f{a:1,s:12", "[call f {\"a\":1}] length"},
      {"<|tool_call>call:get_wea", "[text call:get_wea] length"},
      {"<|tool_call>call:f{}<tool_call|>\n<|tool_response>response:f{x:1}", "[call f {}] calls"},
  };
  for (const auto& [in, out] : plain) EXPECT_EQ(parsed(in), out) << in;
  const std::vector<std::pair<std::string, std::string>> typed = {
      {"<|tool_call>call:f{s:42,n:<|\"|>7<|\"|>,b:<|\"|>true<|\"|>,x:<|\"|>1.5<|\"|>}<tool_call|><"
       "eos>",
       "[call f {\"s\":\"42\",\"n\":7,\"b\":true,\"x\":1.5}] calls"},
      {"<|tool_call>call:f{n:<|\"|>7.5<|\"|>,b:<|\"|>yes<|\"|>}<tool_call|><eos>",
       "[call f {\"n\":\"7.5\",\"b\":\"yes\"}] calls"},
      {"<|tool_call>call:f{s:one, two:\nthree {x},city:Oslo}<tool_call|><eos>",
       "[call f {\"s\":\"one, two:\\nthree {x}\",\"city\":\"Oslo\"}] calls"},
      {"<|tool_call>call:f{n=3,s='it''s'}<tool_call|><eos>",
       "[call f {\"n\":3,\"s\":\"it''s\"}] calls"},
      {"<|channel>thought\nx<channel|>call:f{n:1}<eos>", "[thought x][call f {\"n\":1}] calls"},
      {"<|channel>thought\nx<channel|>call:no{n:1}<eos>", "[thought x][text call:no{n:1}] stop"},
      {"<|tool_call>f{n:1}<tool_call|><eos>", "[call f {\"n\":1}] calls"},
      {"<|tool_call>call:unknown{n:1}<tool_call|><eos>", "[call unknown {\"n\":1}] calls"},
      {"<|tool_call>call:f{o:{n:<|\"|>5<|\"|>},a:[<|\"|>6<|\"|>]}<tool_call|><eos>",
       "[call f {\"o\":{\"n\":5},\"a\":[6]}] calls"},
  };
  for (const auto& [in, out] : typed) EXPECT_EQ(parsed(in, with_tools), out) << in;
  EXPECT_EQ(parsed("thought\nhm<channel|>A<eos>", {Start::Content, true, nullptr}),
            "[thought hm][text A] stop");
  EXPECT_EQ(parsed("thoughts<eos>", {Start::Content, true, nullptr}), "[text thoughts] stop");
}

// An answer of parts that fit, and of parts that do not.
std::string random_answer(Random& r) {
  static const std::vector<std::string> kParts = {"<|channel>",
                                                  "thought\n",
                                                  "<channel|>",
                                                  "<|tool_call>",
                                                  "call:f",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  "(",
                                                  ")",
                                                  "s:",
                                                  "n:",
                                                  "<|\"|>",
                                                  "<|\"|>",
                                                  "<|\"|>",
                                                  ",",
                                                  ":",
                                                  "=",
                                                  "'",
                                                  "\"",
                                                  "\\",
                                                  "42",
                                                  "-1.5e3",
                                                  "true",
                                                  "null",
                                                  "1e999",
                                                  "<tool_call|>",
                                                  "<|tool_response>",
                                                  "<turn|>",
                                                  "<eos>",
                                                  "<|turn>",
                                                  "model\n",
                                                  " ",
                                                  "\n",
                                                  "é",
                                                  "日本",
                                                  "\xF0\x9F\x98\x80",
                                                  "\xFF",
                                                  "\xE2\x96",
                                                  "city",
                                                  "x y",
                                                  "call:",
                                                  "{a:1}"};
  static const std::vector<std::string> kWhole = {
      "<|channel>thought\nhm\n<channel|>", "<|tool_call>call:f{s:<|\"|>a b<|\"|>,n:3}<tool_call|>",
      "Some text. ", "<|tool_call>call:g{o:{k:[1,2,{z:null}]},t:<|\"|>日本 }<|\"|>}<tool_call|>"};
  std::string out;
  for (std::size_t i = r.below(14) + 1; i > 0; --i)
    out += r.below(3) == 0 ? kWhole[r.below(kWhole.size())] : kParts[r.below(kParts.size())];
  return out;
}

TEST(AnswerParser, AnyCutOfTheStreamGivesTheSameEvents) {
  Random r(5);
  const int answers = kSanitized ? 200 : 1000;
  int calls = 0;
  for (int n = 0; n < answers; ++n) {
    const std::string answer = random_answer(r);
    const auto tokens = tokens_of(answer);
    const Options options{static_cast<Start>(r.below(3)), r.below(2) == 0,
                          r.below(2) == 0 ? tools() : Json()};
    const auto whole = parsed_as(tokens, options, [](std::size_t left) { return left; });
    calls += whole.find("[call") != std::string::npos ? 1 : 0;
    ASSERT_EQ(parsed_as(tokens, options, [](std::size_t) { return 1U; }), whole) << answer;
    for (std::size_t at = 1; at < answer.size(); ++at) {  // every single split
      auto split = tokens;
      std::size_t from = 0;
      for (auto t = split.begin(); t != split.end(); from += t->first.size(), ++t) {
        if (t->second || at <= from || at >= from + t->first.size()) continue;
        const Token rest{t->first.substr(at - from), false};
        t->first.resize(at - from);
        split.insert(t + 1, rest);
        break;
      }
      ASSERT_EQ(parsed_as(split, options, [](std::size_t left) { return left; }), whole) << answer;
    }
    for (int k = 0; k < 5; ++k)
      ASSERT_EQ(parsed_as(tokens, options, [&](std::size_t) { return r.below(5) + 1; }), whole)
          << answer;
    for (const auto& [marker, special] : tokens)  // no control token is shown
      ASSERT_TRUE(!special || whole.find(marker) == std::string::npos) << answer << "\n" << whole;
  }
  EXPECT_GT(calls, answers * 3 / 10);
}

Json random_value(Random& r, int depth) {
  static const std::vector<std::string> kTexts = {"",          "a",      "x}y",
                                                  "],",        "<|\"|>", "<tool_call|>",
                                                  "\"q\" 'p'", "\n\t\\", "日本\xF0\x9F\x98\x80",
                                                  "null",      "42",     " } ",
                                                  "{a:1}",     "\x01"};
  switch (r.below(depth < 4 ? 8U : 6U)) {
    case 0:
      return nullptr;
    case 1:
      return r.below(2) == 0;
    case 2:
      return static_cast<std::int64_t>(r.below(1000000)) - 500000;
    case 3:
      return (static_cast<double>(r.below(1U << 30U)) - 5e8) / 1024 *
             (r.below(2) == 0 ? 1e-12 : 1e15);
    case 4:
    case 5:
      return kTexts[r.below(kTexts.size())] + kTexts[r.below(kTexts.size())];
    case 6: {
      Json list = Json::array();
      for (std::size_t i = r.below(4); i > 0; --i) list.push_back(random_value(r, depth + 1));
      return list;
    }
    default: {
      static const std::vector<std::string> kKeys = {"a",   "B",   "key one", "é",
                                                     "x=y", "k,l", "z9",      "a\"b"};
      Json object = Json::object();
      for (std::size_t i = r.below(4); i > 0; --i)
        object[kKeys[r.below(kKeys.size())]] = random_value(r, depth + 1);
      return object;
    }
  }
}

TEST(AnswerParser, ACallRenderedAndParsedIsTheSameCall) {
  Random r(11);
  for (int n = 0; n < 3000; ++n) {
    Json arguments = Json::object();
    for (std::size_t i = r.below(5); i > 0; --i)
      arguments[fmt::format("p{}", i)] = random_value(r, 0);
    chat::Pieces pieces;
    ASSERT_TRUE(chat::write_value(pieces, arguments, false));
    Parser parser({Start::Call, false, nullptr});
    parser.push_text("call:f");
    for (const auto& p : pieces.list())
      p.marker ? parser.push_marker(p.text) : parser.push_text(p.text);
    parser.push_marker("<tool_call|>");
    parser.push_marker("<eos>");
    std::vector<output::Item> items;
    output::join(items, parser.take());
    ASSERT_EQ(items.size(), 1U);
    ASSERT_TRUE(Json::accept(items[0].arguments)) << items[0].arguments;
    // Compared without the order of keys, which the notation sorts.
    ASSERT_EQ(nlohmann::json::parse(items[0].arguments), nlohmann::json::parse(arguments.dump()));
  }
}

TEST(AnswerParser, DeepAndLongAnswersTakeLinearTime) {
  for (const char* part : {"[", "{a:", "'", "\"", "s:,", "<|\"|>}", "<|\"|><tool_call|>", "\n",
                           "<|channel>thought", "call:f{"}) {
    std::string answer = "<|tool_call>call:f{s:";
    while (answer.size() < 400000) answer += part;
    EXPECT_NE(parsed(answer, {Start::Content, false, tools()}), "") << part;
  }
}

}  // namespace
}  // namespace bezel::test
