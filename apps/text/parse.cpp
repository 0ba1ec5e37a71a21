// bezel parse: what a model wrote, as thoughts, text and tool calls.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "input.h"
#include "text/output/joined.h"
#include "text/output/parser.h"

namespace bezel::app {

namespace {

using output::Event;
using output::Item;

struct ParseFlags {
  std::string path, tools, state = "content";
  bool deltas = false, think = false;
};

struct Setting {
  output::Options options;
  std::unique_ptr<Tokenizer> tokenizer;  // null without MODEL
};

Result<Setting> open_setting(const ParseFlags& f) {
  Setting s;
  s.options.thinking = f.think;
  s.options.start = f.state == "think"  ? output::Start::Thought
                    : f.state == "call" ? output::Start::Call
                                        : output::Start::Content;
  if (!f.tools.empty()) {
    BEZEL_TRY(const std::string text, read_file(f.tools, kMaxLineBytes));
    BEZEL_TRY(s.options.tools, parse_json(text, f.tools));
    if (s.options.tools.is_object() && s.options.tools.contains("tools")) {
      Json tools = s.options.tools["tools"];
      s.options.tools = std::move(tools);
    }
    if (!s.options.tools.is_array())
      return Error{Errc::BadInput, "expected an array of tools, or an object with \"tools\"",
                   f.tools};
  }
  if (!f.path.empty()) {
    BEZEL_TRY(OpenTokenizer opened, open_tokenizer(f.path, false));
    s.tokenizer = std::move(opened.tokenizer);
  }
  return s;
}

using Each = std::function<void()>;

Status push_ids(const Json& ids, const Setting& s, output::Parser& parser, const Each& each) {
  if (!s.tokenizer) return Error{Errc::BadInput, "\"ids\" need a MODEL; or give \"pieces\"", ""};
  const Tokenizer& t = *s.tokenizer;
  output::IdFeed feed(t, parser);
  for (const Json& id : ids) {
    const auto wide = id.is_number_integer() ? id.get<std::int64_t>() : -1;
    if (wide < 0 || wide >= t.vocab_size())
      return Error{
          Errc::BadInput,
          fmt::format("id {} is not in the vocabulary of {} ids", dump_json(id), t.vocab_size()),
          ""};
    feed.push(static_cast<TokenId>(wide));
    each();
  }
  return Ok{};
}

Status push_pieces(const Json& pieces, output::Parser& parser, const Each& each) {
  for (const Json& p : pieces) {
    if (!p.is_object() || !p.contains("text") || !p["text"].is_string())
      return Error{Errc::BadInput, "a piece needs a text \"text\"", ""};
    BEZEL_TRY(const bool special, json_get<bool>(p, "special", false));
    const auto& text = p["text"].get_ref<const std::string&>();
    special ? parser.push_marker(text) : parser.push_text(text);
    each();
  }
  return Ok{};
}

Status push_line(const Json& in, const Setting& s, output::Parser& parser, const Each& each) {
  if (in.is_object() && in.contains("ids") && in["ids"].is_array())
    return push_ids(in["ids"], s, parser, each);
  if (in.is_object() && in.contains("pieces") && in["pieces"].is_array())
    return push_pieces(in["pieces"], parser, each);
  return Error{Errc::BadInput, "expected an object with an array \"ids\" or \"pieces\"", ""};
}

std::string quoted(const std::string& text) {
  return dump_json(Json(text));
}

// Arguments go out as they are: a number of many digits keeps all of them.
std::string shown(const Item& i) {
  if (i.kind == Item::Kind::Call)
    return fmt::format(R"({{"type":"tool_call","name":{},"arguments":{},"index":{}}})",
                       quoted(i.text), i.arguments, i.index);
  return fmt::format(R"({{"type":"{}","text":{}}})",
                     i.kind == Item::Kind::Text ? "text" : "thought", quoted(i.text));
}

std::string shown(const Event& e) {
  if (e.kind == Event::Kind::Text)
    return fmt::format(R"({{"type":"text","text":{}}})", quoted(e.text));
  if (e.kind == Event::Kind::Thought)
    return fmt::format(R"({{"type":"thought","text":{}}})", quoted(e.text));
  if (e.kind == Event::Kind::CallBegin)
    return fmt::format(R"({{"type":"tool_call","name":{},"arguments":"","index":{}}})",
                       quoted(e.text), e.index);
  return fmt::format(R"({{"type":"tool_call","arguments":{},"index":{}}})", quoted(e.text),
                     e.index);
}

Result<std::string> answer(const ParseFlags& f, const Setting& s, const Json& in) {
  output::Parser parser(s.options);
  std::vector<Item> items;
  std::vector<std::string> events;
  const auto each = [&] {
    const auto now = parser.take();
    if (!f.deltas) output::join(items, now);
    for (const Event& e : now)
      if (f.deltas && e.kind != Event::Kind::CallEnd) events.push_back(shown(e));
  };
  BEZEL_DO(push_line(in, s, parser, each));
  parser.finish();
  each();
  for (const Item& i : items) events.push_back(shown(i));
  const auto reason = parser.reason();
  return fmt::format(R"({{"events":[{}],"finish":"{}"}})", fmt::join(events, ","),
                     reason == output::Finish::Stop     ? "stop"
                     : reason == output::Finish::Length ? "length"
                                                        : "tool_calls");
}

int parse(const ParseFlags& f) {
  auto setting = open_setting(f);
  if (!setting) return fail(setting.error());
  return for_each_line([&](std::string_view line, const std::string& where) {
    auto in = parse_json(line, where, {.max_bytes = kMaxLineBytes});
    if (!in) return fail(in.error());
    auto out = answer(f, *setting, *in);
    if (!out) return fail({out.error().code, out.error().what, where});
    return output().write(*out + "\n") ? int{kDone} : int{kFailed};
  });
}

}  // namespace

void add_parse(CLI::App& app, Action& action) {
  auto f = std::make_shared<ParseFlags>();
  CLI::App* c = app.add_subcommand("parse", "A model's tokens as thoughts, text and tool calls");
  c->footer(
      "Every line of standard input is {\"ids\": [...]} (needs MODEL) or {\"pieces\": [{\"text\": "
      "...,\n"
      "\"special\": false}, ...]}: the tokens of one answer, its end token included. Its answer "
      "is\n"
      "{\"events\": [...], \"finish\": \"stop\", \"tool_calls\" or \"length\"}; without an end "
      "token "
      "it is\n"
      "\"length\".\n\n"
      "Examples:\n"
      "  echo '{\"pieces\":[{\"text\":\"Hi\"},{\"text\":\"<turn|>\",\"special\":true}]}' | bezel "
      "parse\n"
      "  bezel parse --tools tools.json --state think model.gguf < answers.jsonl\n");
  add_model(*c, "MODEL", f->path, "model (file, folder or name), or a tokenizer.json")
      ->type_name("");
  c->add_option("--tools", f->tools, "declared tools: they decide the types of arguments")
      ->type_name("FILE");
  c->add_option("--state", f->state, "where the prompt ended: content, think or call")
      ->type_name("NAME")
      ->check(CLI::IsMember(std::vector<std::string>{"content", "think", "call"}));
  c->add_flag("--think", f->think, "thinking was on: a thought may lack its opening token");
  c->add_flag("--deltas", f->deltas, "events as they come, not joined");
  c->callback([f, &action] { action = [f] { return parse(*f); }; });
}

}  // namespace bezel::app
