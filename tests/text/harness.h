// Tokenizers and fixture lines for the tests of the text room.
#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace bezel::test {

inline std::string tokenizer_fixture(const std::string& name) {
  return std::string(BEZEL_FIXTURES) + "/tokenizer/" + name;
}

inline std::string read_text(const std::string& path) {
  auto text = read_file(path, std::uint64_t{1} << 30U);
  EXPECT_TRUE(text) << path;
  return text ? *std::move(text) : std::string();
}

inline Json read_json(const std::string& path) {
  auto json = parse_json(read_text(path), path);
  EXPECT_TRUE(json) << (json ? "" : json.error().text());
  return json ? *std::move(json) : Json();
}

// The objects of a .jsonl file; lines end with \n alone.
inline std::vector<Json> read_lines(const std::string& path) {
  std::vector<Json> lines;
  std::istringstream in(read_text(path));
  for (std::string line; std::getline(in, line);) {
    auto json = parse_json(line, path);
    EXPECT_TRUE(json) << path << ": " << line;
    if (json) lines.push_back(*std::move(json));
  }
  EXPECT_FALSE(lines.empty()) << path;
  return lines;
}

inline std::vector<TokenId> ids_of(const Json& array) {
  return array.get<std::vector<TokenId>>();
}

using TokenizerPtr = std::unique_ptr<Tokenizer>;

inline TokenizerPtr take(Result<TokenizerPtr> loaded) {
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().text());
  return loaded ? *std::move(loaded) : nullptr;
}

inline TokenizerPtr load_gguf(const std::string& path) {
  auto file = open_tensor_file(path);
  EXPECT_TRUE(file) << (file ? "" : file.error().text());
  return file ? take(Tokenizer::load(*file)) : nullptr;
}

// Where a big file that is not in the repository lies: the environment variable, else the cache.
inline std::string outside_file(const char* variable, const std::string& in_cache) {
  if (const char* path = std::getenv(variable); path != nullptr && *path != '\0') return path;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/bezel/" + in_cache;
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.cache/bezel/" + in_cache;
}
inline std::string gemma4_json_path() {
  return outside_file("BEZEL_TOKENIZER_JSON", "tests/gemma4-tokenizer.json");
}
inline std::string gemma3_gguf_path() {
  return outside_file("BEZEL_GEMMA3_270M", "gemma-3-270m-q4_k_m.gguf");
}

// The published Gemma 4 tokenizer, loaded once; null when the file is not there.
inline const Tokenizer* gemma4() {
  static const TokenizerPtr tokenizer =
      is_file(gemma4_json_path()) ? take(Tokenizer::load_json(gemma4_json_path())) : nullptr;
  return tokenizer.get();
}
// The tokenizer of the Gemma 3 270M GGUF, loaded once; null when the file is not there.
inline const Tokenizer* gemma3() {
  static const TokenizerPtr tokenizer =
      is_file(gemma3_gguf_path()) ? load_gguf(gemma3_gguf_path()) : nullptr;
  return tokenizer.get();
}
inline const Tokenizer* small_json() {
  static const TokenizerPtr tokenizer =
      take(Tokenizer::load_json(tokenizer_fixture("small/tokenizer.json")));
  return tokenizer.get();
}
inline const Tokenizer* small_gguf() {
  static const TokenizerPtr tokenizer = load_gguf(tokenizer_fixture("small/tokenizer.gguf"));
  return tokenizer.get();
}

// Numbers for seeded tests: the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(state_ >> 33U) % n;
  }

 private:
  std::uint64_t state_;
};

}  // namespace bezel::test

#define BEZEL_NEEDS_GEMMA4()                                                      \
  if (::bezel::test::gemma4() == nullptr)                                         \
  GTEST_SKIP() << "the published Gemma 4 tokenizer.json is not at "               \
               << ::bezel::test::gemma4_json_path()                               \
               << "; make it as tests/fixtures/tokenizer/README.md says, or set " \
                  "BEZEL_TOKENIZER_JSON"
#define BEZEL_NEEDS_GEMMA3()                                                              \
  if (::bezel::test::gemma3() == nullptr)                                                 \
  GTEST_SKIP() << "the Gemma 3 270M GGUF is not at " << ::bezel::test::gemma3_gguf_path() \
               << "; get it as tests/fixtures/gemma3-270m/README.md says, or set "        \
                  "BEZEL_GEMMA3_270M"
