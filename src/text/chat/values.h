// JSON values as the chat templates see them. The templates are written for Jinja on Python, so the
// order of keys, the look of numbers and what counts as empty follow Python.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace bezel::chat {

// Python's truth: false for null, false, 0, and empty texts, arrays and objects.
bool truthy(const Json& value);
// The member, or null when `object` is no object or has no such key.
const Json& member(const Json& object, std::string_view key);
// The value that a local reference ("#/$defs/x") names inside `root`, or null.
const Json& pointed(const Json& root, std::string_view reference);

using Member = std::pair<const std::string*, const Json*>;
// Members ordered by key without regard to case, those that are equal then as they stood: Jinja's
// dictsort. Lower-casing is that of Unicode 14 code point by code point.
std::vector<Member> sorted_members(const Json& object);

// str(number): 1, -1, 1.0, 1e-07, the shortest digits that give the same double.
std::string number_text(const Json& number);
// str(value): what a template prints for a value it does not look into, such as a list of types:
// ['string', 'null'].
std::string python_text(const Json& value);

// Without Unicode white space at both ends, as Python's strip().
std::string_view trim(std::string_view text);
std::string upper(std::string_view text);  // ASCII letters only
std::string lower(std::string_view text);  // all of Unicode, as in sorted_members

}  // namespace bezel::chat
