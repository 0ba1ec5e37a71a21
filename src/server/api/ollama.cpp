#include "server/api/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

#include "server/api/openai/openai.h"

namespace bezel::api {

std::string ollama_error(const Error& error, int) {
  Json out;
  out["error"] = error.text();
  return dump_json(out);
}

namespace {

using Clock = std::chrono::steady_clock;

std::int64_t nanoseconds(double seconds) {
  return static_cast<std::int64_t>(seconds * 1e9);
}

class LineWriter final : public Writer {
 public:
  // `chat`: messages, else "response".
  LineWriter(ExchangePtr exchange, std::string model, bool stream, bool chat)
      : Writer(std::move(exchange), ollama_error),
        model_(std::move(model)),
        stream_(stream),
        chat_(chat) {
    type_ = "application/x-ndjson";
  }

  bool event(int, const Event& event) override {
    const auto* text = std::get_if<TextPiece>(&event);
    if (text != nullptr) text_ += text->text;
    if (!stream_) return true;
    const auto* thought = std::get_if<ThoughtPiece>(&event);
    if (text != nullptr && !text->text.empty()) return line(text->text, "", nullptr);
    if (thought != nullptr) return line("", thought->text, nullptr);
    return true;  // calls come whole, in done()
  }

  void done(int, Reply reply) override {
    Json calls = Json::array();
    for (const ToolCall& c : reply.turn.calls) {
      Json call;
      call["function"]["name"] = c.name;
      auto arguments = parse_json(c.arguments, "");
      call["function"]["arguments"] = arguments ? *std::move(arguments) : Json::object();
      calls.push_back(std::move(call));
    }
    if (stream_ && !calls.empty()) line("", "", &calls);
    last_ = stream_ ? frame("", "", nullptr)
                    : frame(text_, reply.turn.thought, calls.empty() ? nullptr : &calls);
    const Done& d = reply.done;
    last_["done"] = true;
    last_["done_reason"] = is_cut(d.reason) ? "length" : "stop";
    last_["total_duration"] =
        nanoseconds(std::chrono::duration<double>(Clock::now() - start_).count());
    last_["load_duration"] = 0;
    last_["prompt_eval_count"] = d.prompt_tokens;
    last_["prompt_eval_duration"] = nanoseconds(d.prompt_seconds);
    last_["eval_count"] = d.ids.size();
    last_["eval_duration"] = nanoseconds(d.answer_seconds);
  }

  void all_done() override {
    if (!stream_) return respond(last_);
    write(dump_json(last_) + "\n");
    end();
  }
  std::string late_error(const std::string& body) const override { return body + "\n"; }

 private:
  Json frame(const std::string& text, const std::string& thought, const Json* calls) const {
    Json j;
    j["model"] = model_;
    j["created_at"] = iso_time(unix_time());
    Json& at = chat_ ? j["message"] : j;
    if (chat_) at["role"] = "assistant";
    at[chat_ ? "content" : "response"] = text;
    if (!thought.empty()) at["thinking"] = thought;
    if (calls != nullptr) at["tool_calls"] = *calls;
    j["done"] = false;
    return j;
  }
  bool line(const std::string& text, const std::string& thought, const Json* calls) {
    return write(dump_json(frame(text, thought, calls)) + "\n");
  }

  std::string model_, text_;
  bool stream_, chat_;
  Clock::time_point start_ = Clock::now();
  Json last_;
};

// options, format, think, stream.
void read_rules(Fields& in, std::optional<Error>& error, const Engine& engine, Call& call) {
  static const Json none = Json::object();
  const Json* options = in.object("options");
  Fields o(options == nullptr ? none : *options, error, "options");
  read_sampling(o, engine, call.request.sampling);
  read_stop(o, "stop", call.request);
  const auto n = o.integer("num_predict", -2, 1 << 30);  // below 0: no limit
  if (n && *n > 0) call.request.max_tokens = static_cast<int>(*n);
  if (const Json* think = in.any("think"))
    call.talk.think = think->is_boolean() ? think->get<bool>() : think->is_string();
  const Json* format = in.any("format");
  if (format != nullptr && format->is_object())
    read_schema(*format, call.request);
  else if (format != nullptr && *format == "json")
    call.request.constraint.kind = Constraint::Kind::JsonObject;
  else if (format != nullptr && *format != "")
    in.must_be("format", "must be \"json\" or a JSON Schema");
  call.stream = in.flag("stream").value_or(true);
  in.text("model");
}

void answer(const Context& context, Call call, bool chat, const ExchangePtr& exchange) {
  std::vector<Job> jobs(1);
  jobs[0].turns = std::move(call.turns);
  jobs[0].talk = std::move(call.talk);
  jobs[0].request = std::move(call.request);
  ask(context, std::move(jobs),
      std::make_shared<LineWriter>(exchange, context.model, call.stream, chat));
}

// An empty request asks for the model to be loaded: it is.
void loaded(const Context& context, bool chat, http::Exchange& exchange) {
  Json j;
  j["model"] = context.model;
  j["created_at"] = iso_time(unix_time());
  if (chat)
    j["message"] = {{"role", "assistant"}, {"content", ""}};
  else
    j["response"] = "";
  j["done"] = true;
  j["done_reason"] = context.unloads ? "unload" : "load";
  exchange.respond(200, "application/json", dump_json(j) + "\n");
}

// Seconds of "1h30m", "500ms", "-1", "5"; nothing: it is none.
std::optional<double> duration(std::string_view text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  const bool below = !text.empty() && text[0] == '-';
  if (below) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double sum = 0;
  while (!text.empty()) {
    double n = 0;
    const auto [end, wrong] =
        std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
    if (wrong != std::errc() || !(n >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    double unit = text.empty() ? 1 : 0;
    for (const auto& [name, seconds] : kUnits) {
      if (unit != 0 || text.substr(0, name.size()) != name) continue;
      unit = seconds;
      text.remove_prefix(name.size());
    }
    if (unit == 0) return std::nullopt;
    sum += n * unit;
  }
  return below ? -sum : sum;
}

}  // namespace

std::optional<std::chrono::seconds> read_keep_alive(const Json& body, std::optional<Error>& error) {
  constexpr double kMost = 1e9;  // more than thirty years
  Fields in(body, error);
  const Json* value = in.any("keep_alive");
  if (value == nullptr) return std::nullopt;
  std::optional<double> seconds;
  if (value->is_number()) seconds = value->get<double>();
  if (value->is_string()) seconds = duration(value->get_ref<const std::string&>());
  if (!seconds) {
    in.must_be("keep_alive", "must be seconds, or a time like \"5m\" or \"1h30m\"");
    return std::nullopt;
  }
  if (*seconds < 0) return std::chrono::seconds(-1);
  return std::chrono::seconds(static_cast<std::int64_t>(std::ceil(std::min(*seconds, kMost))));
}

void ollama_chat(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  Call call;
  const Json* messages = in.array("messages");
  if (messages != nullptr) call.turns = openai_messages(*messages, error);
  const Json* tools = read_tool_list(in);
  if (tools != nullptr && !tools->empty()) call.talk.tools = dump_json(*tools);
  read_rules(in, error, context.service->engine(), call);
  if (error) return refuse(*exchange, *error, ollama_error);
  if (call.turns.empty()) return loaded(context, true, *exchange);
  answer(context, std::move(call), true, exchange);
}

void ollama_generate(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  Call call;
  const Engine& engine = context.service->engine();
  const std::string prompt = in.text("prompt").value_or("");
  const std::string system = in.text("system").value_or("");
  const bool raw = in.flag("raw").value_or(false);
  for (const char* key : {"suffix", "template"})
    if (in.text(key).value_or("") != "") in.must_be(key, "is not served");
  if (const Json* images = in.array("images"); images != nullptr && !images->empty())
    in.must_be("images", "are not served: this model is served for text only");
  read_rules(in, error, engine, call);
  if (error) return refuse(*exchange, *error, ollama_error);
  if (prompt.empty()) return loaded(context, false, *exchange);
  if (raw) {
    call.request.prompt = engine.raw_prompt(prompt, true);
  } else {
    if (!system.empty()) call.turns.push_back({"system", system});
    call.turns.push_back({"user", prompt});
  }
  answer(context, std::move(call), false, exchange);
}

}  // namespace bezel::api
