#include "server/api/anthropic.h"

#include <fmt/format.h>

#include <utility>

#include "server/api/openai/openai.h"

namespace bezel::api {

std::string anthropic_error(const Error& error, int status) {
  const char* type = status == 401   ? "authentication_error"
                     : status == 403 ? "permission_error"
                     : status == 404 ? "not_found_error"
                     : status == 503 ? "overloaded_error"
                     : status >= 500 ? "api_error"
                                     : "invalid_request_error";
  Json out;
  out["type"] = "error";
  out["error"]["type"] = type;
  out["error"]["message"] = error.text();
  return dump_json(out);
}

namespace {

// Reads one request; every mistake goes to `error`.
class Decoder {
 public:
  Decoder(const Json& body, std::optional<Error>& error) : error_(error), in_(body, error) {}

  Call call(const Engine& engine, bool counting) {
    Call c;
    if (in_.any("system") != nullptr) c.turns.push_back({"system", system()});
    const Json* messages = in_.array("messages");
    if (messages == nullptr || messages->empty())
      in_.must_be("messages", "must be a list of at least one message");
    for (std::size_t i = 0; messages != nullptr && i < messages->size() && !error_; ++i)
      message((*messages)[i], fmt::format("messages[{}]", i), c.turns);
    tools(c.talk);
    thinking(c.talk);
    in_.text("model");
    read_sampling(in_, engine, c.request.sampling);
    read_stop(in_, "stop_sequences", c.request);
    read_max_tokens(in_, "max_tokens", c.request);
    if (!counting && in_.any("max_tokens") == nullptr) in_.must_be("max_tokens", "is missing");
    format(c.request);
    c.stream = in_.flag("stream").value_or(false);
    return c;
  }

 private:
  // Claude Code's first line differs in every request, and would keep its prompt from being reused.
  std::string system() {
    std::string text = content_text(in_, "system");
    if (text.rfind("x-anthropic-billing-header", 0) == 0)
      text.erase(
          0, std::min(text.size(),
                      text.find('\n') == std::string::npos ? text.size() : text.find('\n') + 1));
    return text;
  }

  void message(const Json& json, const std::string& path, std::vector<Turn>& turns) {
    Fields m(json, error_, path);
    Turn t;
    t.role = m.text("role").value_or("");
    if (t.role != "user" && t.role != "assistant" && t.role != "system")
      m.must_be("role", "must be user or assistant");
    const Json* content = m.any("content");
    if (content == nullptr) return m.must_be("content", "is missing");
    if (content->is_string()) {
      t.text = content->get<std::string>();
      turns.push_back(std::move(t));
      return;
    }
    if (!content->is_array()) return m.must_be("content", "must be a text or a list of blocks");
    bool results = false, said = false;
    for (std::size_t i = 0; i < content->size() && !error_; ++i) {
      Fields b((*content)[i], error_, fmt::format("{}.content[{}]", path, i));
      const std::string type = b.text("type").value_or("");
      if (type == "tool_result") {
        turns.push_back(result(b));
        results = true;
      } else {
        block(b, type, t);
        said = true;
      }
    }
    if (said || !results) turns.push_back(std::move(t));
  }

  static Turn result(Fields& b) {
    Turn t;
    t.role = "tool";
    t.text = content_text(b, "content");
    if (b.flag("is_error").value_or(false)) t.text = "error: " + t.text;
    t.call_id = b.text("tool_use_id").value_or("");
    return t;
  }

  static void block(Fields& b, const std::string& type, Turn& t) {
    if (type == "text") {
      t.text += b.text("text").value_or("");
    } else if (type == "thinking" && t.role == "assistant") {
      t.thought += b.text("thinking").value_or("");
    } else if (type == "tool_use" && t.role == "assistant") {
      const Json* input = b.object("input");
      ToolCall call{b.text("id").value_or(""), b.text("name").value_or(""),
                    input == nullptr ? "{}" : dump_json(*input)};
      if (call.name.empty()) b.must_be("name", "is missing");
      t.calls.push_back(std::move(call));
    } else if (type != "redacted_thinking") {
      b.must_be("type", "is not served: text, thinking, tool_use and tool_result are");
    }
  }

  void tools(Talk& talk) {
    read_flat_tools(in_, "input_schema", false, error_, talk);
    const Json* choice = in_.object("tool_choice");
    if (choice == nullptr) return;
    Fields c(*choice, error_, "tool_choice");
    const std::string type = c.text("type").value_or("");
    talk.parallel = !c.flag("disable_parallel_tool_use").value_or(false);
    if (type == "any" || type == "tool")
      talk.calls = Talk::Calls::Required;
    else if (type == "none")
      talk.calls = Talk::Calls::None;
    else if (type != "auto")
      c.must_be("type", "must be auto, any, tool or none");
    if (type != "tool") return;
    talk.allowed = {c.text("name").value_or("")};
    if (talk.allowed.front().empty()) c.must_be("name", "is missing");
  }

  void thinking(Talk& talk) {
    const Json* thinking = in_.object("thinking");
    if (thinking == nullptr) return;
    Fields t(*thinking, error_, "thinking");
    const std::string type = t.text("type").value_or("");
    if (type != "enabled" && type != "adaptive" && type != "disabled")
      t.must_be("type", "must be enabled, adaptive or disabled");
    talk.think = type != "disabled";
    if (const auto n = t.integer("budget_tokens", 0, 1 << 30))
      talk.thought_budget = static_cast<int>(*n);
  }

  void format(Request& request) {
    const Json* config = in_.object("output_config");
    if (config == nullptr) return;
    Fields c(*config, error_, "output_config");
    const Json* format = c.object("format");
    if (format == nullptr) return;
    Fields f(*format, error_, "output_config.format");
    const Json* schema = f.object("schema");
    if (f.text("type").value_or("") != "json_schema" || schema == nullptr)
      return f.must_be("type", "must be json_schema, with a schema");
    read_schema(*schema, request);
  }

  std::optional<Error>& error_;
  Fields in_;
};

const char* stop_reason(const Reply& r) {
  if (is_cut(r.done.reason)) return "max_tokens";
  if (!r.turn.calls.empty()) return "tool_use";
  return r.done.reason == DoneReason::StopText ? "stop_sequence" : "end_turn";
}

class MessageWriter final : public Writer {
 public:
  MessageWriter(ExchangePtr exchange, std::string model, bool stream)
      : Writer(std::move(exchange), anthropic_error), model_(std::move(model)), stream_(stream) {}

  bool event(int, const Event& event) override {
    if (const auto* read = std::get_if<PromptProgress>(&event)) {
      prompt_ = read->total;
      return true;
    }
    if (const auto* call = std::get_if<CallPiece>(&event))
      if (!call->name.empty()) ids_.push_back(new_id("toolu_"));
    if (!stream_) return true;
    if (const auto* text = std::get_if<TextPiece>(&event))
      return text->text.empty() || piece("text", "text_delta", "text", text->text);
    if (const auto* thought = std::get_if<ThoughtPiece>(&event))
      return piece("thinking", "thinking_delta", "thinking", thought->text);
    if (const auto* call = std::get_if<CallPiece>(&event)) {
      if (!call->name.empty()) {
        Json block;
        block["type"] = "tool_use";
        block["id"] = ids_.back();
        block["name"] = call->name;
        block["input"] = Json::object();
        if (!open("tool_use", std::move(block))) return false;
      }
      return call->arguments.empty() || delta("input_json_delta", "partial_json", call->arguments);
    }
    return true;
  }

  void done(int, Reply reply) override {
    Json usage;
    usage["input_tokens"] = reply.done.prompt_tokens - reply.done.reused_tokens;
    usage["cache_read_input_tokens"] = reply.done.reused_tokens;
    usage["cache_creation_input_tokens"] = 0;
    usage["output_tokens"] = reply.done.ids.size();
    Json stop = Json(nullptr);
    if (reply.done.reason == DoneReason::StopText) stop = reply.done.stop_text;
    if (!stream_) {
      whole_ = frame();
      whole_["content"] = content(reply);
      whole_["stop_reason"] = stop_reason(reply);
      whole_["stop_sequence"] = std::move(stop);
      whole_["usage"] = std::move(usage);
      return;
    }
    start();
    close_block();
    Json j;
    j["type"] = "message_delta";
    j["delta"]["stop_reason"] = stop_reason(reply);
    j["delta"]["stop_sequence"] = std::move(stop);
    j["usage"] = std::move(usage);
    send(j);
  }

  void all_done() override {
    if (!stream_) return respond(whole_);
    Json j;
    j["type"] = "message_stop";
    send(j);
    end();
  }
  std::string late_error(const std::string& body) const override {
    return "event: error\ndata: " + body + "\n\n";
  }

 private:
  Json frame() const {
    Json m;
    m["id"] = id_;
    m["type"] = "message";
    m["role"] = "assistant";
    m["model"] = model_;
    return m;
  }

  Json content(const Reply& reply) {
    Json out = Json::array();
    if (!reply.turn.thought.empty()) {
      Json b;
      b["type"] = "thinking";
      b["thinking"] = reply.turn.thought;
      b["signature"] = "";
      out.push_back(std::move(b));
    }
    if (!reply.turn.text.empty()) {
      Json b;
      b["type"] = "text";
      b["text"] = reply.turn.text;
      out.push_back(std::move(b));
    }
    for (std::size_t i = 0; i < reply.turn.calls.size(); ++i) {
      Json b;
      b["type"] = "tool_use";
      b["id"] = i < ids_.size() ? ids_[i] : new_id("toolu_");
      b["name"] = reply.turn.calls[i].name;
      auto input = parse_json(reply.turn.calls[i].arguments, "");
      b["input"] = input ? *std::move(input) : Json::object();
      out.push_back(std::move(b));
    }
    return out;
  }

  bool send(const Json& j) {
    return write(fmt::format("event: {}\ndata: {}\n\n", j["type"].get_ref<const std::string&>(),
                             dump_json(j)));
  }
  bool start() {
    if (std::exchange(started_, true)) return true;
    Json j;
    j["type"] = "message_start";
    j["message"] = frame();
    j["message"]["content"] = Json::array();
    j["message"]["stop_reason"] = nullptr;
    j["message"]["stop_sequence"] = nullptr;
    j["message"]["usage"]["input_tokens"] = prompt_;
    j["message"]["usage"]["output_tokens"] = 0;
    return send(j);
  }
  bool open(std::string type, Json block) {
    if (!start()) return false;
    close_block();
    block_ = std::move(type);
    Json j;
    j["type"] = "content_block_start";
    j["index"] = index_;
    j["content_block"] = std::move(block);
    return send(j);
  }
  bool delta(const char* kind, const char* key, const std::string& text) {
    Json j;
    j["type"] = "content_block_delta";
    j["index"] = index_;
    j["delta"]["type"] = kind;
    j["delta"][key] = text;
    return send(j);
  }
  bool piece(const char* type, const char* kind, const char* key, const std::string& text) {
    if (block_ != type) {
      Json block;
      block["type"] = type;
      block[key] = "";
      if (std::string_view(type) == "thinking") block["signature"] = "";
      if (!open(type, std::move(block))) return false;
    }
    return delta(kind, key, text);
  }
  void close_block() {
    if (block_.empty()) return;
    Json j;
    j["type"] = "content_block_stop";
    j["index"] = index_++;
    send(j);
    block_.clear();
  }

  std::string id_ = new_id("msg_"), model_, block_;  // block_: the type of the open one
  bool stream_, started_ = false;
  int prompt_ = 0, index_ = 0;
  std::vector<std::string> ids_;  // of calls
  Json whole_;
};

}  // namespace

void anthropic_messages(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Call call = Decoder(body, error).call(context.service->engine(), false);
  if (error) return refuse(*exchange, *error, anthropic_error);
  std::vector<Job> jobs(1);
  jobs[0].turns = std::move(call.turns);
  jobs[0].talk = std::move(call.talk);
  jobs[0].request = std::move(call.request);
  ask(context, std::move(jobs),
      std::make_shared<MessageWriter>(exchange, context.model, call.stream));
}

void anthropic_count(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  const Call call = Decoder(body, error).call(context.service->engine(), true);
  if (error) return refuse(*exchange, *error, anthropic_error);
  const auto ids = context.service->engine().chat_prompt(call.turns, call.talk);
  if (!ids) return refuse(*exchange, ids.error(), anthropic_error);
  Json j;
  j["input_tokens"] = ids->size();
  exchange->respond(200, "application/json", dump_json(j));
}

}  // namespace bezel::api
