// Patterns, choices and grammars.
#include "text/constrain/support.h"

namespace bezel::test {

TEST(Pattern, MatchesTheWholeAnswer) {
  const auto date = must(constrain::regex(R"(\d{4}-(0[1-9]|1[0-2]))"));
  EXPECT_TRUE(accepts(date, "2026-11"));
  EXPECT_FALSE(accepts(date, "2026-13"));
  EXPECT_FALSE(accepts(date, "2026-1"));
  EXPECT_FALSE(accepts(date, "x2026-11"));
  const auto either = must(constrain::regex("^ab|cd$"));
  EXPECT_TRUE(accepts(either, "ab"));
  EXPECT_TRUE(accepts(either, "cd"));
  EXPECT_FALSE(accepts(either, "abcd"));
}

TEST(Pattern, ReadsCharactersNotBytes) {
  const auto word = must(constrain::regex(R"([à-ÿ]{2}.\u{1F600}\x41)"));
  EXPECT_TRUE(accepts(word,
                      "éè日\xF0\x9F\x98\x80"
                      "A"));
  EXPECT_FALSE(accepts(word,
                       "ée日\xF0\x9F\x98\x80"
                       "A"));
  EXPECT_FALSE(accepts(must(constrain::regex(".*")), "\xC3"));
  EXPECT_FALSE(accepts(must(constrain::regex(".")), "\n"));
  EXPECT_TRUE(accepts(must(constrain::regex("[^a]")), "\n"));
}

TEST(Pattern, RepetitionsCount) {
  const auto some = must(constrain::regex("(ab?){2,3}c*?d+"));
  for (const char* good : {"aad", "ababad", "abaccdd"}) EXPECT_TRUE(accepts(some, good)) << good;
  for (const char* bad : {"ad", "aaaad", "aac", "abb"}) EXPECT_FALSE(accepts(some, bad)) << bad;
}

TEST(Choice, AcceptsOneOfTheTexts) {
  const auto answer = must(constrain::choice({"yes", "yes, please", "no"}));
  for (const char* good : {"yes", "yes, please", "no"}) EXPECT_TRUE(accepts(answer, good));
  for (const char* bad : {"", "ye", "yes,", "nope"}) EXPECT_FALSE(accepts(answer, bad)) << bad;
}

TEST(Grammar, FollowsAlternativesGroupsAndRepetitions) {
  const auto g = must(constrain::grammar(R"(# a list
root ::= item ("," ws item)* ";"?   # and an end
item ::= word | number
       | "\"" [^"\n]* "\""
word ::= [a-z_] [a-z0-9_]{0,3}
number ::= "-"? [0-9]+ ("." [0-9]{2})?
ws ::= " "?
)"));
  for (const char* good : {"a", "abcd,-12;", "x, \"any \\ thing é\", 1.25"})
    EXPECT_TRUE(accepts(g, good)) << good;
  for (const char* bad : {"", "abcde", "1.2", "a,", "a,  b", "\"\n\""})
    EXPECT_FALSE(accepts(g, bad)) << bad;
}

TEST(Grammar, RecursesThroughAStack) {
  const auto g = must(constrain::grammar("root ::= \"(\" root* \")\" | \"[\" root \"]\""));
  EXPECT_TRUE(accepts(g, "(()([()])())"));
  EXPECT_FALSE(accepts(g, "([)]"));
  EXPECT_FALSE(accepts(g, "(()"));
  const auto empty = must(constrain::grammar("root ::= \"a\"? \"b\"*"));
  EXPECT_TRUE(accepts(empty, ""));
  EXPECT_TRUE(accepts(empty, "abbb"));
}

TEST(Grammar, ReadsEscapesAndAnyCharacter) {
  const auto g = must(constrain::grammar(R"(root ::= "\x41\u00e9\U0001F600" . [\]\-\\]+)"));
  EXPECT_TRUE(accepts(g, "Aé\xF0\x9F\x98\x80\n]-\\"));
  EXPECT_FALSE(accepts(g, "Ae\xF0\x9F\x98\x80\n]"));
}

}  // namespace bezel::test
