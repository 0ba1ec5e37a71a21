// Schema lowering: what a declaration cannot say goes into descriptions.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "text/chat/render.h"
#include "text/chat/values.h"

namespace bezel::chat {
namespace {

constexpr int kMaxDepth = 48;              // of schemas, references followed
constexpr std::size_t kMaxSteps = 400000;  // values copied for one tool, 64 bytes of text as one

std::size_t weight(const Json& value) {
  std::size_t n = 1;
  if (value.is_string()) n += value.get_ref<const std::string&>().size() / 64;
  if (value.is_structured())
    for (const Json& child : value) n += weight(child);
  return n;
}

// Constraints that are told in words: `minimum 1`.
constexpr std::string_view kTold[] = {
    "default",          "format",     "pattern",     "minimum",       "maximum",
    "exclusiveMinimum", "minLength",  "maxLength",   "minItems",      "maxItems",
    "exclusiveMaximum", "multipleOf", "uniqueItems", "minProperties", "maxProperties"};

class Lowering {
 public:
  explicit Lowering(const Json& root) : root_(root) {}

  // `inside_items`: keywords stay as they are there, because the template writes all of them.
  Json lower(const Json& schema, bool inside_items, int depth) {
    if (!schema.is_object()) return Json::object();
    if (depth > kMaxDepth || !take(schema)) return Json{{"type", "object"}};
    Json s = flat(schema, depth);
    std::vector<std::string> notes;
    one_type(s, notes, inside_items);
    if (!inside_items) constraints(s, notes);
    children(s, notes, inside_items, depth);
    if (!notes.empty()) tell(s, notes);
    return s;
  }

 private:
  // False when copying this would be more work than a tool may ask for.
  bool take(const Json& schema) {
    if (steps_ <= kMaxSteps) steps_ += weight(schema);
    return steps_ <= kMaxSteps;
  }

  // Members of `from` that `to` does not have; properties and required are joined.
  static void merge(Json& to, const Json& from) {
    for (const auto& [key, value] : from.items()) {
      if (!to.contains(key)) {
        to[key] = value;
      } else if (key == "properties" && value.is_object() && to[key].is_object()) {
        for (const auto& [name, schema] : value.items())
          if (!to[key].contains(name)) to[key][name] = schema;
      } else if (key == "required" && value.is_array() && to[key].is_array()) {
        for (const Json& name : value)
          if (std::find(to[key].begin(), to[key].end(), name) == to[key].end())
            to[key].push_back(name);
      }
    }
  }

  // Without $ref and allOf at its top.
  Json flat(const Json& schema, int depth) {
    Json s = schema;
    for (int i = 0; i < kMaxDepth && s.contains("$ref"); ++i) {
      const Json reference = s["$ref"];
      s.erase("$ref");
      const Json& found =
          reference.is_string() ? pointed(root_, reference.get_ref<const std::string&>()) : root_;
      if (found.is_object() && reference.is_string() && take(found)) merge(s, found);
    }
    if (!s.contains("allOf")) return s;
    const Json all = s["allOf"];
    s.erase("allOf");
    for (const Json& part : all)
      if (part.is_object() && depth < kMaxDepth && take(part)) merge(s, flat(part, depth + 1));
    return s;
  }

  static std::string type_of_value(const Json& value) {
    if (value.is_string()) return "string";
    if (value.is_boolean()) return "boolean";
    if (value.is_number_float()) return "number";
    if (value.is_number()) return "integer";
    if (value.is_array()) return "array";
    return value.is_object() ? "object" : "null";
  }

  // anyOf, oneOf, const and lists of types become one type and `nullable`.
  void one_type(Json& s, std::vector<std::string>& notes, bool inside_items) {
    for (const char* key : {"anyOf", "oneOf"})
      if (s.contains(key)) alternatives(s, key, notes);
    if (s.contains("const")) {
      const Json value = s["const"];
      s.erase("const");
      if (!s.contains("enum")) s["enum"] = Json::array({value});
    }
    if (s.contains("type") && s["type"].is_array() && !inside_items) {
      std::vector<std::string> types;
      const Json listed = s["type"];  // a copy: a new member moves the others
      for (const Json& t : listed) {
        if (t == "null") {
          s["nullable"] = true;
        } else if (t.is_string()) {
          types.push_back(t.get<std::string>());
        }
      }
      choose(s, types, notes);
    }
    if (truthy(member(s, "type"))) return;
    const Json& values = member(s, "enum");
    if (values.is_array() && !values.empty()) {
      s["type"] = type_of_value(values[0]);
    } else if (member(s, "properties").is_object()) {
      s["type"] = "object";
    } else if (member(s, "items").is_object()) {
      s["type"] = "array";
    }
  }

  // The first type is declared, all of them are told.
  static void choose(Json& s, const std::vector<std::string>& types,
                     std::vector<std::string>& notes) {
    if (types.empty()) {
      s["type"] = "null";
      s.erase("nullable");
      return;
    }
    s["type"] = types[0];
    if (types.size() > 1) notes.push_back(fmt::format("{}", fmt::join(types, " or ")));
  }

  void alternatives(Json& s, const char* key, std::vector<std::string>& notes) {
    const Json all = s[key];
    s.erase(key);
    std::vector<Json> left;
    std::vector<std::string> types;
    for (const Json& one : all) {
      if (!one.is_object() || !take(one)) continue;
      Json schema = flat(one, 0);
      if (member(schema, "type") == "null") {
        s["nullable"] = true;
        continue;
      }
      const Json& type = member(schema, "type");
      if (type.is_string() &&
          std::find(types.begin(), types.end(), type.get<std::string>()) == types.end())
        types.push_back(type.get<std::string>());
      left.push_back(std::move(schema));
    }
    if (left.empty()) return;
    merge(s, left[0]);
    if (left.size() == 1) return;
    if (types.size() > 1) {
      notes.push_back(fmt::format("{}", fmt::join(types, " or ")));
    } else {
      for (std::size_t i = 1; i < left.size() && i < 8; ++i)
        notes.push_back("or " + dump_json(left[i]));
    }
  }

  static void constraints(Json& s, std::vector<std::string>& notes) {
    const Json& values = member(s, "enum");
    if (values.is_array() && member(s, "type") != "string") {
      std::vector<std::string> shown;
      for (const Json& v : values) shown.push_back(dump_json(v));
      notes.push_back(fmt::format("one of {}", fmt::join(shown, ", ")));
      s.erase("enum");
    }
    for (const std::string_view key : kTold) {
      if (!s.contains(key)) continue;
      const Json& value = s[std::string(key)];
      notes.push_back(fmt::format(
          "{} {}", key,
          value.is_string() && key != "default" ? value.get<std::string>() : dump_json(value)));
      s.erase(std::string(key));
    }
  }

  void children(Json& s, std::vector<std::string>& notes, bool inside_items, int depth) {
    if (s.contains("properties") && s["properties"].is_object())
      for (auto& [name, schema] : s["properties"].items()) schema = lower(schema, false, depth + 1);
    if (s.contains("items") && s["items"].is_object() && !s["items"].empty())
      s["items"] = lower(s["items"], true, depth + 1);
    for (const char* key : {"$defs", "definitions"}) s.erase(key);
    if (member(s, "type") != "object" || inside_items) return;
    const Json extra = member(s, "additionalProperties");
    if (extra.is_object() && !extra.empty())
      notes.push_back("any names, each value: " + dump_json(lower(extra, true, depth + 1)));
    for (const char* key : {"additionalProperties", "patternProperties", "title", "$schema", "$id",
                            "examples", "$comment"})
      s.erase(key);
    if (!s.contains("properties")) s["properties"] = Json::object();
  }

  static void tell(Json& s, const std::vector<std::string>& notes) {
    const Json& said = member(s, "description");
    const std::string told = fmt::format("{}", fmt::join(notes, "; "));
    const bool alone = !said.is_string() || said.get_ref<const std::string&>().empty();
    s["description"] = alone ? told : fmt::format("{} ({})", said.get<std::string>(), told);
  }

  const Json& root_;
  std::size_t steps_ = 0;
};

}  // namespace

Json lower_tool(const Json& tool) {
  const Json& parameters = member(member(tool, "function"), "parameters");
  if (!parameters.is_object() || parameters.empty()) return tool;
  Json out = tool;
  Json lowered = Lowering(parameters).lower(parameters, false, 0);
  if (!truthy(member(lowered, "type"))) lowered["type"] = "object";
  // The template has no place for a description of the parameters themselves.
  const Json told = member(lowered, "description");
  const Json before = member(parameters, "description");
  if (told.is_string() && told != before) {
    const Json& said = member(out["function"], "description");
    out["function"]["description"] =
        (said.is_string() && !said.get_ref<const std::string&>().empty()
             ? said.get<std::string>() + " (" + told.get<std::string>() + ")"
             : told.get<std::string>());
  }
  out["function"]["parameters"] = std::move(lowered);
  return out;
}

}  // namespace bezel::chat
