#include "text/vocab/pieces.h"

#include <bit>

#include "base/check.h"
#include "base/utf8.h"

namespace bezel {

void append_with_spaces(std::string& to, std::string_view s) {
  std::size_t from = 0;
  for (std::size_t at; (at = s.find(kSpaceMark, from)) != std::string_view::npos;
       from = at + kSpaceMark.size()) {
    to.append(s, from, at - from);
    to.push_back(' ');
  }
  to.append(s, from);
}

std::string with_spaces(std::string_view s) {
  std::string out;
  append_with_spaces(out, s);
  return out;
}

std::string with_space_marks(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (c == ' ') {
      out += kSpaceMark;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::uint32_t code_point_at(std::string_view s, std::size_t i, std::size_t n) {
  const auto byte = [&](std::size_t k) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(s[i + k]));
  };
  if (n == 1) return byte(0);
  std::uint32_t cp = byte(0) & (0xFFU >> (n + 1));
  for (std::size_t k = 1; k < n; ++k) cp = (cp << 6U) | (byte(k) & 0x3FU);
  return cp;
}

std::uint32_t first_code_point(std::string_view s) {
  return code_point_at(s, 0, utf8_length_at(s, 0));
}

std::uint32_t last_code_point(std::string_view s) {
  std::size_t i = s.size() - 1;
  while (i > 0 && (static_cast<unsigned char>(s[i]) & 0xC0U) == 0x80U) --i;
  return code_point_at(s, i, s.size() - i);
}

PieceStore::PieceStore(std::size_t n) : slots_(std::bit_ceil(2 * n + 2)) {
  start_.reserve(n + 1);
  start_.push_back(0);
}

TokenId PieceStore::add(std::string_view text) {
  BEZEL_CHECK(2 * start_.size() <= slots_.size());
  const std::uint64_t h = hash_mix(hash_on(kHashStart, text));
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = h & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    if ((slots_[slot] ^ h) >> 32U != 0) continue;
    const auto id = static_cast<TokenId>((slots_[slot] & 0xFFFFFFFFU) - 1);
    if ((*this)[id] == text) return id;
  }
  slots_[slot] = (h >> 32U << 32U) | start_.size();
  text_.append(text);
  start_.push_back(static_cast<std::uint32_t>(text_.size()));
  return -1;
}

TokenId PieceStore::find(std::string_view text, std::uint64_t hash) const {
  const std::uint64_t h = hash_mix(hash);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = h & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    if ((slots_[slot] ^ h) >> 32U != 0) continue;
    const auto id = static_cast<TokenId>((slots_[slot] & 0xFFFFFFFFU) - 1);
    if ((*this)[id] == text) return id;
  }
  return -1;
}

}  // namespace bezel
