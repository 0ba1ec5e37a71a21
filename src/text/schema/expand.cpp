#include <fmt/format.h>

#include <algorithm>

#include "text/schema/rules.h"

namespace bezel::schema {

namespace {

constexpr std::size_t kMaxOpen = 200, kMaxSubsets = 5;

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void narrow(std::int64_t& min, std::int64_t& max, std::int64_t other_min, std::int64_t other_max) {
  min = std::max(min, other_min);
  if (other_max >= 0) max = max < 0 ? other_max : std::min(max, other_max);
}

void conjoin_numbers(NumberRule& a, const NumberRule& b) {
  if (b.lo) a.at_least(*b.lo, b.lo_open);
  if (b.hi) a.at_most(*b.hi, b.hi_open);
  if (b.step) a.step = a.step ? common_multiple(*a.step, *b.step) : *b.step;
  append(a.not_steps, b.not_steps);
  append(a.excluded, b.excluded);
  if (!b.listed) return;
  if (!a.listed) {
    a.allowed = b.allowed;
  } else {
    std::vector<Decimal> common;
    for (const Decimal& d : a.allowed)
      if (std::find(b.allowed.begin(), b.allowed.end(), d) != b.allowed.end()) common.push_back(d);
    a.allowed = std::move(common);
  }
  a.listed = true;
}

void conjoin_arrays(ArrayRule& a, const ArrayRule& b) {
  const std::size_t n = a.prefix.size(), m = b.prefix.size();
  for (std::size_t i = 0; i < std::max(n, m); ++i) {
    if (i == a.prefix.size()) a.prefix.push_back(a.rest);
    add_goal(a.prefix[i], i < m ? b.prefix[i] : b.rest);
  }
  add_goal(a.rest, b.rest);
  narrow(a.min, a.max, b.min, b.max);
  append(a.contains, b.contains);
  a.unique = a.unique || b.unique;
}

void conjoin_objects(ObjectRule& a, const ObjectRule& b) {
  for (const auto& [name, goal] : b.named) add_goal(a.named[name], goal);
  append(a.every, b.every);
  append(a.some, b.some);
  append(a.required, b.required);
  std::sort(a.required.begin(), a.required.end());
  a.required.erase(std::unique(a.required.begin(), a.required.end()), a.required.end());
  narrow(a.min, a.max, b.min, b.max);
}

}  // namespace

void add_literal(Goal& goal, Literal literal) {
  if (literal == Literal{kTrue, false} || literal == Literal{kFalse, true}) return;
  const auto at = std::lower_bound(goal.begin(), goal.end(), literal);
  if (at == goal.end() || *at != literal) goal.insert(at, literal);
}

void add_goal(Goal& goal, const Goal& more) {
  for (const Literal& l : more) add_literal(goal, l);
}

void NumberRule::at_least(const Decimal& bound, bool open) {
  const int c = lo ? bound.compare(*lo) : 1;
  if (c > 0) lo = bound, lo_open = open;
  if (c == 0) lo_open = lo_open || open;
}

void NumberRule::at_most(const Decimal& bound, bool open) {
  const int c = hi ? bound.compare(*hi) : -1;
  if (c < 0) hi = bound, hi_open = open;
  if (c == 0) hi_open = hi_open || open;
}

bool conjoin(Alternative& a, const Alternative& b) {
  a.kinds &= b.kinds;
  if (a.kinds == 0) return false;
  if ((a.kinds & kNumber) != 0) conjoin_numbers(a.number, b.number);
  if ((a.kinds & kString) != 0) {
    narrow(a.string.min, a.string.max, b.string.min, b.string.max);
    append(a.string.texts, b.string.texts);
    std::sort(a.string.texts.begin(), a.string.texts.end());
    a.string.texts.erase(std::unique(a.string.texts.begin(), a.string.texts.end()),
                         a.string.texts.end());
  }
  if ((a.kinds & kArray) != 0) conjoin_arrays(a.array, b.array);
  if ((a.kinds & kObject) != 0) conjoin_objects(a.object, b.object);
  append(a.evaluated.keys, b.evaluated.keys);
  append(a.evaluated.patterns, b.evaluated.patterns);
  append(a.evaluated.contains, b.evaluated.contains);
  a.evaluated.items = std::max(a.evaluated.items, b.evaluated.items);
  a.evaluated.all_items = a.evaluated.all_items || b.evaluated.all_items;
  a.evaluated.all_keys = a.evaluated.all_keys || b.evaluated.all_keys;
  return true;
}

Result<Expander::Alternatives> Expander::expand(const Goal& goal) {
  Alternatives out(1);
  for (const Literal& l : goal) BEZEL_DO(also(out, l));
  return out;
}

Result<const Expander::Alternatives*> Expander::of(Literal l) {
  if (const auto at = known_.find(l); at != known_.end()) return &at->second;
  const std::string& where = node(l.node).pointer;
  if (std::find(open_.begin(), open_.end(), l) != open_.end())
    return Error{Errc::Unsupported,
                 "the schema refers to itself with no array or object in between", where};
  if (open_.size() >= kMaxOpen)
    return Error{Errc::TooLarge, "more than 200 schemas are applied inside one another", where};
  open_.push_back(l);
  auto made = l.negated ? negative(l.node) : positive(l.node);
  open_.pop_back();
  if (!made) return made.error();
  return &known_.emplace(l, *std::move(made)).first->second;
}

Status Expander::also(Alternatives& so_far, Literal literal, bool evaluates) {
  BEZEL_TRY(const Alternatives* options, of(literal));
  if (evaluates || !document_.unevaluated) return both(so_far, *options);
  Alternatives plain = *options;
  for (Alternative& a : plain) a.evaluated = {};
  return both(so_far, plain);
}

Status Expander::both(Alternatives& so_far, const Alternatives& options) {
  Alternatives out;
  const bool branching = so_far.size() > 1 || options.size() > 1;
  for (const Alternative& a : so_far) {
    for (const Alternative& b : options) {
      Alternative c = a;
      if (!conjoin(c, b) || (branching && !possible(c, 2))) continue;
      if (out.size() >= kMaxAlternatives)
        return Error{Errc::TooLarge,
                     fmt::format("anyOf, oneOf, not and if together give more than {} cases",
                                 kMaxAlternatives),
                     open_.empty() ? "" : node(open_.back().node).pointer};
      out.push_back(std::move(c));
    }
  }
  so_far = std::move(out);
  return Ok{};
}

// False only when it is certain that nothing fits; looks `depth` levels into arrays and objects.
bool Expander::possible(const Alternative& a, int depth) {
  if ((a.kinds & (kNull | kYes | kNo)) != 0) return true;
  if ((a.kinds & kNumber) != 0 && any_number(a.number)) return true;
  if ((a.kinds & kString) != 0) {
    if (a.string.texts.empty()) {
      if (a.string.max < 0 || a.string.min <= a.string.max) return true;
    } else if (const auto texts = texts_of(a.string); !texts || !texts->states.empty()) {
      return true;
    }
  }
  const auto goal_possible = [&](const Goal& goal) {
    if (std::binary_search(goal.begin(), goal.end(), Literal{kFalse, false})) return false;
    if (depth == 0 || goal.size() < 2) return true;
    const auto options = expand(goal);
    return !options || std::any_of(options->begin(), options->end(),
                                   [&](const Alternative& o) { return possible(o, depth - 1); });
  };
  if ((a.kinds & kArray) != 0 && (a.array.max < 0 || a.array.min <= a.array.max)) {
    bool fits = true;
    for (std::size_t i = 0; fits && i < static_cast<std::size_t>(a.array.min) && i < 64; ++i)
      fits = goal_possible(i < a.array.prefix.size() ? a.array.prefix[i] : a.array.rest);
    if (fits) return true;
  }
  if ((a.kinds & kObject) == 0 || (a.object.max >= 0 && a.object.min > a.object.max)) return false;
  return std::all_of(a.object.required.begin(), a.object.required.end(),
                     [&](const auto& name) { return goal_possible(goal_of_key(a.object, name)); });
}

bool Expander::concerns(const KeyRule& rule, const std::string& name) const {
  if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end()) return false;
  return std::all_of(rule.texts.begin(), rule.texts.end(), [&](const auto& t) {
    return document_.automata[static_cast<std::size_t>(t.first)]->accepts(name) == t.second;
  });
}

Goal Expander::goal_of_key(const ObjectRule& rule, const std::string& name) const {
  Goal goal;
  if (const auto at = rule.named.find(name); at != rule.named.end()) goal = at->second;
  for (const KeyRule& r : rule.every)
    if (concerns(r, name)) add_goal(goal, r.goal);
  return goal;
}

Result<Dfa> Expander::texts_of(const StringRule& rule) const {
  const bool any_length = rule.min == 0 && rule.max < 0;
  if (std::max(rule.min, rule.max) + 2 > static_cast<std::int64_t>(kMaxDfaStates))
    return Error{Errc::TooLarge, "a length together with a pattern is too large", ""};
  if (rule.max >= 0 && rule.min > rule.max) return Dfa{};
  const Dfa lengths = any_length ? any_text() : text_of_length(rule.min, rule.max);
  std::vector<const Dfa*> parts = {&lengths};
  std::uint32_t wanted = 1;
  for (std::size_t i = 0; i < rule.texts.size(); ++i) {
    const auto& [automaton, accepts] = rule.texts[i];
    parts.push_back(document_.automata[static_cast<std::size_t>(automaton)].get());
    if (accepts) wanted |= 2U << i;
  }
  if (any_length && parts.size() == 2 && wanted == 3) return *parts[1];
  BEZEL_TRY(Dfa dfa, combine(parts, [&](std::uint32_t bits) { return bits == wanted ? 1U : 0U; }));
  trim(dfa);
  return dfa;
}

Result<Dfa> Expander::texts_of(const Goal& goal) {
  BEZEL_TRY(const Alternatives options, expand(goal));
  Dfa all;
  for (const Alternative& a : options) {
    if ((a.kinds & kString) == 0) continue;
    BEZEL_TRY(Dfa one, texts_of(a.string));
    BEZEL_TRY(all, combine({&all, &one}, [](std::uint32_t bits) { return bits != 0 ? 1U : 0U; }));
  }
  trim(all);
  return all;
}

Result<int> Expander::language(NodeId names) {
  if (const auto at = languages_.find(names); at != languages_.end()) return at->second;
  auto texts = texts_of(Goal{{names, false}});
  if (!texts)
    return Error{texts.error().code, texts.error().what,
                 texts.error().where.empty() ? node(names).pointer : texts.error().where};
  const int number = static_cast<int>(document_.automata.size());
  document_.automata.push_back(std::make_shared<const Dfa>(*std::move(texts)));
  languages_[names] = number;
  return number;
}

int Expander::set_of_texts(const std::vector<std::string>& texts) {
  const auto [at, fresh] = sets_.try_emplace(texts, static_cast<int>(document_.automata.size()));
  if (fresh) document_.automata.push_back(std::make_shared<const Dfa>(one_of(texts)));
  return at->second;
}

Result<Expander::Alternatives> Expander::positive(NodeId id) {
  const Node n = node(id);  // a copy: new nodes move the others
  BEZEL_TRY(Alternatives out, simple(n));
  if (n.reference) BEZEL_DO(also(out, {*n.reference}));
  for (const NodeId part : n.all) BEZEL_DO(also(out, {part}));
  BEZEL_DO(enumerated(n, out));
  BEZEL_DO(at_least_one(n, out));
  BEZEL_DO(exactly_one(n, out));
  if (n.none) BEZEL_DO(also(out, {*n.none, true}, false));
  BEZEL_DO(conditional(n, out));
  BEZEL_DO(dependents(n, out));
  BEZEL_DO(unevaluated(n, out));
  return out;
}

// What does not branch: one alternative.
Result<Expander::Alternatives> Expander::simple(const Node& n) {
  Alternative a;
  a.kinds = n.kinds;
  if (a.kinds == 0) return Alternatives{};
  NumberRule& x = a.number;
  if (n.minimum) x.at_least(*n.minimum, false);
  if (n.above) x.at_least(*n.above, true);
  if (n.maximum) x.at_most(*n.maximum, false);
  if (n.below) x.at_most(*n.below, true);
  if (n.step) x.step = *n.step;
  const Decimal one = make_decimal(false, Natural(1), 0);
  if (n.integer) x.step = x.step ? common_multiple(*x.step, one) : one;
  a.string.min = n.min_length;
  a.string.max = n.max_length;
  for (const int t : n.texts) a.string.texts.emplace_back(t, true);
  std::sort(a.string.texts.begin(), a.string.texts.end());
  for (const NodeId p : n.prefix) add_literal(a.array.prefix.emplace_back(), {p});
  if (n.items) add_literal(a.array.rest, {*n.items});
  a.array.min = n.min_items;
  a.array.max = n.max_items;
  a.array.unique = n.unique;
  if (n.contains && (n.min_contains > 0 || n.max_contains >= 0))
    a.array.contains.push_back({{{*n.contains}}, 0, n.min_contains, n.max_contains});
  KeyRule rest;
  for (const auto& [name, p] : n.properties) {
    add_literal(a.object.named[name], {p});
    rest.names.push_back(name);
  }
  for (const auto& [text, p] : n.patterns) {
    a.object.every.push_back({{}, {{text, true}}, {{p}}});
    rest.texts.emplace_back(text, false);
    a.evaluated.patterns.push_back(text);
  }
  a.evaluated.keys = rest.names;
  if (n.additional) {
    rest.goal = {{*n.additional}};
    if (*n.additional != kTrue) a.object.every.push_back(std::move(rest));
  }
  if (n.names && *n.names != kTrue) {
    BEZEL_TRY(const int texts, language(*n.names));
    a.object.every.push_back({{}, {{texts, false}}, {{kFalse}}});
  }
  a.object.required = n.required;
  std::sort(a.object.required.begin(), a.object.required.end());
  a.object.min = n.min_properties;
  a.object.max = n.max_properties;
  a.evaluated.items = n.prefix.size();
  a.evaluated.all_items = n.items.has_value();
  a.evaluated.all_keys = n.additional.has_value();
  if (n.contains) a.evaluated.contains.push_back(*n.contains);
  return Alternatives{std::move(a)};
}

Status Expander::enumerated(const Node& n, Alternatives& so_far) {
  if (!n.has_enum) return Ok{};
  Alternatives options(1);
  Alternative& scalars = options[0];
  scalars.kinds = n.enum_kinds;
  if (!n.enum_numbers.empty()) {
    scalars.kinds |= kNumber;
    scalars.number.listed = true;
    scalars.number.allowed = n.enum_numbers;
  }
  if (!n.enum_strings.empty()) {
    scalars.kinds |= kString;
    scalars.string.texts.emplace_back(set_of_texts(n.enum_strings), true);
  }
  if (scalars.kinds == 0) options.clear();
  for (const NodeId other : n.enum_others) {
    BEZEL_TRY(const Alternatives* more, of({other}));
    for (Alternative a : *more) {
      a.evaluated = {};
      options.push_back(std::move(a));
    }
  }
  return both(so_far, options);
}

Status Expander::at_least_one(const Node& n, Alternatives& so_far) {
  if (n.any.empty()) return Ok{};
  Alternatives options;
  if (!document_.unevaluated) {
    for (const NodeId part : n.any) {
      BEZEL_TRY(const Alternatives* more, of({part}));
      append(options, *more);
    }
    return both(so_far, options);
  }
  // What is evaluated depends on all that fit: every set of parts is an alternative.
  if (n.any.size() > kMaxSubsets)
    return Error{Errc::TooLarge,
                 "anyOf with more than 5 schemas cannot be followed in a schema that uses "
                 "unevaluatedProperties or unevaluatedItems",
                 fmt::format("{}/anyOf", n.pointer)};
  for (std::size_t set = 1; set < (std::size_t{1} << n.any.size()); ++set) {
    Alternatives together(1);
    for (std::size_t i = 0; i < n.any.size(); ++i)
      if ((set >> i & 1U) != 0) BEZEL_DO(also(together, {n.any[i]}));
    append(options, together);
  }
  return both(so_far, options);
}

Status Expander::exactly_one(const Node& n, Alternatives& so_far) {
  if (n.one.empty()) return Ok{};
  Alternatives options;
  for (std::size_t i = 0; i < n.one.size(); ++i) {
    Alternatives one(1);
    BEZEL_DO(also(one, {n.one[i]}));
    for (std::size_t j = 0; j < n.one.size(); ++j) {
      if (i == j) continue;
      Alternatives meeting = one;  // where both fit there is nothing to exclude otherwise
      BEZEL_DO(also(meeting, {n.one[j]}));
      meeting.erase(std::remove_if(meeting.begin(), meeting.end(),
                                   [&](const Alternative& a) { return !possible(a, 2); }),
                    meeting.end());
      if (!meeting.empty()) BEZEL_DO(also(one, {n.one[j], true}, false));
    }
    append(options, one);
  }
  return both(so_far, options);
}

Status Expander::conditional(const Node& n, Alternatives& so_far) {
  if (!n.condition || (!n.then && !n.otherwise && !document_.unevaluated)) return Ok{};
  Alternatives yes(1), no(1);
  BEZEL_DO(also(yes, {*n.condition}));
  if (n.then) BEZEL_DO(also(yes, {*n.then}));
  BEZEL_DO(also(no, {*n.condition, true}, false));
  if (n.otherwise) BEZEL_DO(also(no, {*n.otherwise}));
  append(yes, no);
  return both(so_far, yes);
}

Status Expander::dependents(const Node& n, Alternatives& so_far) {
  const auto without = [](const std::string& name) {
    Alternative a;
    a.object.named[name] = {{kFalse}};
    return a;
  };
  const auto with = [](std::vector<std::string> names) {
    Alternative a;
    std::sort(names.begin(), names.end());
    a.object.required = std::move(names);
    return a;
  };
  for (const auto& [name, needed] : n.dependent_required) {
    std::vector<std::string> names = needed;
    names.push_back(name);
    BEZEL_DO(both(so_far, {without(name), with(std::move(names))}));
  }
  for (const auto& [name, schema] : n.dependent_schemas) {
    Alternatives options = {with({name})};
    options[0].kinds = kObject;
    BEZEL_DO(also(options, {schema}));
    options.push_back(without(name));
    BEZEL_DO(both(so_far, options));
  }
  return Ok{};
}

Result<Goal> Expander::unevaluated_item(const Node& n, const Evaluated& e) {
  if (e.contains.empty()) return Goal{{*n.unevaluated_items}};
  std::vector<NodeId> options = e.contains;
  options.push_back(*n.unevaluated_items);
  std::sort(options.begin(), options.end());
  options.erase(std::unique(options.begin(), options.end()), options.end());
  const auto [at, fresh] =
      joined_.try_emplace(options, static_cast<NodeId>(document_.nodes.size()));
  if (fresh) {
    Node either;
    either.pointer = n.pointer;
    either.any = options;
    document_.nodes.push_back(std::move(either));
  }
  return Goal{{at->second}};
}

Status Expander::unevaluated(const Node& n, Alternatives& so_far) {
  if (!n.unevaluated_items && !n.unevaluated_properties) return Ok{};
  for (Alternative& a : so_far) {
    Alternative more;
    if (n.unevaluated_items && !a.evaluated.all_items) {
      more.array.prefix.resize(a.evaluated.items);
      BEZEL_TRY(const Goal goal, unevaluated_item(n, a.evaluated));
      add_goal(more.array.rest, goal);
    }
    if (n.unevaluated_properties && !a.evaluated.all_keys) {
      KeyRule rule{a.evaluated.keys, {}, {{*n.unevaluated_properties}}};
      for (const int p : a.evaluated.patterns) rule.texts.emplace_back(p, false);
      more.object.every.push_back(std::move(rule));
    }
    more.evaluated.all_items = n.unevaluated_items.has_value();
    more.evaluated.all_keys = n.unevaluated_properties.has_value();
    conjoin(a, more);
  }
  return Ok{};
}

}  // namespace bezel::schema
