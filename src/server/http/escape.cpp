#include "server/http/escape.h"

#include <algorithm>
#include <charconv>

namespace bezel::http {

std::string unescaped(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    unsigned char byte = 0;
    if (s[i] == '%' && i + 2 < s.size() &&
        std::from_chars(s.data() + i + 1, s.data() + i + 3, byte, 16).ptr == s.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    const std::size_t equals = part.find('=');
    if (part.substr(0, equals) == name) {
      std::string value(equals == std::string_view::npos ? "" : part.substr(equals + 1));
      std::replace(value.begin(), value.end(), '+', ' ');
      return unescaped(value);
    }
    query.remove_prefix(std::min(query.size(), part.size() + 1));
  }
  return std::nullopt;
}

}  // namespace bezel::http
