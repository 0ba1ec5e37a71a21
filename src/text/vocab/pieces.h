// The texts of a vocabulary, one after another, and the look-up from text to id.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bezel {

using TokenId = std::int32_t;

// 64-bit FNV-1a, byte by byte: the hash of a prefix is a step on the way to the hash of the whole.
inline constexpr std::uint64_t kHashStart = 0xCBF29CE484222325ULL;
inline std::uint64_t hash_step(std::uint64_t h, char c) {
  return (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
}
inline std::uint64_t hash_on(std::uint64_t h, std::string_view s) {
  for (const char c : s) h = hash_step(h, c);
  return h;
}
// Spreads a hash or a packed key over all 64 bits.
inline std::uint64_t hash_mix(std::uint64_t h) {
  h = (h ^ (h >> 32U)) * 0x9E3779B97F4A7C15ULL;
  return h ^ (h >> 29U);
}

// U+2581, which stands for a space in pieces.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
// Appends `s` with every U+2581 as a space.
void append_with_spaces(std::string& to, std::string_view s);
std::string with_spaces(std::string_view s);
std::string with_space_marks(std::string_view s);
// The code point of the well-formed sequence s[i, i + n), n = 1 to 4.
std::uint32_t code_point_at(std::string_view s, std::size_t i, std::size_t n);
std::uint32_t first_code_point(std::string_view s);  // of valid UTF-8, not empty
std::uint32_t last_code_point(std::string_view s);

class PieceStore {
 public:
  // Room for n pieces; no more may be added.
  explicit PieceStore(std::size_t n = 0);

  // Adds the next id's text. Returns the id that has this text already (then nothing is added), or
  // -1.
  TokenId add(std::string_view text);
  // The id of a text, or -1. `hash` is hash_on(kHashStart, text).
  TokenId find(std::string_view text, std::uint64_t hash) const;
  TokenId find(std::string_view text) const { return find(text, hash_on(kHashStart, text)); }

  std::string_view operator[](TokenId id) const {
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(text_).substr(start_[i], start_[i + 1] - start_[i]);
  }
  int size() const { return static_cast<int>(start_.size()) - 1; }

 private:
  std::string text_;
  std::vector<std::uint32_t> start_;  // [n + 1], of each piece in text_
  std::vector<std::uint64_t> slots_;  // open addressing: upper half of the hash, lower half id + 1
};

}  // namespace bezel
