// What does not fit a schema, as alternatives: one or more for every keyword that can fail.
#include <algorithm>

#include "text/schema/rules.h"

namespace bezel::schema {

namespace {

Alternative of_kind(std::uint8_t kinds) {
  Alternative a;
  a.kinds = kinds;
  return a;
}

void negated_numbers(const Node& n, std::vector<Alternative>& out) {
  const auto add = [&]() -> NumberRule& { return out.emplace_back(of_kind(kNumber)).number; };
  if (n.minimum) add().at_most(*n.minimum, true);
  if (n.above) add().at_most(*n.above, false);
  if (n.maximum) add().at_least(*n.maximum, true);
  if (n.below) add().at_least(*n.below, false);
  if (n.step) add().not_steps.push_back(*n.step);
}

void negated_strings(const Node& n, std::vector<Alternative>& out) {
  const auto add = [&]() -> StringRule& { return out.emplace_back(of_kind(kString)).string; };
  if (n.min_length > 0) add().max = n.min_length - 1;
  if (n.max_length >= 0) add().min = n.max_length + 1;
  for (const int t : n.texts) add().texts.emplace_back(t, false);
}

}  // namespace

Result<Expander::Alternatives> Expander::negative(NodeId id) {
  const Node n = node(id);  // a copy: new nodes move the others
  Alternatives out;
  if (n.kinds != kAnyKind) out.push_back(of_kind(static_cast<std::uint8_t>(kAnyKind & ~n.kinds)));
  if (n.integer) {
    out.push_back(of_kind(kNumber));
    out.back().number.not_steps.push_back(make_decimal(false, Natural(1), 0));
  }
  BEZEL_DO(negated_enum(n, out));
  negated_numbers(n, out);
  negated_strings(n, out);
  BEZEL_DO(negated_arrays(n, out));
  BEZEL_DO(negated_objects(n, out));
  BEZEL_DO(negated_branches(n, out));
  BEZEL_DO(negated_unevaluated(id, out));
  for (Alternative& a : out) a.evaluated = {};
  if (out.size() > kMaxAlternatives)
    return Error{Errc::TooLarge, "the negation of this schema has too many cases", n.pointer};
  return out;
}

Status Expander::negated_enum(const Node& n, Alternatives& out) {
  if (!n.has_enum) return Ok{};
  Alternatives rest = {of_kind(static_cast<std::uint8_t>(kAnyKind & ~n.enum_kinds))};
  rest[0].number.excluded = n.enum_numbers;
  if (!n.enum_strings.empty())
    rest[0].string.texts.emplace_back(set_of_texts(n.enum_strings), false);
  for (const NodeId other : n.enum_others) BEZEL_DO(also(rest, {other, true}));
  out.insert(out.end(), rest.begin(), rest.end());
  return Ok{};
}

Status Expander::negated_arrays(const Node& n, Alternatives& out) {
  const auto add = [&]() -> ArrayRule& { return out.emplace_back(of_kind(kArray)).array; };
  if (n.unique)
    return Error{Errc::Unsupported, "the negation of uniqueItems is not supported",
                 n.pointer + "/uniqueItems"};
  for (std::size_t i = 0; i < n.prefix.size(); ++i) {
    ArrayRule& a = add();
    a.min = static_cast<std::int64_t>(i) + 1;
    a.prefix.resize(i + 1);
    a.prefix[i] = {{n.prefix[i], true}};
  }
  if (n.items) add().contains.push_back({{{*n.items, true}}, n.prefix.size(), 1, -1});
  if (n.contains) {
    if (n.min_contains > 0) add().contains.push_back({{{*n.contains}}, 0, 0, n.min_contains - 1});
    if (n.max_contains >= 0) add().contains.push_back({{{*n.contains}}, 0, n.max_contains + 1, -1});
  }
  if (n.min_items > 0) add().max = n.min_items - 1;
  if (n.max_items >= 0) add().min = n.max_items + 1;
  return Ok{};
}

Status Expander::negated_objects(const Node& n, Alternatives& out) {
  const auto add = [&]() -> ObjectRule& { return out.emplace_back(of_kind(kObject)).object; };
  KeyRule rest;
  for (const auto& [name, p] : n.properties) {
    ObjectRule& o = add();
    o.required = {name};
    o.named[name] = {{p, true}};
    rest.names.push_back(name);
  }
  for (const auto& [text, p] : n.patterns) {
    add().some.push_back({{}, {{text, true}}, {{p, true}}});
    rest.texts.emplace_back(text, false);
  }
  if (n.additional) {
    rest.goal = {{*n.additional, true}};
    add().some.push_back(std::move(rest));
  }
  if (n.names) {
    BEZEL_TRY(const int texts, language(*n.names));
    add().some.push_back({{}, {{texts, false}}, {}});
  }
  for (const std::string& name : n.required) add().named[name] = {{kFalse}};
  if (n.min_properties > 0) add().max = n.min_properties - 1;
  if (n.max_properties >= 0) add().min = n.max_properties + 1;
  for (const auto& [name, needed] : n.dependent_required) {
    for (const std::string& other : needed) {
      ObjectRule& o = add();
      o.required = {name};
      o.named[other] = {{kFalse}};
    }
  }
  for (const auto& [name, schema] : n.dependent_schemas) {
    Alternatives options = {of_kind(kObject)};
    options[0].object.required = {name};
    BEZEL_DO(also(options, {schema, true}));
    out.insert(out.end(), options.begin(), options.end());
  }
  return Ok{};
}

Status Expander::negated_branches(const Node& n, Alternatives& out) {
  const auto add = [&](const std::vector<Literal>& all) -> Status {
    Alternatives options(1);
    for (const Literal& l : all) BEZEL_DO(also(options, l));
    out.insert(out.end(), options.begin(), options.end());
    return Ok{};
  };
  const auto none_of = [&](const std::vector<NodeId>& parts) {
    std::vector<Literal> all;
    for (const NodeId p : parts) all.push_back({p, true});
    return add(all);
  };
  if (n.reference) BEZEL_DO(add({{*n.reference, true}}));
  for (const NodeId p : n.all) BEZEL_DO(add({{p, true}}));
  if (!n.any.empty()) BEZEL_DO(none_of(n.any));
  if (!n.one.empty()) BEZEL_DO(none_of(n.one));
  for (std::size_t i = 0; i < n.one.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) BEZEL_DO(add({{n.one[i]}, {n.one[j]}}));
  if (n.none) BEZEL_DO(add({{*n.none}}));
  if (n.condition && n.then) BEZEL_DO(add({{*n.condition}, {*n.then, true}}));
  if (n.condition && n.otherwise) BEZEL_DO(add({{*n.condition, true}, {*n.otherwise, true}}));
  return Ok{};
}

// The rest of the schema fits, and some key or item that it does not evaluate does not. Which
// ones that are must not depend on which of several branches fit.
Status Expander::negated_unevaluated(NodeId id, Alternatives& out) {
  const Node n = node(id);
  if (!n.unevaluated_items && !n.unevaluated_properties) return Ok{};
  if (!n.one.empty() || n.condition || n.any.size() > kMaxAlternatives ||
      !n.dependent_schemas.empty())
    return Error{Errc::Unsupported,
                 "the negation of unevaluatedProperties or unevaluatedItems is not supported here",
                 n.pointer};
  Node rest = n;
  rest.unevaluated_items.reset();
  rest.unevaluated_properties.reset();
  document_.nodes.push_back(rest);
  const auto rest_id = static_cast<NodeId>(document_.nodes.size() - 1);
  Alternatives fitting(1);
  BEZEL_DO(also(fitting, {rest_id}));
  for (const Alternative& a : fitting) {
    const Evaluated &e = a.evaluated, &first = fitting[0].evaluated;
    if (e.all_keys != first.all_keys || e.all_items != first.all_items || e.keys != first.keys ||
        e.patterns != first.patterns || e.items != first.items || e.contains != first.contains)
      return Error{Errc::Unsupported,
                   "the negation of unevaluatedProperties or unevaluatedItems is not supported "
                   "where branches decide what is evaluated",
                   n.pointer};
    if (n.unevaluated_properties && !e.all_keys) {
      Alternative bad = a;
      Alternative some = of_kind(kObject);
      some.object.some.push_back({e.keys, {}, {{*n.unevaluated_properties, true}}});
      for (const int p : e.patterns) some.object.some[0].texts.emplace_back(p, false);
      if (conjoin(bad, some)) out.push_back(std::move(bad));
    }
    if (n.unevaluated_items && !e.all_items) {
      Alternative bad = a;
      Alternative some = of_kind(kArray);
      BEZEL_TRY(const Goal goal, unevaluated_item(n, e));
      some.array.contains.push_back({{{goal[0].node, true}}, e.items, 1, -1});
      if (conjoin(bad, some)) out.push_back(std::move(bad));
    }
  }
  return Ok{};
}

}  // namespace bezel::schema
