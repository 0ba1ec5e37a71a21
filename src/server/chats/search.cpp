#include "server/chats/search.h"

#include <algorithm>

namespace bezel {

namespace {

// A letter of two bytes (U+0080 to U+07FF) in lower case, when that has two bytes as well.
unsigned lower(unsigned c) {
  if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3A9) ||
      (c >= 0x410 && c <= 0x42F))
    return c + 0x20;
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  if ((c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14A && c <= 0x177) ||
      (c >= 0x460 && c <= 0x4BF))
    return c | 1U;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c + (c & 1U);
  return c;
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_inside(char c) {  // of a character of several bytes
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// About 16 bytes before and 100 behind a place, white space as single spaces.
std::string around(std::string_view text, std::size_t at) {
  std::size_t from = at > 16 ? at - 16 : 0, to = std::min(text.size(), at + 100);
  while (from < at && is_inside(text[from])) ++from;
  while (to < text.size() && is_inside(text[to])) ++to;
  std::string out = from > 0 ? "\xE2\x80\xA6" : "";
  for (const char c : text.substr(from, to - from)) {
    if (!is_space(c))
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  return to < text.size() ? out + "\xE2\x80\xA6" : out;
}

}  // namespace

std::string folded(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    if (byte >= 'A' && byte <= 'Z') {
      out[i] = static_cast<char>(byte + 32);
    } else if (byte >= 0xC2 && byte <= 0xDF && i + 1 < out.size() && is_inside(out[i + 1])) {
      const unsigned c =
          lower((byte & 0x1FU) << 6U | (static_cast<unsigned char>(out[i + 1]) & 0x3FU));
      out[i] = static_cast<char>(0xC0U | c >> 6U);
      out[++i] = static_cast<char>(0x80U | (c & 0x3FU));
    }
  }
  return out;
}

std::vector<std::string> search_words(std::string_view search) {
  std::vector<std::string> words;
  const std::string all = folded(search);
  for (std::size_t i = 0; i < all.size();) {
    while (i < all.size() && is_space(all[i])) ++i;
    std::size_t end = i;
    while (end < all.size() && !is_space(all[end])) ++end;
    if (end > i) words.push_back(all.substr(i, end - i));
    i = end;
  }
  return words;
}

std::optional<std::string> find_words(std::string_view title, std::string_view text,
                                      const std::vector<std::string>& words) {
  const std::string in_title = folded(title), in_text = folded(text);
  std::size_t first = std::string::npos;
  for (const std::string& w : words) {
    const std::size_t at = in_text.find(w);
    if (at == std::string::npos && in_title.find(w) == std::string::npos) return std::nullopt;
    first = std::min(first, at);
  }
  return first == std::string::npos ? "" : around(text, first);
}

}  // namespace bezel
