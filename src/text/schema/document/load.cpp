#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/utf8.h"
#include "text/automaton/regex.h"
#include "text/schema/document/node.h"
#include "text/schema/document/place.h"

namespace bezel::schema {

namespace {

constexpr std::size_t kMaxNodes = 50000;
constexpr std::int64_t kMaxCount = 1000000000;

class Loader {
 public:
  Result<Document> run(const Json& schema) {
    BEZEL_DO(places_.scan(schema));
    document_.nodes.resize(2);
    document_.nodes[kFalse].kinds = 0;
    BEZEL_TRY(document_.root, node_at(places_.root()));
    for (std::size_t i = 0; i < todo_.size(); ++i) {
      const auto [id, place] = todo_[i];
      BEZEL_DO(fill(id, place));
    }
    return std::move(document_);
  }

 private:
  static Error wrong(const Place& p, const char* key, std::string what,
                     Errc code = Errc::BadInput) {
    return {code, std::move(what), fmt::format("{}/{}", p.pointer, key)};
  }

  Result<NodeId> node_at(const Place& place) {
    if (place.schema->is_boolean()) return place.schema->get<bool>() ? kTrue : kFalse;
    if (!place.schema->is_object())
      return Error{Errc::BadInput, "a schema must be an object, true or false", place.pointer};
    const auto [at, fresh] =
        ids_.try_emplace(place.schema, static_cast<NodeId>(document_.nodes.size()));
    if (fresh) {
      if (document_.nodes.size() >= kMaxNodes)
        return Error{Errc::TooLarge, fmt::format("the schema has more than {} parts", kMaxNodes),
                     place.pointer};
      document_.nodes.emplace_back();
      document_.nodes.back().pointer = place.pointer;
      todo_.emplace_back(at->second, place);
    }
    return at->second;
  }

  Status fill(NodeId id, const Place& p) {
    Node n;
    n.pointer = p.pointer;
    BEZEL_DO(check_dialect(p));
    BEZEL_DO(types(p, n));
    BEZEL_DO(values(p, n));
    BEZEL_DO(numbers(p, n));
    BEZEL_DO(texts(p, n));
    BEZEL_DO(arrays(p, n));
    BEZEL_DO(objects(p, n));
    BEZEL_DO(dependents(p, n));
    BEZEL_DO(combinations(p, n));
    if (n.unevaluated_items || n.unevaluated_properties) document_.unevaluated = true;
    document_.nodes[static_cast<std::size_t>(id)] = std::move(n);
    return Ok{};
  }

  static const Json* key(const Place& p, const char* name) {
    const auto at = p.schema->find(name);
    return at == p.schema->end() ? nullptr : &*at;
  }

  Status check_dialect(const Place& p) const {
    const Json* s = key(p, "$schema");
    if (s == nullptr) return Ok{};
    if (!s->is_string()) return wrong(p, "$schema", "$schema must be a text");
    const auto& uri = s->get_ref<const std::string&>();
    if (uri.find("json-schema.org/") == std::string::npos)
      return wrong(p, "$schema",
                   fmt::format("the dialect \"{}\" is not known; schemas are read as JSON Schema "
                               "draft 2020-12",
                               uri),
                   Errc::Unsupported);
    return Ok{};
  }

  static Status types(const Place& p, Node& n) {
    const Json* t = key(p, "type");
    if (t == nullptr) return Ok{};
    const Json list = t->is_array() ? *t : Json::array({*t});
    n.kinds = 0;
    bool number = false, integer = false;
    for (const Json& name : list) {
      const std::string s = name.is_string() ? name.get<std::string>() : "";
      if (s == "null") {
        n.kinds |= kNull;
      } else if (s == "boolean") {
        n.kinds |= kYes | kNo;
      } else if (s == "number") {
        number = true;
      } else if (s == "integer") {
        integer = true;
      } else if (s == "string") {
        n.kinds |= kString;
      } else if (s == "array") {
        n.kinds |= kArray;
      } else if (s == "object") {
        n.kinds |= kObject;
      } else {
        return wrong(p, "type",
                     fmt::format("{} is no type; types are null, boolean, number, integer, "
                                 "string, array and object",
                                 dump_json(name)));
      }
    }
    if (number || integer) n.kinds |= kNumber;
    n.integer = integer && !number;
    return Ok{};
  }

  Status values(const Place& p, Node& n) {
    for (const char* name : {"enum", "const"}) {
      const Json* v = key(p, name);
      if (v == nullptr) continue;
      const bool single = name[0] == 'c';
      if (!single && !v->is_array()) return wrong(p, name, "enum must be an array");
      if (single && n.has_enum) {  // both: the constant, if the list has it
        Node only;
        BEZEL_DO(value(p, name, *v, only));
        document_.nodes.push_back(std::move(only));
        n.all.push_back(static_cast<NodeId>(document_.nodes.size() - 1));
        continue;
      }
      if (single) {
        BEZEL_DO(value(p, name, *v, n));
      } else {
        n.has_enum = true;
        for (const Json& one : *v) BEZEL_DO(value(p, name, one, n));
      }
    }
    return Ok{};
  }

  Status value(const Place& p, const char* name, const Json& v, Node& n) {
    n.has_enum = true;
    const std::string pointer = fmt::format("{}/{}", p.pointer, name);
    if (v.is_null()) {
      n.enum_kinds |= kNull;
    } else if (v.is_boolean()) {
      n.enum_kinds |= v.get<bool>() ? kYes : kNo;
    } else if (v.is_number()) {
      BEZEL_TRY(Decimal d, exact_number(v, pointer));
      n.enum_numbers.push_back(std::move(d));
    } else if (v.is_string()) {
      n.enum_strings.push_back(v.get<std::string>());
    } else {
      BEZEL_TRY(const NodeId other, const_node(document_, v, pointer));
      n.enum_others.push_back(other);
    }
    return Ok{};
  }

  static Status number(const Place& p, const char* name, std::optional<Decimal>& out) {
    const Json* v = key(p, name);
    if (v == nullptr) return Ok{};
    if (!v->is_number()) return wrong(p, name, fmt::format("{} must be a number", name));
    BEZEL_TRY(Decimal d, exact_number(*v, fmt::format("{}/{}", p.pointer, name)));
    out = std::move(d);
    return Ok{};
  }

  static Status numbers(const Place& p, Node& n) {
    BEZEL_DO(number(p, "minimum", n.minimum));
    BEZEL_DO(number(p, "maximum", n.maximum));
    BEZEL_DO(number(p, "exclusiveMinimum", n.above));
    BEZEL_DO(number(p, "exclusiveMaximum", n.below));
    BEZEL_DO(number(p, "multipleOf", n.step));
    if (n.step && (n.step->zero() || n.step->negative))
      return wrong(p, "multipleOf", "multipleOf must be above 0");
    return Ok{};
  }

  static Status count(const Place& p, const char* name, std::int64_t& out) {
    const Json* v = key(p, name);
    if (v == nullptr) return Ok{};
    double d = v->is_number() ? v->get<double>() : -1;
    if (d < 0 || d != std::floor(d))
      return wrong(p, name, fmt::format("{} must be a whole number, 0 or more", name));
    if (d > static_cast<double>(kMaxCount))
      return wrong(p, name, fmt::format("{} is above the limit of {}", name, kMaxCount),
                   Errc::TooLarge);
    out = static_cast<std::int64_t>(d);
    return Ok{};
  }

  Result<int> automaton(const Place& p, const char* name, const std::string& pattern) {
    const auto [at, fresh] =
        patterns_.try_emplace(pattern, static_cast<int>(document_.automata.size()));
    if (fresh) {
      auto made = dfa_of_regex(pattern, false);
      if (!made) return wrong(p, name, made.error().what, made.error().code);
      document_.automata.push_back(std::make_shared<const Dfa>(*std::move(made)));
    }
    return at->second;
  }

  Status texts(const Place& p, Node& n) {
    BEZEL_DO(count(p, "minLength", n.min_length));
    BEZEL_DO(count(p, "maxLength", n.max_length));
    if (const Json* v = key(p, "pattern"); v != nullptr) {
      if (!v->is_string()) return wrong(p, "pattern", "pattern must be a text");
      BEZEL_TRY(const int a, automaton(p, "pattern", v->get<std::string>()));
      n.texts.push_back(a);
    }
    if (const Json* v = key(p, "format"); v != nullptr) {
      if (!v->is_string()) return wrong(p, "format", "format must be a text");
      const auto& name = v->get_ref<const std::string&>();
      auto made = format_automaton(name);
      if (made == nullptr)
        return wrong(p, "format", fmt::format("the format \"{}\" cannot be enforced", name),
                     Errc::Unsupported);
      n.texts.push_back(static_cast<int>(document_.automata.size()));
      document_.automata.push_back(std::move(made));
    }
    return Ok{};
  }

  Status child(const Place& p, const char* name, std::optional<NodeId>& out) {
    const Json* v = key(p, name);
    if (v == nullptr) return Ok{};
    BEZEL_TRY(out, node_at(Places::below(p, *v, name)));
    return Ok{};
  }

  Status list(const Place& p, const char* name, std::vector<NodeId>& out) {
    const Json* v = key(p, name);
    if (v == nullptr) return Ok{};
    if (!v->is_array() || v->empty())
      return wrong(p, name, fmt::format("{} must be an array with at least one schema", name));
    const Place inside{v, p.base, fmt::format("{}/{}", p.pointer, name)};
    for (std::size_t i = 0; i < v->size(); ++i) {
      BEZEL_TRY(const NodeId id, node_at(Places::below(inside, (*v)[i], fmt::format("{}", i))));
      out.push_back(id);
    }
    return Ok{};
  }

  // Calls `each` with every key and node of an object of schemas.
  template <class Each>
  Status members(const Place& p, const char* name, const Each& each) {
    const Json* v = key(p, name);
    if (v == nullptr) return Ok{};
    if (!v->is_object()) return wrong(p, name, fmt::format("{} must be an object", name));
    const Place inside{v, p.base, fmt::format("{}/{}", p.pointer, name)};
    for (const auto& [member, schema] : v->get_ref<const Json::object_t&>()) {
      BEZEL_TRY(const NodeId id, node_at(Places::below(inside, schema, member)));
      BEZEL_DO(each(member, id));
    }
    return Ok{};
  }

  Status arrays(const Place& p, Node& n) {
    BEZEL_DO(list(p, "prefixItems", n.prefix));
    BEZEL_DO(child(p, "items", n.items));
    BEZEL_DO(child(p, "contains", n.contains));
    BEZEL_DO(child(p, "unevaluatedItems", n.unevaluated_items));
    BEZEL_DO(count(p, "minItems", n.min_items));
    BEZEL_DO(count(p, "maxItems", n.max_items));
    BEZEL_DO(count(p, "minContains", n.min_contains));
    BEZEL_DO(count(p, "maxContains", n.max_contains));
    if (const Json* v = key(p, "uniqueItems"); v != nullptr) {
      if (!v->is_boolean()) return wrong(p, "uniqueItems", "uniqueItems must be true or false");
      n.unique = v->get<bool>();
    }
    return Ok{};
  }

  static Status names(const Place& p, const char* key, const Json& v,
                      std::vector<std::string>& out) {
    const Error bad = wrong(p, key, fmt::format("{} must be an array of texts", key));
    if (!v.is_array()) return bad;
    for (const Json& one : v) {
      if (!one.is_string()) return bad;
      out.push_back(one.get<std::string>());
    }
    return Ok{};
  }

  Status objects(const Place& p, Node& n) {
    BEZEL_DO(members(p, "properties", [&](const std::string& name, NodeId id) -> Status {
      n.properties.emplace_back(name, id);
      return Ok{};
    }));
    BEZEL_DO(members(p, "patternProperties", [&](const std::string& name, NodeId id) -> Status {
      BEZEL_TRY(const int a, automaton(p, "patternProperties", name));
      n.patterns.emplace_back(a, id);
      return Ok{};
    }));
    BEZEL_DO(child(p, "additionalProperties", n.additional));
    BEZEL_DO(child(p, "propertyNames", n.names));
    BEZEL_DO(child(p, "unevaluatedProperties", n.unevaluated_properties));
    BEZEL_DO(count(p, "minProperties", n.min_properties));
    BEZEL_DO(count(p, "maxProperties", n.max_properties));
    if (const Json* v = key(p, "required"); v != nullptr)
      BEZEL_DO(names(p, "required", *v, n.required));
    return Ok{};
  }

  Status dependents(const Place& p, Node& n) {
    if (const Json* v = key(p, "dependentRequired"); v != nullptr) {
      if (!v->is_object())
        return wrong(p, "dependentRequired", "dependentRequired must be an object");
      for (const auto& [name, list] : v->get_ref<const Json::object_t&>()) {
        n.dependent_required.emplace_back(name, std::vector<std::string>{});
        BEZEL_DO(names(p, "dependentRequired", list, n.dependent_required.back().second));
      }
    }
    BEZEL_DO(members(p, "dependentSchemas", [&](const std::string& name, NodeId id) -> Status {
      n.dependent_schemas.emplace_back(name, id);
      return Ok{};
    }));
    return old_dependents(p, n);
  }

  // "dependencies" of earlier drafts: both in one.
  Status old_dependents(const Place& p, Node& n) {
    const Json* v = key(p, "dependencies");
    if (v == nullptr) return Ok{};
    if (!v->is_object()) return wrong(p, "dependencies", "dependencies must be an object");
    const Place inside{v, p.base, fmt::format("{}/dependencies", p.pointer)};
    for (const auto& [name, what] : v->get_ref<const Json::object_t&>()) {
      if (what.is_array()) {
        n.dependent_required.emplace_back(name, std::vector<std::string>{});
        BEZEL_DO(names(p, "dependencies", what, n.dependent_required.back().second));
      } else {
        BEZEL_TRY(const NodeId id, node_at(Places::below(inside, what, name)));
        n.dependent_schemas.emplace_back(name, id);
      }
    }
    return Ok{};
  }

  Status combinations(const Place& p, Node& n) {
    BEZEL_DO(list(p, "allOf", n.all));
    BEZEL_DO(list(p, "anyOf", n.any));
    BEZEL_DO(list(p, "oneOf", n.one));
    BEZEL_DO(child(p, "not", n.none));
    BEZEL_DO(child(p, "if", n.condition));
    BEZEL_DO(child(p, "then", n.then));
    BEZEL_DO(child(p, "else", n.otherwise));
    const Json* ref = key(p, "$ref");
    if (ref == nullptr) return Ok{};
    if (!ref->is_string()) return wrong(p, "$ref", "$ref must be a text");
    BEZEL_TRY(const Place target, places_.find(p, ref->get<std::string>()));
    BEZEL_TRY(n.reference, node_at(target));
    return Ok{};
  }

  Places places_;
  Document document_;
  std::unordered_map<const Json*, NodeId> ids_;
  std::unordered_map<std::string, int> patterns_;
  std::vector<std::pair<NodeId, Place>> todo_;
};

}  // namespace

Result<Decimal> exact_number(const Json& value, const std::string& pointer) {
  const std::string text = dump_json(value);
  if (value.is_number_float()) {
    const auto digits =
        std::count_if(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    const double size = std::fabs(value.get<double>());
    if (size != 0 && (size < 1e-300 || size > 1e300 || digits > 20))
      return Error{Errc::TooLarge,
                   fmt::format("the number {} has too many digits to be compared exactly", text),
                   pointer};
  }
  auto d = parse_decimal(text);
  if (!d) return Error{Errc::BadInput, fmt::format("{} is no number", text), pointer};
  return *std::move(d);
}

Result<NodeId> const_node(Document& document, const Json& value, const std::string& pointer) {
  if (document.nodes.size() >= kMaxNodes)
    return Error{Errc::TooLarge, fmt::format("the schema has more than {} parts", kMaxNodes),
                 pointer};
  const auto id = static_cast<NodeId>(document.nodes.size());
  document.nodes.emplace_back();
  Node n;
  n.pointer = pointer;
  if (value.is_array()) {
    n.kinds = kArray;
    n.min_items = static_cast<std::int64_t>(value.size());
    n.items = kFalse;
    for (const Json& item : value) {
      BEZEL_TRY(const NodeId inside, const_node(document, item, pointer));
      n.prefix.push_back(inside);
    }
  } else if (value.is_object()) {
    n.kinds = kObject;
    n.additional = kFalse;
    for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
      BEZEL_TRY(const NodeId inside, const_node(document, member, pointer));
      n.properties.emplace_back(name, inside);
      n.required.push_back(name);
    }
  } else {
    n.has_enum = true;
    if (value.is_null()) n.enum_kinds = kNull;
    if (value.is_boolean()) n.enum_kinds = value.get<bool>() ? kYes : kNo;
    if (value.is_string()) n.enum_strings.push_back(value.get<std::string>());
    if (value.is_number()) {
      BEZEL_TRY(Decimal d, exact_number(value, pointer));
      n.enum_numbers.push_back(std::move(d));
    }
  }
  document.nodes[static_cast<std::size_t>(id)] = std::move(n);
  return id;
}

Result<Document> load_schema(const Json& schema) {
  return Loader().run(schema);
}

}  // namespace bezel::schema
