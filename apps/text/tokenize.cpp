// bezel tokenize: text to ids and back.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "input.h"

namespace bezel::app {

namespace {

struct TokenizeFlags {
  std::string path;
  bool plain = false, decode = false, skip_special = false, jsonl = false;
};

std::vector<TokenId> encode(const TokenizeFlags& f, const Tokenizer& t, std::string_view text) {
  return f.plain ? t.encode_plain(text) : t.encode(text);
}

Result<std::string> text_line(const TokenizeFlags& f, const Tokenizer& t, const Json& in) {
  if (!in.is_object() || !in.contains("text") || !in["text"].is_string())
    return Error{Errc::BadInput, "expected an object with a string \"text\"", ""};
  const auto ids = encode(f, t, in["text"].get_ref<const std::string&>());
  return dump_json({{"ids", ids}});
}

Result<std::string> ids_line(const TokenizeFlags& f, const Tokenizer& t, const Json& in) {
  const Error bad{Errc::BadInput, "expected an object with an array \"ids\" of token ids", ""};
  if (!in.is_object() || !in.contains("ids") || !in["ids"].is_array()) return bad;
  std::vector<TokenId> ids;
  for (const Json& id : in["ids"]) {
    if (!id.is_number_integer()) return bad;
    const auto wide = id.get<std::int64_t>();
    if (wide < 0 || wide >= t.vocab_size())
      return Error{
          Errc::BadInput,
          fmt::format("id {} is not in the vocabulary of {} ids", dump_json(id), t.vocab_size()),
          ""};
    ids.push_back(static_cast<TokenId>(wide));
  }
  BEZEL_TRY(std::string text, t.decode(ids, f.skip_special));
  return dump_json({{"text", std::move(text)}});
}

int tokenize_lines(const TokenizeFlags& f, const Tokenizer& t) {
  return for_each_line([&](std::string_view line, const std::string& where) {
    auto in = parse_json(line, where, {.max_bytes = kMaxLineBytes});
    if (!in) return fail(in.error());
    auto out = f.decode ? ids_line(f, t, *in) : text_line(f, t, *in);
    if (!out) return fail({out.error().code, out.error().what, where});
    return output().write(*out + "\n") ? int{kDone} : int{kFailed};
  });
}

int tokenize(const TokenizeFlags& f) {
  auto opened = open_tokenizer(f.path, false);
  if (!opened) return fail(opened.error());
  const Tokenizer& t = *opened->tokenizer;
  if (f.jsonl) return tokenize_lines(f, t);
  auto input = read_file("-", kMaxInputBytes);
  if (!input) return fail(input.error());
  if (f.decode) {
    if (input->find_first_not_of(" \t\r\n") == std::string::npos) return kDone;  // the empty text
    auto ids = parse_ids(*input, "standard input");
    if (!ids) return fail(ids.error());
    auto text = t.decode(*ids, f.skip_special);
    if (!text) return fail(text.error());
    output().write(*text);
    return kDone;
  }
  std::string line;
  for (const TokenId id : encode(f, t, *input))
    fmt::format_to(std::back_inserter(line), "{}{}", line.empty() ? "" : " ", id);
  output().write(line + "\n");
  return kDone;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto f = std::make_shared<TokenizeFlags>();
  CLI::App* c = app.add_subcommand("tokenize", "Text on standard input to token ids, or back");
  c->footer(
      "Without --jsonl the whole input is one text, and the ids are printed on one line. No bos "
      "is\n"
      "added. With --jsonl every line is {\"text\": ...} and becomes {\"ids\": [...]}; with "
      "--decode\n"
      "the other way round. Lines end at \\n only.\n\n"
      "Examples:\n"
      "  printf 'Hello, world' | bezel tokenize model.gguf\n"
      "  printf '2 9259' | bezel tokenize tokenizer.json --decode\n"
      "  bezel tokenize model.gguf --plain --jsonl < texts.jsonl > ids.jsonl\n");
  add_model(*c, "MODEL", f->path, "model (file, folder or name), or a tokenizer.json")
      ->required()
      ->type_name("");
  auto* plain = c->add_flag("--plain", f->plain, "marker strings in the text stay text");
  auto* decode = c->add_flag("--decode", f->decode, "ids to text");
  decode->excludes(plain);
  c->add_flag("--skip-special", f->skip_special, "with --decode: leave control tokens out")
      ->needs(decode);
  c->add_flag("--jsonl", f->jsonl, "one JSON object a line, in and out");
  c->callback([f, &action] { action = [f] { return tokenize(*f); }; });
}

}  // namespace bezel::app
