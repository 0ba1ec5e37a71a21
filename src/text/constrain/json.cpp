#include "base/json.h"

#include "text/constrain/constraint.h"
#include "text/schema/machine/machine.h"

namespace bezel::constrain {

namespace {

class JsonLanguage final : public Language {
 public:
  explicit JsonLanguage(std::shared_ptr<const schema::Program> program)
      : program_(std::move(program)) {}
  std::unique_ptr<Automaton> automaton() const override {
    return std::make_unique<schema::Machine>(program_, schema::Surface::Json);
  }
  bool json() const override { return true; }

 private:
  std::shared_ptr<const schema::Program> program_;
};

}  // namespace

Result<LanguagePtr> json_schema(std::string_view text) {
  BEZEL_TRY(Json schema, parse_json(text, "schema", {.max_bytes = kMaxSchemaBytes}));
  const JsonGuard guard(schema);
  BEZEL_TRY(std::unique_ptr<schema::Program> program, schema::Program::compile(schema));
  return LanguagePtr(std::make_shared<JsonLanguage>(std::move(program)));
}

Result<LanguagePtr> compile(const Constraint& c) {
  switch (c.kind) {
    case Constraint::Kind::JsonSchema:
      return json_schema(c.text);
    case Constraint::Kind::JsonObject:
      return json_schema(R"({"type":"object"})");
    case Constraint::Kind::Regex:
      return regex(c.text);
    case Constraint::Kind::Choice:
      return choice(c.choices);
    case Constraint::Kind::Grammar:
      return grammar(c.text);
    case Constraint::Kind::None:
      break;
  }
  return Error{Errc::BadInput, "there is no constraint", ""};
}

}  // namespace bezel::constrain
