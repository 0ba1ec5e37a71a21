// A schema as the machine runs it: numbered goals, and for each what a value may begin with.
#pragma once
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/schema/rules.h"

namespace bezel::schema {

inline constexpr int kNever = std::numeric_limits<int>::max();
inline constexpr int kMaxDepth = 500;  // arrays and objects inside one another in a value

struct StringShape {
  bool plain = true;  // any characters, min to max of them; else `dfa`, lengths included
  std::int64_t min = 0, max = -1;
  Dfa dfa;
  std::vector<std::uint64_t> counts;  // see count_texts
  std::vector<bool> free;             // see free_states
  std::vector<bool> words;            // see word_states
};

// What one item or the value of one key must be, with the duties that it then fulfils (bits).
struct Option {
  std::uint32_t hits = 0;
  int goal = 0;
};
using Slot = std::vector<Option>;

struct Duty {
  std::int64_t min = 0, max = -1;
};

struct ArrayShape {
  std::int64_t min = 0, max = -1;
  std::vector<Slot> slots;   // by item; the last is of all that follow
  std::vector<Duty> duties;  // contains
  bool unique = false;
  std::size_t cap = 0;  // counts above it are all the same

  const Slot& slot(std::size_t item) const { return slots[std::min(item, slots.size() - 1)]; }
};

struct KeyNode {                                              // of the tree of names
  std::vector<std::pair<std::uint32_t, std::uint32_t>> next;  // code point, node; ascending
  int name = -1;
  std::uint32_t lo = 0, hi = 0;  // names below, as positions in the sorted list
};

struct ObjectShape {
  std::int64_t min = 0, max = -1;
  std::vector<std::string> names;  // sorted
  std::vector<Slot> named;         // of their values; empty: the name may not be there
  std::vector<bool> required;
  std::vector<KeyNode> tree;
  Dfa others;  // of all other keys; marks are 1 + a number of `labels`
  std::vector<Slot> labels;
  std::vector<std::uint64_t> counts;  // of `others`
  std::vector<bool> free;
  std::uint32_t duties = 0;  // bits that all must be hit
  std::int64_t cap = 0;      // counts above it are all the same
};

// What a value that fits may be, for some kinds; numbers of shapes, -1: not that kind.
struct Case {
  std::uint8_t kinds = 0;  // null, true, false only
  int number = -1, string = -1, array = -1, object = -1;
};

struct GoalShape {
  std::vector<Case> cases;
  int height = kNever;  // least depth of a value that fits; kNever: there is none
};

class Program {
 public:
  // An Error when the schema is refused: `where` is the JSON pointer of the reason.
  // `bare_keys`: keys are written without quotes, so that not every text can be one.
  static Result<std::unique_ptr<Program>> compile(const Json& schema, bool bare_keys = false);

  const GoalShape& goal(int id) const { return goals_[static_cast<std::size_t>(id)]; }
  const NumberRule& number(int id) const { return numbers_[static_cast<std::size_t>(id)]; }
  const StringShape& string(int id) const { return strings_[static_cast<std::size_t>(id)]; }
  const ArrayShape& array(int id) const { return arrays_[static_cast<std::size_t>(id)]; }
  const ObjectShape& object(int id) const { return objects_[static_cast<std::size_t>(id)]; }
  int root() const { return 0; }
  int height(int id) const { return goal(id).height; }

  // Whether an array or object in this state can still be brought to an end.
  bool array_can_end(const ArrayShape& a, std::size_t count,
                     const std::vector<std::uint32_t>& hits) const;
  bool object_can_end(const ObjectShape& o, const std::vector<std::uint64_t>& seen,
                      std::int64_t count, std::uint32_t hits) const;

 private:
  Result<int> intern(const Goal& goal);
  Status expand_all(Expander& expander);
  Status add_case(Expander& expander, const Alternative& a, GoalShape& out);
  Status add_array(const ArrayRule& rule, Case& c);
  Status add_object(Expander& expander, const ObjectRule& rule, Case& c);
  Status add_names(Expander& expander, const ObjectRule& rule, ObjectShape& o);
  Result<Dfa> other_keys(const ObjectRule& rule, ObjectShape& o);
  Result<Slot> key_slot(const ObjectRule& rule, const Goal& base, std::uint32_t may_hit);
  void solve();
  int height_of(const Case& c) const;
  int array_height(const ArrayShape& a) const;
  int object_height(const ObjectShape& o) const;
  int slot_height(const Slot& slot, std::uint32_t hits) const;
  Status finish();
  Status finish_unique(const ArrayShape& a) const;
  void drop_dead(Slot& slot) const;

  Document document_;
  std::optional<Dfa> keys_;  // texts that can be keys; none: all
  std::map<Goal, int> numbers_of_goals_;
  std::vector<Goal> wanted_;
  std::vector<GoalShape> goals_;
  std::vector<NumberRule> numbers_;
  std::vector<StringShape> strings_;
  std::vector<ArrayShape> arrays_;
  std::vector<ObjectShape> objects_;
  std::map<StringRule, int> known_strings_;
};

}  // namespace bezel::schema
