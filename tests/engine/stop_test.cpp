// Stop texts: one answer for every cut of the stream, held against a search over the whole text.
#include "engine/talk/stop.h"

#include "engine/harness.h"

namespace bezel::test {
namespace {

// What the whole text comes to: the first byte at which a stop text is complete ends it.
struct Whole {
  std::string shown, found;
};
Whole search(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::string found;
    for (const std::string& s : stops)
      if (s.size() <= end && text.compare(end - s.size(), s.size(), s) == 0 &&
          s.size() > found.size())
        found = s;
    if (!found.empty()) return {text.substr(0, end - found.size()), found};
  }
  return {text, ""};
}

// The longest end of `text` that begins a stop text.
std::size_t must_hold(const std::string& text, const std::vector<std::string>& stops) {
  std::size_t most = 0;
  for (const std::string& s : stops)
    for (std::size_t n = 1; n < s.size() && n <= text.size(); ++n)
      if (text.compare(text.size() - n, n, s, 0, n) == 0) most = std::max(most, n);
  return most;
}

std::string random_text(Dice& dice, int letters, int most) {
  std::string s;
  for (int n = dice.below(most + 1); n > 0; --n) s += static_cast<char>('a' + dice.below(letters));
  return s;
}

TEST(StopScanner, AnyCutGivesWhatTheWholeTextGives) {
  int stopped = 0, held = 0;
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    Dice dice(seed);
    const int letters = 2 + dice.below(2);
    std::vector<std::string> stops;
    for (int n = dice.below(4); n > 0; --n) {
      const std::string s = random_text(dice, letters, 5);
      if (!s.empty()) stops.push_back(s);
    }
    const std::string text = random_text(dice, letters, 24);
    const Whole want = search(text, stops);
    StopScanner scanner(stops);
    std::string got;
    for (std::size_t at = 0; at < text.size();) {
      const auto n = static_cast<std::size_t>(dice.below(4));  // empty pieces too
      got += scanner.push(std::string_view(text).substr(at, n));
      at += n;
    }
    got += scanner.finish();
    ASSERT_EQ(got, want.shown) << "seed " << seed << ", text " << text;
    ASSERT_EQ(scanner.found(), want.found) << "seed " << seed << ", text " << text;
    ASSERT_EQ(scanner.stopped(), !want.found.empty());
    (want.found.empty() ? held : stopped) += 1;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_GT(held, 5000);
}

TEST(StopScanner, HoldsBackExactlyWhatMayBecomeAStopText) {
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    Dice dice(seed + 50000);
    const std::vector<std::string> stops{fmt::format("c{}", random_text(dice, 2, 5)), "abc",
                                         fmt::format("{}c", random_text(dice, 2, 3))};
    StopScanner scanner(stops);
    std::string text, shown;
    while (text.size() < 20) {
      const std::string piece = random_text(dice, 2, 3);
      text += piece;
      shown += scanner.push(piece);
      if (scanner.stopped()) break;
      ASSERT_EQ(shown, text.substr(0, text.size() - must_hold(text, stops))) << "seed " << seed;
    }
  }
}

TEST(StopScanner, WhatWasHeldComesBackAtTheEndAndOnlyOnce) {
  StopScanner scanner({"stop", "top hat"});
  EXPECT_EQ(scanner.push("we sto"), "we ");
  EXPECT_EQ(scanner.push("p"), "");
  EXPECT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.finish(), "");

  StopScanner other({"stop!"});
  EXPECT_EQ(other.push("we stop"), "we ");
  EXPECT_EQ(other.finish(), "stop");
  EXPECT_EQ(other.finish(), "");
  EXPECT_FALSE(other.stopped());
  EXPECT_EQ(other.found(), "");
}

TEST(StopScanner, ShowsNothingAfterAStopText) {
  StopScanner scanner({"."});
  EXPECT_EQ(scanner.push("one. two."), "one");
  EXPECT_EQ(scanner.push("three"), "");
  EXPECT_EQ(scanner.push("."), "");
  EXPECT_EQ(scanner.finish(), "");
  EXPECT_EQ(scanner.found(), ".");
}

TEST(StopScanner, OfSeveralStopTextsTheOneCompleteFirstCountsThenTheLongest) {
  StopScanner longest({"c", "abc", "bc"});
  EXPECT_EQ(longest.push("xabc"), "x");
  EXPECT_EQ(longest.found(), "abc");

  StopScanner earliest({"bcde", "cd"});
  EXPECT_EQ(earliest.push("abcde"), "ab");
  EXPECT_EQ(earliest.found(), "cd");
}

TEST(StopScanner, WithoutStopTextsPassesEverythingOn) {
  StopScanner scanner({});
  EXPECT_EQ(scanner.push("all "), "all ");
  EXPECT_EQ(scanner.push("of it"), "of it");
  EXPECT_EQ(scanner.finish(), "");
}

}  // namespace
}  // namespace bezel::test
