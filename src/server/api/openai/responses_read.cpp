#include <fmt/format.h>

#include <utility>

#include "server/api/openai/openai.h"
#include "server/api/openai/parts.h"
#include "server/api/openai/responses.h"

namespace bezel::api {

namespace {

// The turn that what an assistant said goes into: the last one, while it is the assistant's.
Turn& assistant(std::vector<Turn>& turns, bool fits) {
  if (turns.empty() || turns.back().role != "assistant" || !fits)
    turns.push_back({"assistant", ""});
  return turns.back();
}

void read_message(Fields& in, std::vector<Turn>& turns) {
  std::string role = in.text("role").value_or("");
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant")
    return in.must_be("role", "must be system, developer, user or assistant");
  std::string text = content_text(in, "content");
  if (role != "assistant") {
    turns.push_back({std::move(role), std::move(text)});
    return;
  }
  const bool fits = !turns.empty() && turns.back().text.empty() && turns.back().calls.empty();
  assistant(turns, fits).text = std::move(text);
}

void read_call(Fields& in, std::vector<Turn>& turns) {
  ToolCall call;
  call.id = in.text("call_id").value_or("");
  call.name = in.text("name").value_or("");
  call.arguments = in.text("arguments").value_or("{}");
  if (call.id.empty()) in.must_be("call_id", "is missing");
  if (call.name.empty()) in.must_be("name", "is missing");
  if (call.arguments.empty()) call.arguments = "{}";
  check_arguments(in, "arguments", call.arguments);
  assistant(turns, true).calls.push_back(std::move(call));
}

void read_reasoning(Fields& in, std::vector<Turn>& turns) {
  std::string thought;
  for (const char* key : {"content", "summary"}) {
    const Json* parts = in.array(key);
    if (parts == nullptr || !thought.empty()) continue;
    for (const Json& part : *parts) {
      if (!part.is_object() || !part.contains("text") || !part["text"].is_string())
        return in.must_be(key, "has a part without a text");
      thought += part["text"].get_ref<const std::string&>();
    }
  }
  assistant(turns, false).thought = std::move(thought);
}

void read_item(Fields& in, std::vector<Turn>& turns) {
  const std::string type = in.text("type").value_or("message");
  if (type == "message") return read_message(in, turns);
  if (type == "function_call") return read_call(in, turns);
  if (type == "reasoning") return read_reasoning(in, turns);
  if (type != "function_call_output")
    return in.must_be("type",
                      "is not served: message, function_call, function_call_output and reasoning "
                      "are");
  Turn result{"tool", content_text(in, "output")};
  result.call_id = in.text("call_id").value_or("");
  if (result.call_id.empty()) in.must_be("call_id", "is missing");
  turns.push_back(std::move(result));
}

void read_input(Fields& in, std::optional<Error>& error, std::vector<Turn>& turns) {
  const Json* input = in.any("input");
  if (input != nullptr && input->is_string()) {
    turns.push_back({"user", input->get<std::string>()});
    return;
  }
  if (input == nullptr || !input->is_array() || input->empty())
    return in.must_be("input", "must be a text or a list of at least one item");
  for (std::size_t i = 0; i < input->size() && !error; ++i) {
    Fields item((*input)[i], error, fmt::format("input[{}]", i));
    read_item(item, turns);
  }
}

void read_choice(Fields& in, std::optional<Error>& error, Talk& talk) {
  if (const auto parallel = in.flag("parallel_tool_calls")) talk.parallel = *parallel;
  const Json* choice = in.any("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") talk.calls = Talk::Calls::None;
  if (*choice == "required") talk.calls = Talk::Calls::Required;
  if (*choice == "none" || *choice == "required") return;
  if (!choice->is_object())
    return in.must_be("tool_choice", "must be auto, none, required or name a function");
  Fields c(*choice, error, "tool_choice");
  const std::string type = c.text("type").value_or("");
  if (type == "function") {
    talk.calls = Talk::Calls::Required;
    talk.allowed = {c.text("name").value_or("")};
    if (talk.allowed.front().empty()) c.must_be("name", "is missing");
    return;
  }
  if (type != "allowed_tools") return c.must_be("type", "must be function or allowed_tools");
  const std::string mode = c.text("mode").value_or("auto");
  if (mode == "required") talk.calls = Talk::Calls::Required;
  if (mode != "required" && mode != "auto") c.must_be("mode", "must be auto or required");
  const Json* tools = c.array("tools");
  for (std::size_t i = 0; tools != nullptr && i < tools->size() && !error; ++i) {
    Fields t((*tools)[i], error, fmt::format("tool_choice.tools[{}]", i));
    talk.allowed.push_back(t.text("name").value_or(""));
    if (talk.allowed.back().empty()) t.must_be("name", "is missing");
  }
  if (talk.allowed.empty()) c.must_be("tools", "must name at least one function");
}

void read_text_format(Fields& in, std::optional<Error>& error, Request& request) {
  const Json* text = in.object("text");
  if (text == nullptr) return;
  Fields t(*text, error, "text");
  const Json* format = t.object("format");
  if (format == nullptr) return;
  Fields f(*format, error, "text.format");
  read_form(f, f.any("schema"), "schema", request);
}

// "include" may ask for the log-probabilities of the answer; what else it may ask for is never
// there.
void read_logprobs(Fields& in, Request& request) {
  const auto top = in.integer("top_logprobs", 0, kMostLogprobs);
  const Json* include = in.array("include");
  for (std::size_t i = 0; include != nullptr && i < include->size(); ++i) {
    if (!(*include)[i].is_string()) return in.must_be("include", "must be a list of texts");
    if ((*include)[i] == "message.output_text.logprobs")
      request.logprobs = static_cast<int>(top.value_or(0));
  }
}

void refuse_what_is_not_served(Fields& in) {
  for (const char* key : {"conversation", "prompt"})
    if (in.any(key) != nullptr) in.must_be(key, "is not served");
  if (in.flag("background").value_or(false)) in.must_be("background", "must be false");
  const std::string truncation = in.text("truncation").value_or("disabled");
  if (truncation != "auto" && truncation != "disabled")
    in.must_be("truncation", "must be auto or disabled");
}

// What responses say again, with the values that hold where the request says nothing.
Json echo_of(Fields& in, const Call& call) {
  Json j = Json::object();
  const auto copy = [&](const char* key, const Json& otherwise) {
    const Json* v = in.any(key);
    j[key] = v == nullptr ? otherwise : *v;
  };
  copy("instructions", nullptr);
  copy("max_output_tokens", nullptr);
  copy("metadata", Json::object());
  copy("previous_response_id", nullptr);
  copy("tool_choice", "auto");
  copy("tools", Json::array());
  copy("text", {{"format", {{"type", "text"}}}});
  copy("truncation", "disabled");
  copy("reasoning", {{"effort", nullptr}, {"summary", nullptr}});
  j["parallel_tool_calls"] = call.talk.parallel;
  j["temperature"] = call.request.sampling.temperature;
  j["top_p"] = call.request.sampling.top_p;
  return j;
}

}  // namespace

ResponseCall read_response_call(const Json& body, const Engine& engine, const ResponseStore& store,
                                std::optional<Error>& error) {
  Fields in(body, error);
  ResponseCall r;
  if (const auto id = in.text("previous_response_id")) {
    const auto kept = store.find(*id);
    if (kept == nullptr)
      in.must_be(
          "previous_response_id",
          "is not kept here: the last 1024 responses are, in 64 MB at most, unless \"store\" "
          "is false");
    else
      r.turns = kept->turns;
  }
  read_input(in, error, r.turns);
  r.call.turns = r.turns;
  if (const auto text = in.text("instructions"); text && !text->empty()) {
    if (!r.call.turns.empty() && r.call.turns.front().role == "system")
      r.call.turns.front().text = fmt::format("{}\n\n{}", *text, r.call.turns.front().text);
    else
      r.call.turns.insert(r.call.turns.begin(), {"system", *text});
  }
  in.text("model");
  in.object("metadata");
  read_flat_tools(in, "parameters", true, error, r.call.talk);
  read_choice(in, error, r.call.talk);
  if (const Json* reasoning = in.object("reasoning")) {
    Fields effort(*reasoning, error, "reasoning");
    if (const auto e = effort.text("effort")) r.call.talk.think = *e != "none";
  }
  read_sampling(in, engine, r.call.request.sampling);
  read_max_tokens(in, "max_output_tokens", r.call.request);
  read_text_format(in, error, r.call.request);
  read_logprobs(in, r.call.request);
  refuse_what_is_not_served(in);
  r.call.stream = in.flag("stream").value_or(false);
  r.keep = in.flag("store").value_or(true);
  if (!error) r.echo = echo_of(in, r.call);
  r.echo["store"] = r.keep;
  return r;
}

}  // namespace bezel::api
