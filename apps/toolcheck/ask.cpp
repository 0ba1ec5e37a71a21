#include "ask.h"

#include <fmt/format.h>

#include <algorithm>

namespace bezel::app {

namespace {

// An answer put together from its pieces.
class Listener {
 public:
  bool hear(const Event& event) {
    if (const auto* text = std::get_if<TextPiece>(&event)) turn_.text += text->text;
    if (const auto* thought = std::get_if<ThoughtPiece>(&event)) turn_.thought += thought->text;
    if (const auto* call = std::get_if<CallPiece>(&event)) add(*call);
    return true;
  }
  bool heard(const Turn& answer) const { return !broken_ && same_answer(turn_, answer); }

 private:
  // A call's pieces follow one another; its first has the name, and no other.
  void add(const CallPiece& piece) {
    const auto number = static_cast<std::size_t>(piece.index);
    if (!open_) {
      broken_ = broken_ || number != turn_.calls.size() || piece.name.empty();
      turn_.calls.push_back({"", piece.name, ""});
    } else {
      broken_ = broken_ || number + 1 != turn_.calls.size() || !piece.name.empty();
    }
    turn_.calls.back().arguments += piece.arguments;
    open_ = !piece.complete;
  }

  Turn turn_;
  bool open_ = false, broken_ = false;
};

Json json_of(const ToolCall& call) {
  const auto arguments = parse_json(call.arguments, call.name);
  return {{"name", call.name}, {"arguments", arguments ? *arguments : Json::object()}};
}

// The conversation for a model that knows no tools: they and their calls are texts.
std::vector<Turn> in_texts(const Ask& question) {
  std::vector<Turn> out;
  std::vector<std::string> names;
  for (const Turn& t : question.turns) {
    if (t.role == "tool") {
      const std::string text = fmt::format("The result is: {}", t.text);
      if (!out.empty() && out.back().role == "user")
        out.back().text += "\n" + text;
      else
        out.push_back({"user", text});
      continue;
    }
    Json calls = Json::array();
    for (const ToolCall& c : t.calls) calls.push_back(json_of(c));
    out.push_back({t.role, calls.empty() ? t.text : dump_json(calls)});
  }
  Json functions = Json::array();
  for (const Json& tool : question.tools) functions.push_back(tool.at("function"));
  out.front().text = fmt::format(
      "There are these tools: {}\nTo call some, answer with a JSON array only, such as "
      "[{{\"name\": \"the tool\", \"arguments\": {{}}}}]. If none is needed, answer in "
      "words.\n\n{}",
      dump_json(functions), out.front().text);
  return out;
}

Constraint calls_as_json(const Json& tools) {
  Json any = Json::array();
  for (const Json& tool : tools) {
    const Json& function = tool.at("function");
    any.push_back(
        {{"type", "object"},
         {"properties",
          {{"name", {{"const", function.at("name")}}}, {"arguments", function.at("parameters")}}},
         {"required", {"name", "arguments"}},
         {"additionalProperties", false}});
  }
  const Json schema = {{"type", "array"}, {"minItems", 1}, {"items", {{"anyOf", std::move(any)}}}};
  return {Constraint::Kind::JsonSchema, dump_json(schema), {}};
}

// A text that is calls as JSON, perhaps between fences, becomes calls.
void take_calls(Turn& answer) {
  std::string text = answer.text;
  if (const std::size_t fence = text.find("```"); fence != std::string::npos) {
    const std::size_t from = text.find('\n', fence), to = text.rfind("```");
    if (from != std::string::npos && to > from) text = text.substr(from, to - from);
  }
  auto json = parse_json(text, "the answer");
  if (!json) return;
  const Json list = json->is_array() ? *json : Json::array({*json});
  std::vector<ToolCall> calls;
  for (const Json& call : list) {
    if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return;
    const Json arguments = call.contains("arguments") ? call["arguments"] : Json::object();
    calls.push_back({"", call["name"].get<std::string>(), dump_json(arguments)});
  }
  if (calls.empty()) return;
  answer.calls = std::move(calls);
  answer.text.clear();
}

}  // namespace

bool same_answer(const Turn& a, const Turn& b) {
  return a.text == b.text && a.thought == b.thought &&
         std::equal(a.calls.begin(), a.calls.end(), b.calls.begin(), b.calls.end(),
                    [](const ToolCall& x, const ToolCall& y) {
                      return x.name == y.name && x.arguments == y.arguments;
                    });
}

bool native_calls(const Engine& engine, const Json& tools) {
  Talk talk;
  talk.tools = dump_json(tools);
  return static_cast<bool>(engine.chat_prompt({{"user", "?"}}, talk));
}

Result<Heard> ask(Engine& engine, const Ask& question, bool native, const Request& rules) {
  Talk talk;
  talk.think = question.think;
  talk.thought_budget = question.thought_budget;
  Request request = rules;
  std::vector<Turn> turns = question.turns;
  if (native) {
    talk.tools = dump_json(question.tools);
    if (question.required) talk.calls = Talk::Calls::Required;
  } else {
    turns = in_texts(question);
    if (question.required) request.constraint = calls_as_json(question.tools);
  }
  Listener listener;
  BEZEL_TRY(Reply reply,
            engine.reply(turns, talk, request, [&](const Event& e) { return listener.hear(e); }));
  Heard heard;
  heard.same = listener.heard(reply.turn);
  heard.turn = std::move(reply.turn);
  heard.done = std::move(reply.done);
  if (!native) take_calls(heard.turn);
  return heard;
}

}  // namespace bezel::app
