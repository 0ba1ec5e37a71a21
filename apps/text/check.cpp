// bezel check: whether texts fit a constraint, by the automaton that masks tokens.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "constrained.h"
#include "input.h"
#include "text/constrain/masker.h"

namespace bezel::app {

namespace {

struct CheckFlags {
  ConstraintFlags constraint;
  std::string tokens;
  bool jsonl = false;
};

struct Checker {
  constrain::LanguagePtr language;
  std::unique_ptr<Tokenizer> tokenizer;  // only with --tokens
  std::shared_ptr<constrain::Masks> masks;
};

struct Verdict {
  bool ok = false;
  std::size_t at = 0;  // bytes that fit
  std::string why;
};

std::string shown(std::string_view text, std::size_t at) {
  const std::size_t end = std::min(text.size(), at + 16);
  return dump_json(Json(std::string(text.substr(at, end - at))));
}

Verdict verdict(const constrain::Walk& walk, std::string_view text, std::size_t at) {
  Verdict v{false, at, ""};
  if (at < text.size()) {
    v.why = fmt::format("{} does not fit here", shown(text, at));
  } else if (!walk.can_end()) {
    v.why = "the text ends too early";
  } else {
    v.ok = true;
  }
  if (!v.ok && walk.automaton().overflowed())
    v.why = "the constraint can be met in too many ways at once here";
  return v;
}

// Token by token: each must be in the mask of its place.
Verdict check_tokens(const Checker& c, std::string_view text) {
  constrain::Masker masker(c.masks);
  std::size_t at = 0;
  for (const TokenId id : c.tokenizer->encode_plain(text)) {
    const auto mask = masker.mask();
    const bool allowed = mask->has(id);
    if (!masker.accept(id)) {
      constrain::Walk walk = masker.walk();
      return verdict(walk, text, at + walk.push(c.masks->vocabulary().bytes_of(id)));
    }
    if (!allowed) return {false, at, fmt::format("the mask leaves out token {}", id)};
    at += c.masks->vocabulary().bytes_of(id).size();
  }
  return verdict(masker.walk(), text, at);
}

Verdict check(const Checker& c, std::string_view text) {
  if (c.tokenizer) return check_tokens(c, text);
  constrain::Walk walk(c.language);
  const std::size_t at = walk.push(text);
  return verdict(walk, text, at);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t from = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? "" : text.substr(from, last + 1 - from);
}

// The compiled constraint, or the exit status after its refusal has been told.
std::optional<Checker> open_checker(const CheckFlags& f, int& status) {
  const auto refuse = [&](const Error& e, int s) {
    status = fail(e);
    status = s;
    return std::nullopt;
  };
  auto constraint = f.constraint.read();
  if (!constraint) return refuse(constraint.error(), kUsage);
  if (constraint->kind == Constraint::Kind::None)
    return refuse(
        {Errc::BadInput, "name a constraint: --schema, --json, --regex, --choice or --grammar", ""},
        kUsage);
  auto language = constrain::compile(*constraint);
  if (!language) {
    const Error& e = language.error();
    const std::string source = f.constraint.source();
    return refuse(
        {e.code, e.what, e.where.empty() ? source : fmt::format("{}#{}", source, e.where)}, kUsage);
  }
  Checker c;
  c.language = *language;
  if (f.tokens.empty()) return c;
  auto opened = open_tokenizer(f.tokens, false);
  if (!opened) return refuse(opened.error(), kUsage);
  c.tokenizer = std::move(opened->tokenizer);
  c.masks = std::make_shared<constrain::Masks>(
      std::make_shared<constrain::Vocabulary>(*c.tokenizer), c.language, std::vector<TokenId>{});
  return c;
}

int check_all(const CheckFlags& f) {
  int status = kUsage;
  const auto checker = open_checker(f, status);
  if (!checker) return status;
  if (f.jsonl)
    return for_each_line([&](std::string_view line, const std::string&) {
      const Verdict v = check(*checker, line);
      Json answer = {{"ok", v.ok}, {"at", v.at}, {"why", nullptr}};
      if (!v.ok) answer["why"] = v.why;
      return output().write(dump_json(answer) + "\n") ? int{kDone} : int{kFailed};
    });
  auto input = read_file("-", kMaxInputBytes);
  if (!input) return fail(input.error());
  const bool json = checker->language->json();
  const std::string_view text = json ? trimmed(*input) : std::string_view(*input);
  const Verdict v = check(*checker, text);
  output().write(v.ok ? "accepted\n" : fmt::format("rejected at byte {}: {}\n", v.at, v.why));
  return v.ok ? kDone : kFailed;
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  auto f = std::make_shared<CheckFlags>();
  CLI::App* c = app.add_subcommand("check", "Whether a text fits a schema, pattern or grammar");
  c->footer(
      "The text on standard input goes through the automaton that holds answers to a constraint.\n"
      "Exit status: 0 it fits, 1 it does not, 2 the constraint is refused. White space around "
      "JSON\n"
      "is left out. With --jsonl every line is a text, each answer is\n"
      "{\"ok\": false, \"at\": 12, \"why\": \"...\"}, and the exit status is 0.\n\n"
      "Examples:\n"
      "  bezel check --schema person.json < answer.json\n"
      "  bezel check --schema person.json --jsonl --tokens model.gguf < answers.jsonl\n");
  f->constraint.add(*c);
  add_model(*c, "--tokens", f->tokens,
            "token by token, each against its mask; a model or a tokenizer.json")
      ->type_name("MODEL");
  c->add_flag("--jsonl", f->jsonl, "a text a line");
  c->callback([f, &action] { action = [f] { return check_all(*f); }; });
}

}  // namespace bezel::app
