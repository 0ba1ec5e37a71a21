#include "text/schema/document/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

namespace bezel::schema {

namespace {

struct Uri {
  std::string scheme, authority, path, query;
  bool has_authority = false, has_query = false;

  explicit Uri(std::string_view s) {
    s = s.substr(0, s.find('#'));
    const std::size_t colon = s.find_first_of(":/?");
    if (colon != std::string_view::npos && s[colon] == ':' && colon > 0) {
      scheme = s.substr(0, colon);
      s.remove_prefix(colon + 1);
    }
    if (const std::size_t q = s.find('?'); q != std::string_view::npos) {
      query = s.substr(q + 1);
      has_query = true;
      s = s.substr(0, q);
    }
    if (s.substr(0, 2) == "//") {
      const std::size_t end = std::min(s.find('/', 2), s.size());
      authority = s.substr(2, end - 2);
      has_authority = true;
      s.remove_prefix(end);
    }
    path = s;
  }
  std::string text() const {
    return fmt::format("{}{}{}{}{}{}{}", scheme, scheme.empty() ? "" : ":",
                       has_authority ? "//" : "", authority, path, has_query ? "?" : "", query);
  }
};

std::string without_dots(std::string_view path) {
  std::vector<std::string_view> parts;
  const bool rooted = !path.empty() && path[0] == '/';
  bool folder = false;
  for (std::size_t i = rooted ? 1 : 0; i <= path.size();) {
    const std::size_t end = std::min(path.find('/', i), path.size());
    const std::string_view part = path.substr(i, end - i);
    folder = part == "." || part == "..";
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (part != ".") {
      parts.push_back(part);
    }
    i = end + 1;
  }
  std::string out = fmt::format("{}{}", rooted ? "/" : "", fmt::join(parts, "/"));
  if (folder && !parts.empty()) out.push_back('/');
  return out;
}

std::string unescaped(std::string_view part, bool percent) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    unsigned value = 0;
    if (percent && part[i] == '%' && i + 2 < part.size() &&
        std::from_chars(part.data() + i + 1, part.data() + i + 3, value, 16).ptr ==
            part.data() + i + 3) {
      out.push_back(static_cast<char>(value));
      i += 2;
    } else {
      out.push_back(part[i]);
    }
  }
  if (percent) return out;
  std::string plain;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '~' && i + 1 < out.size() && (out[i + 1] == '0' || out[i + 1] == '1'))
      plain.push_back(out[++i] == '0' ? '~' : '/');
    else
      plain.push_back(out[i]);
  }
  return plain;
}

std::string escaped(const std::string& key) {
  std::string out;
  for (const char c : key) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out.push_back(c);
  }
  return out;
}

constexpr const char* kSingle[] = {"additionalProperties",
                                   "contains",
                                   "contentSchema",
                                   "else",
                                   "if",
                                   "items",
                                   "not",
                                   "propertyNames",
                                   "then",
                                   "unevaluatedItems",
                                   "unevaluatedProperties"};
constexpr const char* kLists[] = {"allOf", "anyOf", "oneOf", "prefixItems"};
constexpr const char* kMaps[] = {"$defs", "definitions", "dependentSchemas", "patternProperties",
                                 "properties"};
constexpr const char* kRefused[] = {"$dynamicRef", "$dynamicAnchor", "$recursiveRef",
                                    "$recursiveAnchor", "$vocabulary"};

}  // namespace

std::string resolve_uri(const std::string& base, const std::string& reference) {
  Uri r(reference);
  if (!r.scheme.empty()) return r.text();
  const Uri b(base);
  r.scheme = b.scheme;
  if (r.has_authority) return r.text();
  r.authority = b.authority;
  r.has_authority = b.has_authority;
  if (r.path.empty()) {
    r.path = b.path;
    if (!r.has_query) r.query = b.query, r.has_query = b.has_query;
    return r.text();
  }
  if (r.path[0] != '/') {
    const std::size_t slash = b.path.rfind('/');
    std::string path = slash == std::string::npos ? "" : b.path.substr(0, slash + 1);
    if (path.empty() && b.has_authority) path.push_back('/');
    r.path.insert(0, path);
  }
  r.path = without_dots(r.path);
  return r.text();
}

Place Places::below(const Place& from, const Json& schema, const std::string& key) {
  Place p{&schema, from.base, fmt::format("{}/{}", from.pointer, escaped(key))};
  if (schema.is_object())
    if (const auto id = schema.find("$id"); id != schema.end() && id->is_string())
      p.base = resolve_uri(from.base, id->get_ref<const std::string&>());
  return p;
}

Status Places::scan(const Json& root) {
  root_ = {&root, "", ""};
  if (root.is_object())
    if (const auto id = root.find("$id"); id != root.end() && id->is_string())
      root_.base = resolve_uri("", id->get_ref<const std::string&>());
  resources_[root_.base] = root_;
  return visit(root_, 0);
}

Status Places::visit(const Place& at, int depth) {
  if (!at.schema->is_object()) return Ok{};
  if (depth > 100)
    return Error{Errc::TooLarge, "the schema is nested more than 100 levels deep", at.pointer};
  for (const char* key : kRefused)
    if (at.schema->contains(key))
      return Error{Errc::Unsupported,
                   fmt::format("{} is not supported; write a plain $ref instead", key),
                   fmt::format("{}/{}", at.pointer, key)};
  for (const char* key : {"$id", "$anchor"})
    if (const auto v = at.schema->find(key); v != at.schema->end() && !v->is_string())
      return Error{Errc::BadInput, fmt::format("{} must be a text", key),
                   fmt::format("{}/{}", at.pointer, key)};
  if (const auto id = at.schema->find("$id"); id != at.schema->end()) resources_[at.base] = at;
  if (const auto anchor = at.schema->find("$anchor"); anchor != at.schema->end())
    anchors_[fmt::format("{}#{}", at.base, anchor->get_ref<const std::string&>())] = at;
  return visit_parts(at, depth);
}

Status Places::visit_parts(const Place& at, int depth) {
  for (const char* key : kSingle)
    if (const auto v = at.schema->find(key); v != at.schema->end()) {
      BEZEL_DO(visit(below(at, *v, key), depth + 1));
    }
  const auto inside = [&](const char* key, bool wanted_array) -> Status {
    const auto v = at.schema->find(key);
    if (v == at.schema->end() || v->is_array() != wanted_array || !v->is_structured()) return Ok{};
    const Place list{&*v, at.base, fmt::format("{}/{}", at.pointer, key)};
    for (const auto& item : v->items()) {
      BEZEL_DO(visit(below(list, item.value(), item.key()), depth + 1));
    }
    return Ok{};
  };
  for (const char* key : kLists) BEZEL_DO(inside(key, true));
  for (const char* key : kMaps) BEZEL_DO(inside(key, false));
  return Ok{};
}

Result<Place> Places::find(const Place& from, const std::string& reference) const {
  const Error missing{Errc::Unsupported,
                      fmt::format("the reference \"{}\" is not in this document; references to "
                                  "other documents are not followed",
                                  reference),
                      fmt::format("{}/$ref", from.pointer)};
  const std::string uri = resolve_uri(from.base, reference);
  const std::size_t hash = reference.find('#');
  const std::string fragment = hash == std::string::npos ? "" : reference.substr(hash + 1);
  if (!fragment.empty() && fragment[0] != '/') {
    const auto at = anchors_.find(fmt::format("{}#{}", uri, fragment));
    if (at == anchors_.end()) return missing;
    return at->second;
  }
  const auto start = resources_.find(uri);
  if (start == resources_.end()) return missing;
  Place place = start->second;
  const std::string path = unescaped(fragment, true);
  for (std::size_t i = 0; i < path.size();) {
    const std::size_t end = std::min(path.find('/', i + 1), path.size());
    const std::string key = unescaped(std::string_view(path).substr(i + 1, end - i - 1), false);
    const Json* next = nullptr;
    if (place.schema->is_object()) {
      if (const auto v = place.schema->find(key); v != place.schema->end()) next = &*v;
    } else if (place.schema->is_array()) {
      std::size_t n = 0;
      const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), n);
      if (error == std::errc() && stop == key.data() + key.size() && n < place.schema->size())
        next = &(*place.schema)[n];
    }
    if (next == nullptr) return missing;
    place = below(place, *next, key);
    i = end;
  }
  return place;
}

}  // namespace bezel::schema
