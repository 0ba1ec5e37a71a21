// Replays the fuzzers' inputs, found crashes among them, through an ordinary build.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

namespace bezel {
namespace {

// Calls fn(bytes) for every file of the corpus folder; returns how many there were.
template <class Fn>
int replay(const std::string& name, Fn fn) {
  int n = 0;
  const std::filesystem::path folder =
      std::filesystem::path(BEZEL_FIXTURES) / ".." / "fuzz/corpus" / name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().filename().string());
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    fn(text.str());
    ++n;
  }
  return n;
}

TEST(Corpus, EveryGgufInputEndsInAResultAndTheGoodOneIsRead) {
  int read = 0;
  const int n = replay("gguf", [&](const std::string& text) {
    const AlignedBytes bytes(text);
    auto file = parse_gguf(bytes.span(), "corpus");
    if (file) touch(*file), ++read;
  });
  EXPECT_GE(n, 2);
  EXPECT_GE(read, 1);
}

TEST(Corpus, EverySafetensorsInputEndsInAResultAndTheGoodOneIsRead) {
  int read = 0;
  const int n = replay("safetensors", [&](const std::string& text) {
    const AlignedBytes bytes(text);
    TensorFile file;
    if (parse_safetensors(bytes.span(), "corpus", file)) touch(file), ++read;
  });
  EXPECT_GE(n, 2);
  EXPECT_GE(read, 1);
}

TEST(Corpus, EveryJsonInputAgreesWithTheLibrarysOwnParser) {
  const int n = replay("json", [&](const std::string& text) {
    auto json = parse_json(text, "corpus");
    if (json) {
      EXPECT_EQ(*json, Json::parse(text));
    } else if (json.error().code != Errc::TooLarge) {
      EXPECT_FALSE(Json::accept(text));
    }
  });
  EXPECT_GE(n, 2);
}

}  // namespace
}  // namespace bezel
