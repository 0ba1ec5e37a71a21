// Single values of a call's arguments: what a text without quotes stands for, and which types a
// schema allows.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"

namespace bezel::output {

// JSON types as bits; 0 when the schema does not say.
enum TypeBits : unsigned {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kNumberType = 8,
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
};
unsigned types_of(const Json* schema, int depth = 0);

bool is_number(std::string_view text);  // a JSON number that a double can hold
// "true", "false" or "null" for the ways of writing them (also Python's); else empty.
std::string_view literal_of(std::string_view text);
std::string unescaped(std::string_view text);    // JSON's escapes; what is none stays
void append_escaped(std::string& json, char c);  // a byte inside a JSON text

}  // namespace bezel::output
