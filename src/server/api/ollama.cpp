#include "server/api/ollama.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
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

std::string iso_time(std::int64_t unix) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix)));
}

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
  j["done_reason"] = "load";
  exchange.respond(200, "application/json", dump_json(j) + "\n");
}

Json details(const Context& context) {
  const EngineInfo& info = context.service->engine().info();
  Json d;
  d["parent_model"] = "";
  d["format"] = "gguf";
  d["family"] = info.family;
  d["families"] = Json::array({info.family});
  d["parameter_size"] = info.variant;
  d["quantization_level"] = "";
  return d;
}

Json entry(const Context& context) {
  Json m;
  m["name"] = context.model;
  m["model"] = context.model;
  m["size"] = context.service->engine().info().memory.mapped;
  m["digest"] = "";
  m["details"] = details(context);
  return m;
}

}  // namespace

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

Json ollama_tags(const Context& context) {
  Json j, m = entry(context);
  m["modified_at"] = iso_time(context.since);
  j["models"] = Json::array({std::move(m)});
  return j;
}

Json ollama_ps(const Context& context) {
  Json j, m = entry(context);
  m["expires_at"] = "9999-12-31T23:59:59Z";
  m["size_vram"] = 0;
  m["context_length"] = context.service->engine().info().context;
  j["models"] = Json::array({std::move(m)});
  return j;
}

Json ollama_show(const Context& context) {
  const EngineInfo& info = context.service->engine().info();
  Json j;
  j["modelfile"] = "";
  j["parameters"] = "";
  j["template"] = "";
  j["details"] = details(context);
  j["model_info"]["general.architecture"] = info.family;
  j["model_info"][info.family + ".context_length"] = info.context;
  j["capabilities"] = Json::array({"completion", "tools", "thinking"});
  j["modified_at"] = iso_time(context.since);
  return j;
}

}  // namespace bezel::api
