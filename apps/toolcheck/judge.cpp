#include "judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "text/chat/render.h"
#include "text/output/joined.h"
#include "text/output/parser.h"

namespace bezel::app {

namespace {

constexpr std::string_view kMarkers[] = {
    "<|tool>",          "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
    "<tool_response|>", "<|\"|>",  "<|channel>",   "<channel|>",   "<|think|>",
    "<|turn>",          "<turn|>", "<bos>",        "<eos>",        "<start_of_turn>",
    "<end_of_turn>"};

std::string folded(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\n')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\n')) s.remove_suffix(1);
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool same(const Json& expected, const Json& got);

// `got` is null when the member is not there.
bool same_member(const Json& expected, const Json* got) {
  if (!expected.is_object() || !expected.contains("any of"))
    return got != nullptr && same(expected, *got);
  const Json& choices = expected["any of"];
  return std::any_of(choices.begin(), choices.end(), [&](const Json& one) {
    return got == nullptr ? one == Json("absent") : same(one, *got);
  });
}

bool same(const Json& expected, const Json& got) {
  if (expected.is_number() && got.is_number()) return expected.get<double>() == got.get<double>();
  if (expected.is_string() && got.is_string())
    return folded(expected.get<std::string>()) == folded(got.get<std::string>());
  if (expected.is_array() && got.is_array())
    return expected.size() == got.size() &&
           std::equal(expected.begin(), expected.end(), got.begin(), same);
  if (!expected.is_object() || !got.is_object()) return expected == got;
  for (const auto& [key, value] : expected.items())
    if (!same_member(value, got.contains(key) ? &got.at(key) : nullptr)) return false;
  return std::all_of(got.items().begin(), got.items().end(),
                     [&](const auto& item) { return expected.contains(item.key()); });
}

}  // namespace

Result<Judge> Judge::open(const Json& tools) {
  Judge judge;
  judge.tools_ = tools;
  for (const Json& tool : tools) {
    const Json& function = tool.at("function");
    BEZEL_TRY(judge.parameters_[function.at("name").get<std::string>()],
              constrain::json_schema(dump_json(function.at("parameters"))));
  }
  return judge;
}

bool Judge::comes_back(const ToolCall& call) const {
  const auto arguments = parse_json(call.arguments, call.name);
  chat::Pieces written;
  written.marker("<|tool_call>");
  written.text("call:" + call.name);
  if (!arguments || !chat::write_value(written, *arguments, false)) return false;
  written.marker("<tool_call|>");
  output::Options options;
  options.tools = tools_;
  output::Parser parser(std::move(options));
  for (const chat::Piece& p : written.list())
    p.marker ? parser.push_marker(p.text) : parser.push_text(p.text);
  parser.finish();
  std::vector<output::Item> items;
  output::join(items, parser.take());
  if (items.size() != 1 || items[0].kind != output::Item::Kind::Call) return false;
  const auto again = parse_json(items[0].arguments, call.name);
  // values alone: the syntax sorts keys
  return again && items[0].text == call.name &&
         nlohmann::json(*again) == nlohmann::json(*arguments);
}

std::string Judge::problem(const ToolCall& call, bool whole) const {
  const std::string shown = call.name + call.arguments;
  if (!parse_json(call.arguments, call.name)) return "the arguments are no JSON: " + shown;
  if (!whole) return "";
  const auto tool = parameters_.find(call.name);
  if (tool == parameters_.end()) return "no such tool is declared: " + shown;
  constrain::Walk walk(tool->second);
  if (walk.push(call.arguments) != call.arguments.size() || !walk.can_end())
    return "the arguments do not fit: " + shown;
  if (!comes_back(call)) return "written and parsed again it is another call: " + shown;
  return "";
}

std::string Judge::problem(const Answered& answer) const {
  for (const std::string_view marker : kMarkers)
    if (answer.turn.text.find(marker) != std::string::npos ||
        answer.turn.thought.find(marker) != std::string::npos)
      return fmt::format("the text holds {}", marker);
  const auto& calls = answer.turn.calls;
  const bool ended = answer.done.reason == DoneReason::EndToken;
  for (std::size_t i = 0; i < calls.size(); ++i)
    if (std::string what = problem(calls[i], ended || i + 1 < calls.size()); !what.empty())
      return what;
  return "";
}

bool right_tools(const Step& step, const Turn& answer) {
  std::vector<std::string> wanted, got;
  for (const ExpectedCall& c : step.calls) wanted.push_back(c.name);
  for (const ToolCall& c : answer.calls) got.push_back(c.name);
  std::sort(wanted.begin(), wanted.end());
  std::sort(got.begin(), got.end());
  return wanted == got;
}

bool right(const Step& step, const Turn& answer) {
  if (!right_tools(step, answer)) return false;
  std::vector<bool> taken(answer.calls.size());
  for (const ExpectedCall& want : step.calls) {
    bool found = false;
    for (std::size_t i = 0; i < taken.size() && !found; ++i) {
      if (taken[i] || answer.calls[i].name != want.name) continue;
      const auto arguments = parse_json(answer.calls[i].arguments, want.name);
      taken[i] = found = arguments && same(want.arguments, *arguments);
    }
    if (!found) return false;
  }
  if (!step.calls.empty()) return true;
  const std::string text = folded(answer.text);
  if (step.says.empty()) return !text.empty();
  return std::any_of(step.says.begin(), step.says.end(), [&](const std::string& says) {
    return text.find(folded(says)) != std::string::npos;
  });
}

std::string line_of(const Turn& answer) {
  std::string out;
  for (const ToolCall& c : answer.calls)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", c.name, c.arguments);
  if (!answer.text.empty())
    out += fmt::format("{}{}", out.empty() ? "" : ", ", dump_json(Json(answer.text)));
  return out.empty() ? "nothing" : out;
}

}  // namespace bezel::app
