// A plain validator of the keywords that the random schemas of the tests use: whole values against
// whole schemas, nothing shared with the code under test.
#pragma once
#include <cmath>
#include <regex>
#include <string>

#include "base/json.h"

namespace bezel::test {

class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  bool valid(const Json& schema, const Json& v) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& item : schema.items())
      if (!keyword(schema, item.key(), item.value(), v)) return false;
    return true;
  }

 private:
  static bool is_type(const std::string& type, const Json& v) {
    if (type == "integer") return v.is_number() && v.get<double>() == std::floor(v.get<double>());
    if (type == "number") return v.is_number();
    if (type == "string") return v.is_string();
    if (type == "boolean") return v.is_boolean();
    if (type == "null") return v.is_null();
    return type == "array" ? v.is_array() : v.is_object();
  }
  static std::size_t length(const std::string& s) {
    std::size_t n = 0;
    for (const char c : s) n += (static_cast<unsigned char>(c) & 0xC0U) != 0x80 ? 1 : 0;
    return n;
  }
  static bool same(const Json& a, const Json& b) {
    return a == b || (a.is_number() && b.is_number() && a.get<double>() == b.get<double>());
  }

  bool keyword(const Json& schema, const std::string& k, const Json& x, const Json& v) const {
    if (k == "type") {
      if (x.is_string()) return is_type(x, v);
      for (const Json& t : x)
        if (is_type(t, v)) return true;
      return false;
    }
    if (k == "const") return same(x, v);
    if (k == "enum") {
      for (const Json& e : x)
        if (same(e, v)) return true;
      return false;
    }
    if (k == "$ref") return valid(root_["$defs"][x.get<std::string>().substr(8)], v);
    return (!v.is_number() || number(k, x, v.get<double>())) &&
           (!v.is_string() || text(k, x, v.get<std::string>())) &&
           (!v.is_array() || array(schema, k, x, v)) &&
           (!v.is_object() || object(schema, k, x, v)) && combination(schema, k, x, v);
  }
  static bool number(const std::string& k, const Json& x, double v) {
    if (k == "minimum") return v >= x.get<double>();
    if (k == "maximum") return v <= x.get<double>();
    if (k == "exclusiveMinimum") return v > x.get<double>();
    if (k == "multipleOf") return std::fmod(v, x.get<double>()) == 0;
    return true;
  }
  static bool text(const std::string& k, const Json& x, const std::string& v) {
    if (k == "minLength") return length(v) >= x.get<std::size_t>();
    if (k == "maxLength") return length(v) <= x.get<std::size_t>();
    if (k == "pattern") return std::regex_search(v, std::regex(x.get<std::string>()));
    return true;
  }
  bool array(const Json& schema, const std::string& k, const Json& x, const Json& v) const {
    if (k == "minItems") return v.size() >= x.get<std::size_t>();
    if (k == "maxItems") return v.size() <= x.get<std::size_t>();
    const std::size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    std::size_t hits = 0;
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (k == "prefixItems" && i < prefix && !valid(x[i], v[i])) return false;
      if (k == "items" && i >= prefix && !valid(x, v[i])) return false;
      if (k == "contains") hits += valid(x, v[i]) ? 1 : 0;
      for (std::size_t j = 0; k == "uniqueItems" && j < i; ++j)
        if (same(v[i], v[j])) return false;
    }
    return k != "contains" || (hits > 0 && (!schema.contains("maxContains") ||
                                            hits <= schema["maxContains"].get<std::size_t>()));
  }
  bool object(const Json& schema, const std::string& k, const Json& x, const Json& v) const {
    if (k == "minProperties") return v.size() >= x.get<std::size_t>();
    if (k == "maxProperties") return v.size() <= x.get<std::size_t>();
    if (k == "required")
      for (const Json& name : x)
        if (!v.contains(name.get<std::string>())) return false;
    for (const auto& item : v.items()) {
      const bool named = schema.contains("properties") && schema["properties"].contains(item.key());
      if (k == "properties" && named && !valid(x[item.key()], item.value())) return false;
      if (k == "additionalProperties" && !named && !valid(x, item.value())) return false;
      if (k == "propertyNames" && !valid(x, item.key())) return false;
    }
    if (k == "dependentRequired")
      for (const auto& item : x.items())
        if (v.contains(item.key()))
          for (const Json& name : item.value())
            if (!v.contains(name.get<std::string>())) return false;
    return true;
  }
  bool combination(const Json& schema, const std::string& k, const Json& x, const Json& v) const {
    if (k == "not") return !valid(x, v);
    if (k == "if") {
      const char* branch = valid(x, v) ? "then" : "else";
      return !schema.contains(branch) || valid(schema[branch], v);
    }
    if (k != "allOf" && k != "anyOf" && k != "oneOf") return true;
    std::size_t hits = 0;
    for (const Json& part : x) hits += valid(part, v) ? 1 : 0;
    return k == "allOf" ? hits == x.size() : k == "anyOf" ? hits > 0 : hits == 1;
  }

  const Json& root_;
};

}  // namespace bezel::test
