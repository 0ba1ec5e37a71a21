#include "server/api/openai/responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/api/openai/openai.h"
#include "server/api/openai/parts.h"

namespace bezel::api {

namespace {

// Whole or streamed, the items of an answer are made here, event by event.
class ResponseWriter final : public Writer {
 public:
  ResponseWriter(ExchangePtr exchange, const Context& context, ResponseCall&& r)
      : Writer(std::move(exchange), openai_error),
        engine_(context.service->engine()),
        store_(r.keep ? context.responses : nullptr),
        turns_(std::move(r.turns)),
        stream_(r.call.stream),
        logprobs_(r.call.request.logprobs >= 0) {
    response_["id"] = new_id("resp_");
    response_["object"] = "response";
    response_["created_at"] = unix_time();
    response_["status"] = "in_progress";
    response_["error"] = nullptr;
    response_["incomplete_details"] = nullptr;
    response_["model"] = context.model;
    response_["output"] = Json::array();
    response_["usage"] = nullptr;
    response_.update(r.echo);
  }

  bool event(int, const Event& event) override {
    if (const auto* thought = std::get_if<ThoughtPiece>(&event)) return think(thought->text);
    if (const auto* text = std::get_if<TextPiece>(&event)) return say(*text);
    if (const auto* call = std::get_if<CallPiece>(&event)) return this->call(*call);
    return true;
  }

  void done(int, Reply reply) override {
    const bool cut = is_cut(reply.done.reason);
    start();
    close(cut ? "incomplete" : "completed");
    response_["status"] = cut ? "incomplete" : "completed";
    if (cut) response_["incomplete_details"]["reason"] = "max_output_tokens";
    response_["usage"] = usage(reply.done);
    keep(std::move(reply.turn));
  }

  void all_done() override {
    if (!stream_) return respond(response_);
    emit(response_["status"] == "completed" ? "response.completed" : "response.incomplete",
         {{"response", response_}});
    end();
  }

  std::string late_error(const std::string& body) const override {
    auto parsed = parse_json(body, "");
    Json j = parsed ? *std::move(parsed) : Json::object();
    j["type"] = "error";
    j["sequence_number"] = sequence_;
    for (const char* key : {"message", "code", "param"}) j[key] = j["error"][key];
    return fmt::format("event: error\ndata: {}\n\n", dump_json(j));
  }

 private:
  static Json usage(const Done& d) {
    Json u;
    u["input_tokens"] = d.prompt_tokens;
    u["input_tokens_details"]["cached_tokens"] = d.reused_tokens;
    u["output_tokens"] = d.ids.size();
    u["output_tokens_details"]["reasoning_tokens"] = d.thought_tokens;
    u["total_tokens"] = d.prompt_tokens + static_cast<int>(d.ids.size());
    return u;
  }

  void keep(Turn turn) {
    if (store_ == nullptr) return;
    for (std::size_t i = 0; i < turn.calls.size() && i < call_ids_.size(); ++i)
      turn.calls[i].id = call_ids_[i];
    turns_.push_back(std::move(turn));
    store_->put({response_["id"].get<std::string>(), std::move(turns_), dump_json(response_)});
  }

  bool emit(const char* type, Json data) {
    if (!stream_) return true;
    data["type"] = type;
    data["sequence_number"] = sequence_++;
    return write(fmt::format("event: {}\ndata: {}\n\n", type, dump_json(data)));
  }
  bool start() {
    if (std::exchange(started_, true)) return true;
    return emit("response.created", {{"response", response_}}) &&
           emit("response.in_progress", {{"response", response_}});
  }

  // ---- the item in the making, the last one of response_["output"]

  Json& item() { return response_["output"].back(); }
  // An event about it; `part`: and about its content.
  bool tell(const char* type, Json data, bool part) {
    data["item_id"] = item()["id"];
    data["output_index"] = response_["output"].size() - 1;
    if (part) data["content_index"] = 0;
    return emit(type, std::move(data));
  }
  bool open(Json json) {
    if (!start()) return false;
    close("completed");
    open_ = true;
    json["status"] = "in_progress";
    response_["output"].push_back(std::move(json));
    return emit("response.output_item.added",
                {{"output_index", response_["output"].size() - 1}, {"item", item()}});
  }
  bool is(const char* type) { return open_ && item()["type"] == type; }
  bool open_part(Json part) {
    item()["content"].push_back(std::move(part));
    return tell("response.content_part.added", {{"part", item()["content"][0]}}, true);
  }
  std::string& part_text() { return item()["content"][0]["text"].get_ref<std::string&>(); }

  bool think(const std::string& text) {
    if (!is("reasoning")) {
      Json j;
      j["id"] = new_id("rs_");
      j["type"] = "reasoning";
      j["summary"] = Json::array();
      j["content"] = Json::array();
      if (!open(std::move(j)) || !open_part({{"type", "reasoning_text"}, {"text", ""}}))
        return false;
    }
    part_text() += text;
    return tell("response.reasoning_text.delta", {{"delta", text}}, true);
  }

  bool say(const TextPiece& piece) {
    const bool token = logprobs_ && piece.id >= 0;
    if (piece.text.empty() && !token) return true;
    if (!is("message")) {
      Json j;
      j["id"] = new_id("msg_");
      j["type"] = "message";
      j["role"] = "assistant";
      j["content"] = Json::array();
      Json part;
      part["type"] = "output_text";
      part["text"] = "";
      part["annotations"] = Json::array();
      part["logprobs"] = Json::array();
      if (!open(std::move(j)) || !open_part(std::move(part))) return false;
    }
    part_text() += piece.text;
    Json logprobs = Json::array();
    if (token) logprobs.push_back(logprob_json(engine_, piece));
    for (const Json& one : logprobs) item()["content"][0]["logprobs"].push_back(one);
    return tell("response.output_text.delta",
                {{"delta", piece.text}, {"logprobs", std::move(logprobs)}}, true);
  }

  bool call(const CallPiece& piece) {
    if (!piece.name.empty()) {
      call_ids_.push_back(new_id("call_"));
      Json j;
      j["id"] = new_id("fc_");
      j["type"] = "function_call";
      j["call_id"] = call_ids_.back();
      j["name"] = piece.name;
      j["arguments"] = "";
      if (!open(std::move(j))) return false;
    }
    if (!is("function_call")) return true;
    item()["arguments"].get_ref<std::string&>() += piece.arguments;
    if (!piece.arguments.empty() &&
        !tell("response.function_call_arguments.delta", {{"delta", piece.arguments}}, false))
      return false;
    if (piece.complete) close("completed");
    return true;
  }

  void close(const char* status) {
    if (!std::exchange(open_, false)) return;
    if (item()["type"] == "function_call") {
      tell("response.function_call_arguments.done",
           {{"arguments", item()["arguments"]}, {"name", item()["name"]}}, false);
    } else {
      const Json part = item()["content"][0];
      if (item()["type"] == "message")
        tell("response.output_text.done", {{"text", part["text"]}, {"logprobs", part["logprobs"]}},
             true);
      else
        tell("response.reasoning_text.done", {{"text", part["text"]}}, true);
      tell("response.content_part.done", {{"part", part}}, true);
    }
    item()["status"] = status;
    emit("response.output_item.done",
         {{"output_index", response_["output"].size() - 1}, {"item", item()}});
  }

  const Engine& engine_;
  std::shared_ptr<ResponseStore> store_;  // null: not kept
  std::vector<Turn> turns_;
  bool stream_, logprobs_, started_ = false, open_ = false;
  int sequence_ = 0;
  std::vector<std::string> call_ids_;
  Json response_;
};

}  // namespace

void openai_responses(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  ResponseCall r = read_response_call(body, context.service->engine(), *context.responses, error);
  if (error) return refuse(*exchange, *error, openai_error);
  std::vector<Job> jobs(1);
  jobs[0].turns = std::move(r.call.turns);
  jobs[0].talk = r.call.talk;
  jobs[0].request = r.call.request;
  ask(context, std::move(jobs), std::make_shared<ResponseWriter>(exchange, context, std::move(r)));
}

void openai_kept_response(const ResponseStore& store, const std::string& id,
                          const ExchangePtr& exchange) {
  const auto kept = store.find(id);
  if (kept == nullptr)
    return refuse(*exchange, {Errc::NotFound, "this response is not kept here", ""}, openai_error);
  exchange->respond(200, "application/json", kept->json);
}

void openai_forget_response(ResponseStore& store, const std::string& id,
                            const ExchangePtr& exchange) {
  if (!store.forget(id))
    return refuse(*exchange, {Errc::NotFound, "this response is not kept here", ""}, openai_error);
  Json j;
  j["id"] = id;
  j["object"] = "response";
  j["deleted"] = true;
  exchange->respond(200, "application/json", dump_json(j));
}

}  // namespace bezel::api
