// Escapes in a request's address.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace bezel::http {

// "a%20b" as "a b"; what is no escape stays.
std::string unescaped(std::string_view s);
// The value of `name` in "a=1&b=2", where "+" is a space too.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace bezel::http
