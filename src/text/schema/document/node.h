// A JSON Schema as numbered nodes: keywords read and checked, references resolved.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "bezel/result.h"
#include "text/automaton/dfa.h"
#include "text/schema/document/decimal.h"

namespace bezel::schema {

using NodeId = int;
inline constexpr NodeId kTrue = 0, kFalse = 1;  // the nodes of `true` and `false`

// Kinds of values, as bits.
enum Kind : std::uint8_t {
  kNull = 1,
  kYes = 2,  // the value true
  kNo = 4,   // the value false
  kNumber = 8,
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyKind = 127,
};

struct Node {
  std::string pointer;  // JSON pointer into the schema, for errors
  std::uint8_t kinds = kAnyKind;
  bool integer = false;  // numbers must be whole

  bool has_enum = false;
  std::uint8_t enum_kinds = 0;  // null, true, false
  std::vector<Decimal> enum_numbers;
  std::vector<std::string> enum_strings;
  std::vector<NodeId> enum_others;  // arrays and objects, each as a schema

  std::optional<Decimal> minimum, maximum, above, below, step;
  std::int64_t min_length = 0, max_length = -1;  // code points; -1: no end
  std::vector<int> texts;                        // pattern and format: numbers of automata

  std::vector<NodeId> prefix;
  std::optional<NodeId> items, contains, unevaluated_items;
  std::int64_t min_items = 0, max_items = -1, min_contains = 1, max_contains = -1;
  bool unique = false;

  std::vector<std::pair<std::string, NodeId>> properties;
  std::vector<std::pair<int, NodeId>> patterns;  // automaton, schema
  std::optional<NodeId> additional, names, unevaluated_properties;
  std::vector<std::string> required;
  std::int64_t min_properties = 0, max_properties = -1;
  std::vector<std::pair<std::string, std::vector<std::string>>> dependent_required;
  std::vector<std::pair<std::string, NodeId>> dependent_schemas;

  std::vector<NodeId> all, any, one;
  std::optional<NodeId> none, condition, then, otherwise, reference;
};

struct Document {
  std::vector<Node> nodes;
  std::vector<std::shared_ptr<const Dfa>> automata;  // trimmed
  NodeId root = kTrue;
  bool unevaluated = false;  // some node has unevaluatedItems or unevaluatedProperties
};

// An Error names the keyword's JSON pointer in `where`, and says why it is refused.
Result<Document> load_schema(const Json& schema);

// The node of a schema that allows one value only.
Result<NodeId> const_node(Document& document, const Json& value, const std::string& pointer);
// The number of the automaton for a format that Bezel enforces; nothing for others.
std::shared_ptr<const Dfa> format_automaton(const std::string& name);
// A number of the schema, exact.
Result<Decimal> exact_number(const Json& value, const std::string& pointer);

}  // namespace bezel::schema
