// Short ways to write the JSON Schemas of fields. Absent and null mean the same everywhere, so
// optional fields may be null.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace bezel::schema {

inline Json type(const char* name, const char* what) {
  Json j;
  j["type"] = Json::array({name, "null"});
  if (what != nullptr && *what != 0) j["description"] = what;
  return j;
}
inline Json text(const char* what = "") {
  return type("string", what);
}
inline Json flag(const char* what = "") {
  return type("boolean", what);
}
inline Json number(double lo, double hi, const char* what = "") {
  Json j = type("number", what);
  j["minimum"] = lo;
  j["maximum"] = hi;
  return j;
}
inline Json whole(std::int64_t lo, std::int64_t hi, const char* what = "") {
  Json j = type("integer", what);
  j["minimum"] = lo;
  j["maximum"] = hi;
  return j;
}
inline Json choice(std::initializer_list<const char*> values, const char* what = "") {
  Json j = type("string", what);
  j["enum"] = Json::array();
  for (const char* v : values) j["enum"].push_back(v);
  j["enum"].push_back(nullptr);
  return j;
}
inline Json list(Json items, std::size_t least = 0, std::size_t most = 0, const char* what = "") {
  Json j = type("array", what);
  j["items"] = std::move(items);
  if (least > 0) j["minItems"] = least;
  if (most > 0) j["maxItems"] = most;
  return j;
}
inline Json either(std::initializer_list<Json> forms, const char* what = "") {
  Json j = Json::object();
  j["anyOf"] = Json::array();
  for (const Json& f : forms) j["anyOf"].push_back(f);
  if (*what != 0) j["description"] = what;
  return j;
}

using Properties = std::vector<std::pair<const char*, Json>>;

// `required`: fields that must be there, and not be null.
inline Json object(const Properties& fields, std::initializer_list<const char*> required = {}) {
  Json j;
  j["type"] = required.size() == 0 ? Json::array({"object", "null"}) : Json("object");
  j["properties"] = Json::object();
  for (const auto& [name, field] : fields) j["properties"][name] = field;
  for (const char* name : required) {
    j["required"].push_back(name);
    Json& field = j["properties"][name];
    if (field.contains("type") && field["type"].is_array()) field["type"] = Json(field["type"][0]);
  }
  return j;
}

}  // namespace bezel::schema
