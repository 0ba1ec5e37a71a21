#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/fingerprint.h"
#include "base/progress.h"
#include "base/scratch.h"
#include "base/utf8.h"

namespace bezel {
namespace {

// Every code point, encoded by the textbook formula; 0 to 0x10FFFF without surrogates.
std::string encode(std::uint32_t c) {
  std::string s;
  const auto put = [&](std::uint32_t b) { s += static_cast<char>(b); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6U), put(0x80 | (c & 63U));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12U), put(0x80 | (c >> 6U & 63U)), put(0x80 | (c & 63U));
  } else {
    put(0xF0 | c >> 18U), put(0x80 | (c >> 12U & 63U)), put(0x80 | (c >> 6U & 63U));
    put(0x80 | (c & 63U));
  }
  return s;
}

TEST(Utf8, EveryCodePointIsValidAndEverySurrogateIsNot) {
  for (std::uint32_t c = 0; c <= 0x110010; ++c) {
    const bool good = c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
    const std::string s = encode(c);
    ASSERT_EQ(valid_utf8(s), good) << std::hex << c;
    ASSERT_EQ(utf8_length_at("x" + s + "y", 1), good ? s.size() : 0U) << std::hex << c;
  }
}

TEST(Utf8, ExactlyTheEncodingsOfCodePointsAreValidAmongAllStringsOfTwoAndThreeBytes) {
  int two = 0, three = 0;
  for (std::uint32_t v = 0; v < 1U << 24U; ++v) {
    const char bytes[3] = {static_cast<char>(v >> 16U), static_cast<char>(v >> 8U),
                           static_cast<char>(v)};
    if (utf8_length_at({bytes, 3}, 0) == 3) ++three;
    if ((v & 0xFFU) == 0 && utf8_length_at({bytes, 2}, 0) == 2) ++two;
  }
  EXPECT_EQ(two, 0x800 - 0x80);
  EXPECT_EQ(three, 0x10000 - 0x800 - 0x800);
}

TEST(Utf8, CutOverlongAndStrayBytesAreInvalid) {
  for (const char* s : {"\x80", "a\xBF", "\xC3", "\xC0\xAF", "\xC1\xBF", "\xE2\x82", "\xE0\x9F\xBF",
                        "\xF0\x9F\x98", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
                        "\xFE", "\xFF", "\xE2\x28\xA1"}) {
    EXPECT_FALSE(valid_utf8(s)) << s;
  }
  EXPECT_TRUE(valid_utf8(""));
}

TEST(Fingerprint, IsFnv1aOfTheBytes) {
  // Nothing hashed is the offset basis; one step is (basis ^ byte) * prime.
  EXPECT_EQ(Fingerprint().hex(), "cbf29ce484222325");
  const float zero = 0;
  std::uint64_t expected = 0xCBF29CE484222325ULL;
  for (int i = 0; i < 4; ++i) expected *= 0x100000001B3ULL;
  Fingerprint f;
  f.add(&zero, 1);
  EXPECT_EQ(f.value(), expected);
  Fingerprint text;
  text.add("foobar");  // a published value of FNV-1a
  EXPECT_EQ(text.hex(), "85944171f73967e8");
}

TEST(Fingerprint, SeesTheSignOfZeroAndTheOrder) {
  const float a[] = {0.0F, 1.0F}, b[] = {-0.0F, 1.0F}, c[] = {1.0F, 0.0F};
  Fingerprint fa, fb, fc;
  fa.add(a, 2);
  fb.add(b, 2);
  fc.add(c, 2);
  EXPECT_NE(fa.value(), fb.value());
  EXPECT_NE(fa.value(), fc.value());
}

TEST(Progress, TimesHaveHoursWhereTheyNeedThem) {
  EXPECT_EQ(time_text(59.9), "59 s");
  EXPECT_EQ(time_text(245), "4:05");
  EXPECT_EQ(time_text(3723), "1:02:03");
}

TEST(Scratch, RowsAreAlignedAndFramesGiveBackWhatTheyTook) {
  Scratch s(1U << 16U);
  void* first = nullptr;
  {
    const auto frame = s.frame();
    const Mat m = s.mat(3, 17);
    first = m.data;
    EXPECT_GE(m.stride, 17);
    for (int r = 0; r < 3; ++r) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.row(r)) % 64, 0U);
    }
  }
  EXPECT_EQ(s.mat(1, 1).data, first);
  EXPECT_EQ(s.peak_bytes(), Scratch::mat_bytes(3, 17));
}

TEST(CheckDeathTest, AskingTheArenaForMoreThanItHasAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Scratch s(1024);
  EXPECT_DEATH(s.bytes(1025), "internal error");
}

}  // namespace
}  // namespace bezel
