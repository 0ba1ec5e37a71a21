#include "constrained.h"

#include "base/file.h"

namespace bezel::app {

namespace {

constexpr std::uint64_t kMaxFileBytes = 16U << 20U;

}  // namespace

void ConstraintFlags::add(CLI::App& c) {
  auto* s = c.add_option("--schema", schema, "JSON that fits this JSON Schema (draft 2020-12)")
                ->type_name("FILE");
  auto* j = c.add_flag("--json", json, "a JSON object");
  auto* r = c.add_option("--regex", regex, "text that this pattern matches as a whole")
                ->type_name("PATTERN");
  auto* o = c.add_option("--choice", choices, "one of these texts (give it more than once)")
                ->type_name("TEXT");
  auto* g = c.add_option("--grammar", grammar, "text of this grammar, in GBNF")->type_name("FILE");
  o->allow_extra_args(false);
  const std::vector<CLI::Option*> all = {s, j, r, o, g};
  for (CLI::Option* a : all)
    for (CLI::Option* b : all)
      if (a != b) a->excludes(b);
}

Result<Constraint> ConstraintFlags::read() const {
  using Kind = Constraint::Kind;
  Constraint c;
  if (!schema.empty() || !grammar.empty()) {
    c.kind = schema.empty() ? Kind::Grammar : Kind::JsonSchema;
    BEZEL_TRY(c.text, read_file(source(), kMaxFileBytes));
  } else if (json) {
    c.kind = Kind::JsonObject;
  } else if (!regex.empty()) {
    c.kind = Kind::Regex;
    c.text = regex;
  } else if (!choices.empty()) {
    c.kind = Kind::Choice;
    c.choices = choices;
  }
  return c;
}

std::string ConstraintFlags::source() const {
  if (!schema.empty()) return schema;
  if (!grammar.empty()) return grammar;
  if (!regex.empty()) return "--regex";
  return choices.empty() ? "" : "--choice";
}

}  // namespace bezel::app
