// What cannot be enforced is refused with a sentence and a place; nothing takes long.
#include <chrono>

#include "text/constrain/support.h"

namespace bezel::test {

namespace {

using constrain::json_schema;

std::string repeated(const std::string& part, int n) {
  std::string s;
  for (int i = 0; i < n; ++i) s += part;
  return s;
}

template <class Run>
double seconds(const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST(SchemaRefusal, NamesTheKeywordByItsPointer) {
  const std::pair<const char*, const char*> cases[] = {
      {R"j({"properties":{"a":{"$ref":"http://example.org/x"}}})j", "/properties/a/$ref: "},
      {R"j({"$defs":{"x":{"$dynamicRef":"#a"}}})j", "/$defs/x/$dynamicRef: "},
      {R"j({"items":{"pattern":"(?=a)"}})j", "/items/pattern: "},
      {R"j({"items":{"pattern":"(a)\\1"}})j", "/items/pattern: "},
      {R"j({"items":{"pattern":"("}})j", "/items/pattern: "},
      {R"j({"anyOf":[{"format":"hostname"}]})j", "/anyOf/0/format: "},
      {R"j({"type":"strnig"})j", "/type: "},
      {R"j({"minLength":-1})j", "/minLength: "},
      {R"j({"multipleOf":0})j", "/multipleOf: "},
      {R"j({"properties":{"a/b":{"allOf":3}}})j", "/properties/a~1b/allOf: "},
      {R"j({"not":{"uniqueItems":true}})j", "/not/uniqueItems: "},
      {R"j({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})j", "/$defs/a: "},
      {R"j({"required":[1]})j", "/required: "}};
  for (const auto& [schema, start] : cases) {
    const std::string said = refusal(json_schema(schema));
    EXPECT_EQ(said.substr(0, std::string(start).size()), start) << said;
  }
}

TEST(SchemaRefusal, SaysWhenNothingCanFit) {
  for (
      const char* schema :
      {"false", R"({"not":{}})", R"({"type":"integer","minimum":1.2,"maximum":1.8})",
       R"({"type":"string","minLength":3,"maxLength":2})", R"({"type":"string","pattern":"$a"})",
       R"({"type":"object","required":["a"],"properties":{"a":false}})",
       R"({"type":"array","minItems":2,"prefixItems":[true],"items":false})",
       R"({"type":"object","minProperties":3,"propertyNames":{"enum":["a","b"]}})",
       R"({"$ref":"#/$defs/a","$defs":{"a":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/a"}}}})"})
    EXPECT_EQ(refusal(json_schema(schema)), "no JSON value can satisfy this schema") << schema;
}

TEST(SchemaRefusal, LimitsHoldInTimeAndSize) {
  const std::string deep = repeated(R"({"items":)", 10000) + "{}" + repeated("}", 10000);
  std::string wide = R"({"properties":{)";
  for (int i = 0; i < 5000; ++i)
    wide += (i > 0 ? ",\"p" : "\"p") + std::to_string(i) + R"(":{"type":"integer"})";
  wide += "}}";
  std::string chain = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 5000; ++i)
    chain += "\"d" + std::to_string(i) + R"(":{"$ref":"#/$defs/d)" + std::to_string(i + 1) + "\"},";
  chain += R"("d5000":{}}})";
  std::string negations = R"({"allOf":[)";
  for (int i = 0; i < 12; ++i)
    negations += std::string(i > 0 ? "," : "") + R"({"not":{"required":["a)" + std::to_string(i) +
                 R"("],"properties":{"b":{"const":)" + std::to_string(i) + "}}}}";
  negations += "]}";
  const std::string cases[] = {deep,
                               wide,
                               chain,
                               negations,
                               R"({"description":")" + std::string(1 << 20, 'x') + R"("})",
                               R"j({"pattern":"(a|b)*a(a|b){20}"})j",
                               R"j({"pattern":"((a{1,100}){1,100}){1,100}"})j",
                               R"({"pattern":"a","maxLength":1000000000})",
                               R"({"type":"array","minItems":1000000000,"items":{"type":"null"}})"};
  for (const std::string& schema : cases) {
    std::string said;
    EXPECT_LT(seconds([&] { said = refusal(json_schema(schema)); }), 5)
        << schema.substr(0, 60) << ": " << said;
    EXPECT_FALSE(said.empty());
  }
  EXPECT_EQ(refusal(json_schema(wide)), "(accepted)");
}

TEST(SchemaRefusal, AValueIsAtMostFiveHundredDeep) {
  const auto any = must(json_schema("true"));
  EXPECT_TRUE(accepts(any, repeated("[", 500) + repeated("]", 500)));
  EXPECT_FALSE(accepts(any, repeated("[", 501) + repeated("]", 501)));
}

TEST(GrammarRefusal, NamesTheRuleOrLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"root ::= a", "line 1: the rule \"a\" is used but not defined"},
      {"a ::= \"x\"", "the grammar has no rule \"root\""},
      {"root ::= root \"x\" | \"y\"",
       "the rule \"root\" is left-recursive: it can begin with itself; write it as a repetition"},
      {"root ::= a\na ::= b? a \"x\" | \"y\"\nb ::= \"z\"",
       "the rule \"a\" is left-recursive: it can begin with itself; write it as a repetition"},
      {"root ::= \"(\" root \")\"", "no text of the rule \"root\" ever ends"},
      {"root ::= \"abc", "line 1: a \" without its end"},
      {"root ::= [a-", "line 1: a [ without its ]"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule \"root\" is defined twice"},
      {"root ::= \"a\"{5,2}", "line 1: a repetition whose end is before its start"},
      {"root ::= \"a\"{99999}", "line 1: a repetition of more than 10,000"},
      {"root = \"a\"", "line 1: expected ::= after the rule name \"root\""},
      {"root ::= (\"a\"", "line 1: expected )"},
      {"root ::= <think>", "line 1: tokens as <name> are not supported"},
      {"\xFF", "the grammar is not valid UTF-8"}};
  for (const auto& [text, said] : cases) EXPECT_EQ(refusal(constrain::grammar(text)), said) << text;
  const std::string nested = "root ::= " + repeated("(", 5000) + "\"a\"" + repeated(")", 5000);
  EXPECT_EQ(refusal(constrain::grammar(nested)), "line 1: groups are more than 100 deep");
  const std::string bomb = "root ::= ((((\"a\"{1000}){1000}){1000}){1000})";
  EXPECT_LT(seconds([&] { refusal(constrain::grammar(bomb)); }), 5);
}

TEST(PatternRefusal, SaysWhatIsNotRegular) {
  for (const char* bad : {"(?=a)b", "(?<!a)b", "(a)\\1", "\\bword", "\\p{L}+", "a**", "(", "[z-a]"})
    EXPECT_NE(refusal(constrain::regex(bad)), "(accepted)") << bad;
  EXPECT_EQ(refusal(constrain::regex("[]")), "no text can match this pattern");
  EXPECT_NE(refusal(constrain::choice({})), "(accepted)");
  EXPECT_NE(refusal(constrain::choice({""})), "(accepted)");
}

}  // namespace bezel::test
