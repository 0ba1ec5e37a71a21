// Where the parts of a schema document are: $id, $anchor and JSON pointers.
#pragma once
#include <string>
#include <unordered_map>

#include "base/json.h"
#include "bezel/result.h"

namespace bezel::schema {

// A schema inside the document.
struct Place {
  const Json* schema = nullptr;
  std::string base;     // absolute URI of the resource it is in
  std::string pointer;  // from the document's root
};

// `reference` against `base`, by RFC 3986.
std::string resolve_uri(const std::string& base, const std::string& reference);

class Places {
 public:
  // Finds every $id and $anchor. An Error for keywords of dialects that are not followed.
  Status scan(const Json& root);
  // What a $ref found at `from` points at. An Error when it is not in this document.
  Result<Place> find(const Place& from, const std::string& reference) const;
  const Place& root() const { return root_; }
  // `from` with the key added; its base changes when it has an $id.
  static Place below(const Place& from, const Json& schema, const std::string& key);

 private:
  Status visit(const Place& at, int depth);
  Status visit_parts(const Place& at, int depth);
  Place root_;
  std::unordered_map<std::string, Place> resources_, anchors_;
};

}  // namespace bezel::schema
