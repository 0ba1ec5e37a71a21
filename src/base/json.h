// The one door to the JSON library: parsing with depth and size limits, and the value type.
#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

#include "bezel/result.h"

namespace bezel {

using Json = nlohmann::ordered_json;  // keeps the order of keys

struct JsonLimits {
  std::size_t max_bytes = 64U << 20U;
  std::size_t max_depth = 128;
  std::size_t max_values = 4U << 20U;  // numbers, strings, objects, arrays, ... together
};
// Strict JSON; duplicate keys: the last one wins. `where` names the source in the error.
Result<Json> parse_json(std::string_view text, const std::string& where, JsonLimits limits = {});
// Empties a value when it goes out of scope, taking no memory to do so. The library's own
// destructor allocates for every container that is not empty, and would end the program where
// memory is short.
class JsonGuard {
 public:
  explicit JsonGuard(Json& value) : value_(value) {}
  ~JsonGuard() { empty(value_); }
  JsonGuard(const JsonGuard&) = delete;
  JsonGuard& operator=(const JsonGuard&) = delete;
  static void empty(Json& value) noexcept;

 private:
  Json& value_;
};
// One line. Invalid UTF-8 inside strings becomes U+FFFD.
std::string dump_json(const Json& value);

// Typed access: the field's value, or `fallback` when it is absent or null; an Error that names the
// field when it has another type. T: bool, std::int64_t, double, std::string.
template <class T>
Result<T> json_get(const Json& object, const char* key, T fallback);
extern template Result<bool> json_get<bool>(const Json&, const char*, bool);
extern template Result<std::int64_t> json_get<std::int64_t>(const Json&, const char*, std::int64_t);
extern template Result<double> json_get<double>(const Json&, const char*, double);
extern template Result<std::string> json_get<std::string>(const Json&, const char*, std::string);

}  // namespace bezel
