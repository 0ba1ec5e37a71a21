// What a schema asks, as alternatives without branches: a value fits when it fits one of them.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "text/schema/document/node.h"

namespace bezel::schema {

// A node, or its negation. Goals are sorted lists of them: all must hold for one value.
struct Literal {
  NodeId node;
  bool negated = false;
  auto operator<=>(const Literal&) const = default;  // NOLINT(modernize-use-nullptr)
};
using Goal = std::vector<Literal>;
void add_literal(Goal& goal, Literal literal);
void add_goal(Goal& goal, const Goal& more);

struct NumberRule {
  std::optional<Decimal> lo, hi;  // bounds
  bool lo_open = false, hi_open = false;
  std::optional<Decimal> step;     // a whole multiple of it
  std::vector<Decimal> not_steps;  // and of none of these
  bool listed = false;             // only those in `allowed`
  std::vector<Decimal> allowed, excluded;

  bool free() const {
    return !lo && !hi && !step && !listed && not_steps.empty() && excluded.empty();
  }
  void at_least(const Decimal& bound, bool open);
  void at_most(const Decimal& bound, bool open);
};

struct StringRule {
  std::int64_t min = 0, max = -1;           // code points
  std::vector<std::pair<int, bool>> texts;  // automaton, and whether it must accept; sorted
  auto operator<=>(const StringRule&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct ContainsRule {
  Goal goal;
  std::size_t from = 0;  // first item that counts
  std::int64_t min = 1, max = -1;
};
struct ArrayRule {
  std::vector<Goal> prefix;
  Goal rest;  // of items after the prefix
  std::int64_t min = 0, max = -1;
  std::vector<ContainsRule> contains;
  bool unique = false;
};

// About keys that are none of `names`, by what automata say of them.
struct KeyRule {
  std::vector<std::string> names;
  std::vector<std::pair<int, bool>> texts;
  Goal goal;
};
struct ObjectRule {
  std::map<std::string, Goal> named;
  std::vector<KeyRule> every;  // every such key has a value that fits
  std::vector<KeyRule> some;   // at least one such key is there, with a value that fits
  std::vector<std::string> required;
  std::int64_t min = 0, max = -1;
};

// What unevaluatedProperties and unevaluatedItems do not concern.
struct Evaluated {
  bool all_keys = false, all_items = false;
  std::vector<std::string> keys;
  std::vector<int> patterns;
  std::size_t items = 0;
  std::vector<NodeId> contains;  // items that fit one of these
};

struct Alternative {
  std::uint8_t kinds = kAnyKind;
  NumberRule number;
  StringRule string;
  ArrayRule array;
  ObjectRule object;
  Evaluated evaluated;
};

inline constexpr std::size_t kMaxAlternatives = 512;

// Both at once; false when no value can fit both (seen from the kinds alone).
bool conjoin(Alternative& a, const Alternative& b);

// Alternatives of literals, found once each. Makes new nodes and automata where needed.
class Expander {
 public:
  using Alternatives = std::vector<Alternative>;

  explicit Expander(Document& document) : document_(document) {}
  Result<Alternatives> expand(const Goal& goal);
  // The texts that fit a goal.
  Result<Dfa> texts_of(const Goal& goal);
  Result<Dfa> texts_of(const StringRule& rule) const;
  // Goal of a key's value by the rules for every key, and by those for this name.
  Goal goal_of_key(const ObjectRule& rule, const std::string& name) const;
  bool concerns(const KeyRule& rule, const std::string& name) const;

 private:
  const Node& node(NodeId id) const { return document_.nodes[static_cast<std::size_t>(id)]; }
  Result<const Alternatives*> of(Literal literal);
  Result<Alternatives> positive(NodeId id);
  Result<Alternatives> negative(NodeId id);
  // Narrows `so_far` to what also fits one of `options`.
  Status both(Alternatives& so_far, const Alternatives& options);
  Status also(Alternatives& so_far, Literal literal, bool evaluates = true);
  bool possible(const Alternative& a, int depth);

  Result<Alternatives> simple(const Node& n);
  Status enumerated(const Node& n, Alternatives& so_far);
  Status at_least_one(const Node& n, Alternatives& so_far);
  Status exactly_one(const Node& n, Alternatives& so_far);
  Status conditional(const Node& n, Alternatives& so_far);
  Status dependents(const Node& n, Alternatives& so_far);
  Status unevaluated(const Node& n, Alternatives& so_far);
  Result<Goal> unevaluated_item(const Node& n, const Evaluated& e);

  Status negated_enum(const Node& n, Alternatives& out);
  Status negated_arrays(const Node& n, Alternatives& out);
  Status negated_objects(const Node& n, Alternatives& out);
  Status negated_branches(const Node& n, Alternatives& out);
  Status negated_unevaluated(NodeId id, Alternatives& out);

  Result<int> language(NodeId names);
  int set_of_texts(const std::vector<std::string>& texts);

  Document& document_;
  std::map<Literal, Alternatives> known_;
  std::vector<Literal> open_;  // being worked out: a reference to one of them never ends
  std::map<std::vector<std::string>, int> sets_;
  std::map<NodeId, int> languages_;
  std::map<std::vector<NodeId>, NodeId> joined_;  // "one of these" as a node
};

// Whether some number fits.
bool any_number(const NumberRule& rule);

}  // namespace bezel::schema
