#include "text/schema/program.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/automaton/regex.h"

namespace bezel::schema {

namespace {

constexpr std::size_t kMaxGoals = 20000, kMaxDuties = 6, kMaxListed = 256, kMaxWork = 400000;

// A key without quotes.
constexpr const char* kBareKey = R"([^\s:{}\[\],<>"][^\n\r:{}\[\],<>"]*)";

Error too_entangled(const char* what) {
  return {
      Errc::Unsupported,
      fmt::format("more than {} {} meet on one value, which is not supported", kMaxDuties, what),
      ""};
}

void plant(ObjectShape& o) {
  o.tree.assign(1, {});
  o.tree[0].hi = static_cast<std::uint32_t>(o.names.size());
  for (std::uint32_t i = 0; i < o.names.size(); ++i) {
    std::uint32_t at = 0;
    for (const std::uint32_t c : code_points(o.names[i])) {
      auto& next = o.tree[at].next;
      if (next.empty() || next.back().first != c) {
        const auto fresh = static_cast<std::uint32_t>(o.tree.size());
        next.emplace_back(c, fresh);
        o.tree.emplace_back();
        o.tree.back().lo = i;
        at = fresh;
      } else {
        at = next.back().second;
      }
      o.tree[at].hi = i + 1;
    }
    o.tree[at].name = static_cast<int>(i);
  }
}

}  // namespace

Result<std::unique_ptr<Program>> Program::compile(const Json& schema, bool bare_keys) {
  auto p = std::make_unique<Program>();
  BEZEL_TRY(p->document_, load_schema(schema));
  if (bare_keys) {
    BEZEL_TRY(p->keys_, dfa_of_regex(kBareKey, true));
  }
  Expander expander(p->document_);
  BEZEL_TRY(const int root, p->intern({{p->document_.root}}));
  BEZEL_DO(p->expand_all(expander));
  p->solve();
  BEZEL_DO(p->finish());
  p->solve();
  if (p->height(root) > kMaxDepth)
    return Error{Errc::BadInput,
                 p->height(root) == kNever
                     ? "no JSON value can satisfy this schema"
                     : "every value that satisfies this schema is more than 500 levels deep",
                 ""};
  return p;
}

Result<int> Program::intern(const Goal& literals) {
  Goal goal;
  add_goal(goal, literals);
  const auto [at, fresh] = numbers_of_goals_.try_emplace(goal, static_cast<int>(wanted_.size()));
  if (fresh) {
    if (wanted_.size() >= kMaxGoals)
      return Error{Errc::TooLarge,
                   fmt::format("the parts of the schema meet in more than {} ways", kMaxGoals), ""};
    wanted_.push_back(std::move(goal));
  }
  return at->second;
}

Status Program::expand_all(Expander& expander) {
  std::size_t work = 0;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const Goal goal = wanted_[i];
    const std::string where =
        goal.empty() ? "" : document_.nodes[static_cast<std::size_t>(goal[0].node)].pointer;
    const auto located = [&](Error e) {
      if (e.where.empty()) e.where = where;
      return e;
    };
    auto options = expander.expand(goal);
    if (!options) return located(options.error());
    GoalShape shape;
    work += options->size();
    for (const Alternative& a : *options)
      if (Status added = add_case(expander, a, shape); !added) return located(added.error());
    for (const Case& c : shape.cases)
      if (c.object >= 0) work += object(c.object).names.size() / 16;
    if (work > kMaxWork)
      return Error{Errc::TooLarge, "the schema has too many cases altogether", where};
    goals_.push_back(std::move(shape));
  }
  return Ok{};
}

Status Program::add_case(Expander& expander, const Alternative& a, GoalShape& out) {
  Case c;
  c.kinds = a.kinds & (kNull | kYes | kNo);
  if ((a.kinds & kNumber) != 0 && any_number(a.number)) {
    c.number = static_cast<int>(numbers_.size());
    numbers_.push_back(a.number);
  }
  if ((a.kinds & kString) != 0) {
    if (const auto known = known_strings_.find(a.string); known != known_strings_.end()) {
      c.string = known->second;
    } else {
      StringShape s;
      s.plain = a.string.texts.empty();
      s.min = a.string.min;
      s.max = a.string.max;
      bool some = s.max < 0 || s.min <= s.max;
      if (!s.plain) {
        BEZEL_TRY(s.dfa, expander.texts_of(a.string));
        s.counts = count_texts(s.dfa);
        s.free = free_states(s.dfa);
        s.words = word_states(s.dfa);
        some = !s.dfa.states.empty();
      }
      if (some) {
        c.string = static_cast<int>(strings_.size());
        strings_.push_back(std::move(s));
      }
      known_strings_[a.string] = c.string;
    }
  }
  if ((a.kinds & kArray) != 0) BEZEL_DO(add_array(a.array, c));
  if ((a.kinds & kObject) != 0) BEZEL_DO(add_object(expander, a.object, c));
  out.cases.push_back(c);
  return Ok{};
}

Status Program::add_array(const ArrayRule& rule, Case& c) {
  if (rule.max >= 0 && rule.min > rule.max) return Ok{};
  if (rule.contains.size() > kMaxDuties) return too_entangled("contains");
  ArrayShape a;
  a.min = rule.min;
  a.max = rule.max;
  a.unique = rule.unique;
  std::size_t n = rule.prefix.size();
  for (const ContainsRule& r : rule.contains) {
    n = std::max(n, r.from);
    a.duties.push_back({r.min, r.max});
    if (r.max >= 0 && r.min > r.max) return Ok{};
  }
  for (std::size_t item = 0; item <= n; ++item) {
    Slot slot;
    const Goal& base = item < rule.prefix.size() ? rule.prefix[item] : rule.rest;
    for (std::uint32_t hits = 0; hits < (1U << rule.contains.size()); ++hits) {
      Goal goal = base;
      bool counts = true;
      for (std::size_t j = 0; j < rule.contains.size(); ++j) {
        const ContainsRule& r = rule.contains[j];
        const bool hit = (hits >> j & 1U) != 0;
        counts = counts && (!hit || item >= r.from);
        if (hit) add_goal(goal, r.goal);
        if (!hit && r.max >= 0 && item >= r.from) {
          // does not fit r.goal: one literal, as every contains has
          add_literal(goal, {r.goal[0].node, !r.goal[0].negated});
        }
      }
      if (!counts) continue;
      BEZEL_TRY(const int id, intern(goal));
      slot.push_back({hits, id});
    }
    a.slots.push_back(std::move(slot));
  }
  a.cap = std::max({a.slots.size(), static_cast<std::size_t>(std::max<std::int64_t>(a.min, 0)),
                    static_cast<std::size_t>(std::max<std::int64_t>(a.max, 0))});
  c.array = static_cast<int>(arrays_.size());
  arrays_.push_back(std::move(a));
  return Ok{};
}

Result<Slot> Program::key_slot(const ObjectRule& rule, const Goal& base, std::uint32_t may_hit) {
  Slot slot;
  if (std::binary_search(base.begin(), base.end(), Literal{kFalse, false})) return slot;
  for (std::uint32_t hits = 0; hits < (1U << rule.some.size()); ++hits) {
    if ((hits & ~may_hit) != 0) continue;
    Goal goal = base;
    for (std::size_t j = 0; j < rule.some.size(); ++j)
      if ((hits >> j & 1U) != 0) add_goal(goal, rule.some[j].goal);
    BEZEL_TRY(const int id, intern(goal));
    slot.push_back({hits, id});
  }
  return slot;
}

Status Program::add_object(Expander& expander, const ObjectRule& rule, Case& c) {
  if (rule.max >= 0 &&
      std::max<std::int64_t>(rule.min, static_cast<std::int64_t>(rule.required.size())) > rule.max)
    return Ok{};
  if (rule.some.size() > kMaxDuties) return too_entangled("negated rules for keys");
  if (!rule.some.empty() && rule.max >= 0)
    return Error{Errc::Unsupported,
                 "maxProperties together with a negated rule for keys is not supported", ""};
  ObjectShape o;
  o.min = rule.min;
  o.max = rule.max;
  o.duties = (1U << rule.some.size()) - 1;
  for (const auto& [name, goal] : rule.named) o.names.push_back(name);
  o.names.insert(o.names.end(), rule.required.begin(), rule.required.end());
  for (const KeyRule& r : rule.every) o.names.insert(o.names.end(), r.names.begin(), r.names.end());
  for (const KeyRule& r : rule.some) o.names.insert(o.names.end(), r.names.begin(), r.names.end());
  BEZEL_TRY(o.others, other_keys(rule, o));
  o.counts = count_texts(o.others);
  o.free = free_states(o.others);
  if (!o.others.states.empty() && o.counts[0] < kMaxListed) {
    const auto listed = list_texts(o.others, kMaxListed);
    o.names.insert(o.names.end(), listed.begin(), listed.end());
    o.others.states.clear();
  }
  BEZEL_DO(add_names(expander, rule, o));
  if (o.min > 0 || o.max >= 0) o.cap = std::max(o.min, o.max) + 1;
  c.object = static_cast<int>(objects_.size());
  objects_.push_back(std::move(o));
  return Ok{};
}

Status Program::add_names(Expander& expander, const ObjectRule& rule, ObjectShape& o) {
  std::sort(o.names.begin(), o.names.end());
  o.names.erase(std::unique(o.names.begin(), o.names.end()), o.names.end());
  for (const std::string& name : o.names) {
    std::uint32_t may_hit = 0;
    for (std::size_t j = 0; j < rule.some.size(); ++j)
      if (expander.concerns(rule.some[j], name)) may_hit |= 1U << j;
    BEZEL_TRY(Slot slot, key_slot(rule, expander.goal_of_key(rule, name), may_hit));
    if (keys_ && !keys_->accepts(name)) slot.clear();
    o.named.push_back(std::move(slot));
    o.required.push_back(std::binary_search(rule.required.begin(), rule.required.end(), name));
  }
  plant(o);
  return Ok{};
}

// The automaton of keys that have no name of their own, by what the rules say of them.
Result<Dfa> Program::other_keys(const ObjectRule& rule, ObjectShape& o) {
  std::vector<int> used;
  for (const auto* list : {&rule.every, &rule.some})
    for (const KeyRule& r : *list)
      for (const auto& [text, accepts] : r.texts) used.push_back(text);
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  const Dfa any = keys_ ? *keys_ : any_text();
  std::vector<const Dfa*> parts = {&any};
  for (const int u : used) parts.push_back(document_.automata[static_cast<std::size_t>(u)].get());
  const auto concerns = [&](const KeyRule& r, std::uint32_t bits) {
    return std::all_of(r.texts.begin(), r.texts.end(), [&](const auto& t) {
      const auto at = std::lower_bound(used.begin(), used.end(), t.first) - used.begin();
      return ((bits >> (at + 1) & 1U) != 0) == t.second;
    });
  };
  std::map<std::uint32_t, std::uint32_t> known;
  Status failed = Ok{};
  const auto label = [&](std::uint32_t bits) -> std::uint32_t {
    if (const auto at = known.find(bits); at != known.end()) return at->second;
    Goal goal;
    std::uint32_t may_hit = 0;
    for (const KeyRule& r : rule.every)
      if (concerns(r, bits)) add_goal(goal, r.goal);
    for (std::size_t j = 0; j < rule.some.size(); ++j)
      if (concerns(rule.some[j], bits)) may_hit |= 1U << j;
    auto slot = key_slot(rule, goal, may_hit);
    std::uint32_t number = 0;
    if ((bits & 1U) == 0) return 0;  // no key at all
    if (!slot) {
      failed = slot.error();
    } else if (!slot->empty()) {
      o.labels.push_back(*std::move(slot));
      number = static_cast<std::uint32_t>(o.labels.size());
    }
    return known[bits] = number;
  };
  BEZEL_TRY(Dfa dfa, combine(parts, label));
  BEZEL_DO(failed);
  trim(dfa);
  return dfa;
}

}  // namespace bezel::schema
