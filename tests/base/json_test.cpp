#include "base/json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iterator>

namespace bezel {
namespace {

TEST(Json, KeepsTheOrderOfKeysAndTheLastOfDuplicates) {
  auto json = parse_json(R"({"b": 1, "a": [true, null, -2.5, "x"], "b": 3})", "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(dump_json(*json), R"({"b":3,"a":[true,null,-2.5,"x"]})");
}

TEST(Json, AgreesWithTheLibrarysOwnParserOnNestedValues) {
  const std::string text =
      R"({"a":{"b":[1,[2,{"c":"d"}],{}],"e":[]},"f":18446744073709551615,"g":-9223372036854775808,"h":1e300,"":"\ud83d\ude00"})";
  auto json = parse_json(text, "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(*json, Json::parse(text));
}

TEST(Json, AnErrorNamesSourceLineAndColumn) {
  auto json = parse_json("{\n \"a\": 1,\n \"b\" 2}", "config.json");
  ASSERT_FALSE(json);
  EXPECT_EQ(json.error().text(), "config.json: not valid JSON at line 3, column 6");
}

TEST(Json, IsStrict) {
  for (const char* text :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "NaN", "Infinity", "// c\n1", "01",
        "1 2", "\"\x01\"", "\"\xFF\"", "\"\\ud800\"", "tru", "[1"}) {
    EXPECT_FALSE(parse_json(text, "test")) << text;
  }
}

TEST(Json, ANumberTooLargeForADoubleIsAnErrorAndNotInfinity) {
  auto json = parse_json("[1e400]", "test");
  ASSERT_FALSE(json);
  EXPECT_NE(json.error().what.find("too large"), std::string::npos) << json.error().text();
}

TEST(Json, NestingIsLimitedWhileParsing) {
  JsonLimits limits;
  limits.max_depth = 10;
  EXPECT_TRUE(parse_json(std::string(10, '[') + std::string(10, ']'), "test", limits));
  EXPECT_FALSE(parse_json(std::string(11, '[') + std::string(11, ']'), "test", limits));
  EXPECT_FALSE(parse_json(std::string(10'000'000, '['), "test"));
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
  auto deep = parse_json(objects, "test");
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, Errc::TooLarge);
}

TEST(Json, SizeAndNumberOfValuesAreLimited) {
  JsonLimits limits;
  limits.max_bytes = 7;
  limits.max_values = 3;
  EXPECT_TRUE(parse_json("[1,2]", "test", limits));
  EXPECT_FALSE(parse_json("[1,2,3]", "test", limits)) << "four values";
  EXPECT_FALSE(parse_json("[1,   2]", "test", limits)) << "eight bytes";
}

TEST(Json, AnObjectOfManyKeysTakesTimeInProportion) {
  // Comparing each key with all earlier ones would take 10^10 steps, many minutes.
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += fmt::format("\"{}\":{},", i, i);
  text += "\"50000\":\"again\"}";
  auto json = parse_json(text, "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 100'000U);
  EXPECT_EQ(std::next(json->begin(), 50'000).value(), "again");
}

TEST(Json, InvalidUtf8IsReplacedWhenWritten) {
  EXPECT_EQ(dump_json(Json("a\xFF"
                           "b")),
            "\"a\xEF\xBF\xBD"
            "b\"");
}

TEST(JsonGet, GivesTheValueTheFallbackOrAnErrorThatNamesTheField) {
  const Json object = {{"yes", true}, {"n", -5},         {"whole", 4.0}, {"half", 0.5},
                       {"s", "text"}, {"none", nullptr}, {"list", {1}}};
  EXPECT_EQ(*json_get<bool>(object, "yes", false), true);
  EXPECT_EQ(*json_get<std::int64_t>(object, "n", 0), -5);
  EXPECT_EQ(*json_get<std::int64_t>(object, "whole", 0), 4);
  EXPECT_EQ(*json_get<double>(object, "n", 0), -5.0);
  EXPECT_EQ(*json_get<std::string>(object, "s", ""), "text");
  EXPECT_EQ(*json_get<std::int64_t>(object, "missing", 7), 7);
  EXPECT_EQ(*json_get<std::int64_t>(object, "none", 7), 7);
  EXPECT_EQ(*json_get<std::int64_t>(Json(), "n", 7), 7);
  for (const char* key : {"half", "yes", "s", "list"}) {
    auto value = json_get<std::int64_t>(object, key, 0);
    ASSERT_FALSE(value) << key;
    EXPECT_EQ(value.error().where, key);
  }
  EXPECT_FALSE(json_get<bool>(object, "n", false));
  EXPECT_FALSE(json_get<double>(object, "s", 0));
  EXPECT_FALSE(json_get<std::string>(object, "n", ""));
  EXPECT_FALSE(json_get<bool>(Json::array(), "n", false)) << "not an object";
}

TEST(JsonGet, WholeNumbersOutsideInt64AreErrors) {
  for (const char* text :
       {"9223372036854775808", "18446744073709551615", "1e19", "-1e19", "1e300", "1e16"}) {
    const Json object = {{"n", Json::parse(text)}};
    EXPECT_FALSE(json_get<std::int64_t>(object, "n", 0)) << text;
  }
  const Json object = Json::parse(R"({"n":9223372036854775807})");
  EXPECT_EQ(*json_get<std::int64_t>(object, "n", 0), INT64_MAX);
}

}  // namespace
}  // namespace bezel
