#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/api/openai/openai.h"
#include "server/api/openai/parts.h"

namespace bezel::api {

namespace {

const char* finish_of(const Reply& reply) {
  if (is_cut(reply.done.reason)) return "length";
  return reply.turn.calls.empty() ? "stop" : "tool_calls";
}

class ChatWriter final : public OpenAiWriter {
 public:
  ChatWriter(ExchangePtr exchange, Shape shape, std::size_t n)
      : OpenAiWriter(std::move(exchange), std::move(shape)), choices_(n) {}

  bool event(int job, const Event& event) override {
    Choice& c = choices_[static_cast<std::size_t>(job)];
    Json delta;
    const TextPiece* token = nullptr;
    if (const auto* text = std::get_if<TextPiece>(&event)) {
      if (text->id >= 0 && shape_.logprobs) token = text;
      if (token != nullptr && !shape_.stream)
        c.logprobs.push_back(logprob_json(*shape_.engine, *text));
      if (text->text.empty() && token == nullptr) return true;
      delta["content"] = text->text;
    } else if (const auto* thought = std::get_if<ThoughtPiece>(&event)) {
      delta["reasoning_content"] = thought->text;
    } else if (const auto* call = std::get_if<CallPiece>(&event)) {
      if (!call->name.empty()) c.ids.push_back(new_id("call_"));
      if (call->name.empty() && call->arguments.empty()) return true;
      Json t;
      t["index"] = call->index;
      if (!call->name.empty()) {
        t["id"] = c.ids.back();
        t["type"] = "function";
        t["function"]["name"] = call->name;
      }
      t["function"]["arguments"] = call->arguments;
      delta["tool_calls"] = Json::array({std::move(t)});
    } else {
      return true;
    }
    if (!shape_.stream) return true;
    return begin(job) && write(sse(chunk(job, std::move(delta), nullptr, token)));
  }

  void done(int job, Reply reply) override {
    usage_.add(reply.done);
    const char* finish = finish_of(reply);
    if (!shape_.stream) {
      choices_[static_cast<std::size_t>(job)].json = whole(job, std::move(reply));
      return;
    }
    if (begin(job)) write(sse(chunk(job, Json::object(), finish, nullptr)));
  }

  void all_done() override {
    if (shape_.stream) return end_stream("chat.completion.chunk");
    Json body = shape_.frame("chat.completion");
    body["choices"] = Json::array();
    for (Choice& c : choices_) body["choices"].push_back(std::move(c.json));
    body["usage"] = usage_.json();
    respond(body);
  }

 private:
  struct Choice {
    bool begun = false;
    std::vector<std::string> ids;  // of calls
    Json logprobs = Json::array(), json;
  };

  bool begin(int job) {
    if (std::exchange(choices_[static_cast<std::size_t>(job)].begun, true)) return true;
    Json delta;
    delta["role"] = "assistant";
    delta["content"] = "";
    return write(sse(chunk(job, std::move(delta), nullptr, nullptr)));
  }

  Json chunk(int job, Json delta, const char* finish, const TextPiece* token) const {
    Json choice;
    choice["index"] = job;
    choice["delta"] = std::move(delta);
    choice["logprobs"] = nullptr;
    if (token != nullptr) {
      choice["logprobs"] = Json::object();
      choice["logprobs"]["content"] = Json::array({logprob_json(*shape_.engine, *token)});
    }
    choice["finish_reason"] = finish == nullptr ? Json(nullptr) : Json(finish);
    Json j = shape_.frame("chat.completion.chunk");
    j["choices"] = Json::array({std::move(choice)});
    if (shape_.usage) j["usage"] = nullptr;
    return j;
  }

  Json whole(int job, Reply reply) {
    Choice& c = choices_[static_cast<std::size_t>(job)];
    const char* finish = finish_of(reply);
    Json message;
    message["role"] = "assistant";
    const bool silent = reply.turn.text.empty() && !reply.turn.calls.empty();
    message["content"] = silent ? Json(nullptr) : Json(reply.turn.text);
    if (!reply.turn.thought.empty()) message["reasoning_content"] = reply.turn.thought;
    for (std::size_t i = 0; i < reply.turn.calls.size(); ++i) {
      const ToolCall& call = reply.turn.calls[i];
      Json t;
      t["id"] = i < c.ids.size() ? c.ids[i] : new_id("call_");
      t["type"] = "function";
      t["function"]["name"] = call.name;
      t["function"]["arguments"] = call.arguments;
      message["tool_calls"].push_back(std::move(t));
    }
    Json choice;
    choice["index"] = job;
    choice["message"] = std::move(message);
    choice["logprobs"] = nullptr;
    if (shape_.logprobs) {
      choice["logprobs"] = Json::object();
      choice["logprobs"]["content"] = std::move(c.logprobs);
    }
    choice["finish_reason"] = finish;
    return choice;
  }

  std::vector<Choice> choices_;
};

void read_format(Fields& in, std::optional<Error>& error, Request& request) {
  const Json* format = in.object("response_format");
  if (format == nullptr) return;
  Fields f(*format, error, "response_format");
  const Json* outer = f.any("json_schema");
  const bool has = outer != nullptr && outer->is_object() && outer->contains("schema");
  read_form(f, has ? &(*outer)["schema"] : nullptr, "json_schema.schema", request);
}

void read_thinking(Fields& in, std::optional<Error>& error, Talk& talk) {
  if (const auto effort = in.text("reasoning_effort")) talk.think = *effort != "none";
  if (const Json* kwargs = in.object("chat_template_kwargs")) {
    Fields k(*kwargs, error, "chat_template_kwargs");
    if (const auto think = k.flag("enable_thinking")) talk.think = *think;
  }
  for (const char* key : {"thinking_token_budget", "thinking_budget_tokens"})
    if (const auto n = in.integer(key, 0, 1 << 30)) talk.thought_budget = static_cast<int>(*n);
}

}  // namespace

void openai_chat(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const Engine& engine = context.service->engine();
  Job job;
  const Json* messages = in.array("messages");
  if (messages == nullptr || messages->empty())
    in.must_be("messages", "must be a list of at least one message");
  else
    job.turns = openai_messages(*messages, error);
  in.text("model");
  read_tools(in, job.talk);
  read_thinking(in, error, job.talk);
  read_sampling(in, engine, job.request.sampling);
  read_bias(in, engine, job.request.sampling);
  read_stop(in, "stop", job.request);
  read_max_tokens(in, "max_tokens", job.request);
  read_max_tokens(in, "max_completion_tokens", job.request);
  read_format(in, error, job.request);
  Shape shape;
  shape.engine = &engine;
  shape.model = context.model;
  shape.id = new_id("chatcmpl-");
  const std::size_t n = read_shape(in, error, shape);
  shape.logprobs = in.flag("logprobs").value_or(false);
  const auto top = in.integer("top_logprobs", 0, kMostLogprobs);
  if (top && *top > 0 && !shape.logprobs) in.must_be("top_logprobs", "needs \"logprobs\": true");
  if (shape.logprobs) job.request.logprobs = static_cast<int>(top.value_or(0));
  if (error) return refuse(*exchange, *error, openai_error);
  ask(context, copies(job, n), std::make_shared<ChatWriter>(exchange, std::move(shape), n));
}

}  // namespace bezel::api
