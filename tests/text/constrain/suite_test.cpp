// The schemas of the JSON Schema Test Suite: what compiles judges every instance rightly.
#include <array>
#include <filesystem>

#include "text/constrain/support.h"

namespace bezel::test {

namespace {

struct Tally {
  int schemas = 0, compiled = 0;
};

std::string named(const std::string& file, const Json& group, const Json& one) {
  return file + ": " + group["description"].get<std::string>() + ": " +
         one["description"].get<std::string>();
}

void judge(const std::string& path, Tally& tally) {
  for (const Json& group : read_json(path)) {
    ++tally.schemas;
    const auto language = constrain::json_schema(dump_json(group["schema"]));
    if (!language) {
      EXPECT_GT(language.error().what.size(), 10U);
      continue;
    }
    ++tally.compiled;
    for (const Json& one : group["tests"]) {
      const bool valid = one["valid"].get<bool>();
      EXPECT_EQ(accepts(*language, dump_json(one["data"])), valid) << named(path, group, one);
      const std::string indented = one["data"].dump(4);  // as json.dumps(indent=4) writes it
      EXPECT_EQ(accepts(*language, indented), valid) << named(path, group, one);
    }
  }
}

Tally judge_folder(const std::string& folder) {
  Tally tally;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BEZEL_FIXTURES) + "/json-schema/" + folder))
    if (entry.path().extension() == ".json") judge(entry.path().string(), tally);
  return tally;
}

}  // namespace

TEST(SchemaSuite, EverySchemaThatCompilesJudgesEveryInstanceRightly) {
  const Tally tally = judge_folder("draft2020-12");
  EXPECT_EQ(tally.schemas, 364);
  EXPECT_GE(tally.compiled, 306);
}

TEST(SchemaSuite, FormatsThatAreEnforcedJudgeEveryInstanceRightly) {
  const Tally tally = judge_folder("draft2020-12/optional/format");
  EXPECT_GE(tally.compiled, 12);
}

TEST(SchemaValue, KeysAreEqualAfterUnescaping) {
  const char* schema = R"({"properties":{"ab":{"type":"integer"}},"required":["ab"]})";
  EXPECT_TRUE(fits(schema, R"({"\u0061b":1})"));
  EXPECT_FALSE(fits(schema, R"({"\u0061b":"x"})"));
  EXPECT_FALSE(fits(schema, R"({"ab":1,"a\u0062":2})"));
  EXPECT_FALSE(fits(schema, R"({"ab":1,"x":1,"\u0078":1})"));
  EXPECT_TRUE(fits(schema, R"({"ab":1,"x":1,"\u0079":1})"));
}

TEST(SchemaValue, LengthsCountCodePoints) {
  const char* schema = R"({"type":"string","minLength":2,"maxLength":2})";
  EXPECT_TRUE(fits(schema, R"("\ud83d\ude00x")"));
  EXPECT_TRUE(fits(schema, "\"\xF0\x9F\x98\x80x\""));
  EXPECT_FALSE(fits(schema, R"("\ud83d\ude00")"));
  EXPECT_FALSE(fits(schema, R"("\ud83dx")")) << "a lone surrogate is no character";
  EXPECT_FALSE(fits(schema, "\"abc\""));
}

TEST(SchemaValue, NumbersAreComparedExactly) {
  const char* integer = R"({"type":"integer","minimum":10,"maximum":2000})";
  for (const char* good : {"10", "10.0", "1e1", "1.0e+1", "2000", "0.2e4", "1E3", "15e2"})
    EXPECT_TRUE(fits(integer, good)) << good;
  for (const char* bad : {"9", "2001", "1e-1", "10.5", "2.1e3", "010", "+10", "1.", ".5", "1e"})
    EXPECT_FALSE(fits(integer, bad)) << bad;
  EXPECT_TRUE(fits(R"({"multipleOf":0.01})", "4.35"));
  EXPECT_FALSE(fits(R"({"multipleOf":0.01})", "4.355"));
  EXPECT_TRUE(fits(R"({"const":9007199254740993})", "9007199254740993"));
  EXPECT_FALSE(fits(R"({"const":9007199254740993})", "9007199254740992"));
}

TEST(SchemaValue, SpaceBetweenPartsIsBounded) {
  const char* schema = R"({"type":"array","items":{"type":"integer"}})";
  EXPECT_TRUE(fits(schema, "[1, 2]"));
  EXPECT_TRUE(fits(schema, "[\n    1,\n    2\n]"));
  EXPECT_FALSE(fits(schema, "[1,  2]"));
  EXPECT_FALSE(fits(schema, "[\n\n1]"));
  EXPECT_FALSE(fits(schema, " [1]"));
  EXPECT_FALSE(fits(schema, "[1] "));
}

TEST(SchemaValue, NoPrefixLeadsNowhere) {
  constrain::Walk keys(must(constrain::json_schema(R"({"propertyNames":{"maxLength":1}})")));
  EXPECT_EQ(keys.push(R"({"a":1,"b":1,"a)"), 14U) << "the key a is taken, and no longer one may be";
  // each accepted prefix of these has a valid end, however few values are left
  EXPECT_FALSE(fits(R"({"enum":[5,6]})", "7"));
  for (const auto& [schema, prefix] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"type":"number","minimum":5,"maximum":6})", "7"},
           {R"({"type":"array","items":{"enum":[1,2]},"uniqueItems":true})", "[1,1"},
           {R"({"type":"array","items":{"enum":[1,2]},"uniqueItems":true})", "[1,2,"},
           {R"({"propertyNames":{"enum":["a","b"]},"maxProperties":1,"required":["b"]})", "{\"a"},
           {R"({"type":"array","maxItems":2,"contains":{"const":7}})", "[1,2"},
           {R"({"type":"object","required":["x"],"additionalProperties":false,
                "properties":{"x":{"const":"q"}}})",
            "{}"}}) {
    constrain::Walk walk(must(constrain::json_schema(schema)));
    EXPECT_LT(walk.push(prefix), std::string_view(prefix).size()) << schema;
  }
}

}  // namespace bezel::test
