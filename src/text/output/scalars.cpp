#include "text/output/scalars.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <system_error>

#include "text/chat/values.h"

namespace bezel::output {
namespace {

unsigned type_bit(const Json& name) {
  constexpr std::string_view kNames[] = {"null",   "boolean", "integer", "number",
                                         "string", "array",   "object"};
  if (!name.is_string()) return 0;
  const std::string text = chat::lower(name.get_ref<const std::string&>());
  for (unsigned i = 0; i < std::size(kNames); ++i)
    if (text == kNames[i]) return 1U << i;
  return 0;
}

unsigned type_of_value(const Json& v) {
  if (v.is_null()) return kNullType;
  if (v.is_boolean()) return kBooleanType;
  if (v.is_number()) return v.is_number_float() ? kNumberType : kIntegerType;
  if (v.is_string()) return kStringType;
  return v.is_array() ? kArrayType : kObjectType;
}

unsigned stated_types(const Json& schema, int depth) {
  const Json& type = chat::member(schema, "type");
  unsigned bits = type_bit(type);
  for (std::size_t i = 0; type.is_array() && i < type.size() && i < 16; ++i)
    bits |= type_bit(type[i]);
  if (bits != 0) return bits;
  if (schema.contains("const")) return type_of_value(schema["const"]);
  const Json& values = chat::member(schema, "enum");
  for (std::size_t i = 0; values.is_array() && i < values.size() && i < 256; ++i)
    bits |= type_of_value(values[i]);
  if (bits != 0) return bits;
  for (const char* key : {"anyOf", "oneOf"}) {
    const Json& all = chat::member(schema, key);
    for (std::size_t i = 0; all.is_array() && i < all.size() && i < 64; ++i) {
      const unsigned one = types_of(&all[i], depth + 1);
      if (one == 0) return 0;
      bits |= one;
    }
  }
  return bits;
}

// The code unit of four hexadecimal digits at text[i], or -1.
int code_unit(std::string_view text, std::size_t i) {
  if (i + 4 > text.size()) return -1;
  int value = 0;
  const auto end = std::from_chars(text.data() + i, text.data() + i + 4, value, 16);
  return end.ptr == text.data() + i + 4 && value >= 0 ? value : -1;
}

void append_code_point(std::string& to, int c) {
  const auto u = static_cast<unsigned>(c);
  const auto push = [&](unsigned byte) { to += static_cast<char>(byte); };
  if (u < 0x80) return push(u);
  if (u < 0x800) return push(0xC0U | (u >> 6U)), push(0x80U | (u & 0x3FU));
  if (u < 0x10000) {
    push(0xE0U | (u >> 12U));
  } else {
    push(0xF0U | (u >> 18U));
    push(0x80U | ((u >> 12U) & 0x3FU));
  }
  push(0x80U | ((u >> 6U) & 0x3FU));
  push(0x80U | (u & 0x3FU));
}

// \uXXXX at text[i], the position of the u; gives the position after it.
std::size_t append_unicode(std::string& to, std::string_view text, std::size_t i) {
  int unit = code_unit(text, i + 1);
  if (unit < 0) {
    to += "\\u";
    return i + 1;
  }
  i += 5;
  if (unit >= 0xD800 && unit < 0xDC00 && text.substr(i, 2) == "\\u") {
    const int low = code_unit(text, i + 2);
    if (low >= 0xDC00 && low < 0xE000) {
      append_code_point(to, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
      return i + 6;
    }
  }
  append_code_point(to, unit >= 0xD800 && unit < 0xE000 ? 0xFFFD : unit);
  return i;
}

}  // namespace

unsigned types_of(const Json* schema, int depth) {
  if (schema == nullptr || !schema->is_object() || depth > 4) return 0;
  const unsigned bits = stated_types(*schema, depth);
  const bool nullable = bits != 0 && chat::truthy(chat::member(*schema, "nullable"));
  return nullable ? bits | kNullType : bits;
}

bool is_number(std::string_view text) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - from;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const std::size_t first = i;
  if (digits() == 0 || (text[first] == '0' && i - first > 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  bool small = false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    small = i < text.size() && text[i] == '-';
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  if (i != text.size()) return false;
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  return end.ec == std::errc() || small;
}

std::string_view literal_of(std::string_view text) {
  if (text == "true" || text == "True") return "true";
  if (text == "false" || text == "False") return "false";
  return text == "null" || text == "None" || text == "nil" ? "null" : "";
}

std::string unescaped(std::string_view text) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kBytes = "\"\\/\b\f\n\r\t";
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i++];
    if (c != '\\' || i == text.size()) {
      out += c;
    } else if (text[i] == 'u') {
      i = append_unicode(out, text, i);
    } else if (const auto at = kLetters.find(text[i]); at != std::string_view::npos) {
      out += kBytes[at];
      ++i;
    } else {
      out += c;
    }
  }
  return out;
}

void append_escaped(std::string& json, char c) {
  if (c == '"' || c == '\\') {
    json += {'\\', c};
  } else if (c == '\n') {
    json += "\\n";
  } else if (static_cast<unsigned char>(c) < 0x20) {
    fmt::format_to(std::back_inserter(json), "\\u{:04x}", static_cast<unsigned char>(c));
  } else {
    json += c;
  }
}

}  // namespace bezel::output
