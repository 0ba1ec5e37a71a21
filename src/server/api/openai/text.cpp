#include <algorithm>
#include <utility>

#include "server/api/openai/openai.h"
#include "server/api/openai/parts.h"

namespace bezel::api {

namespace {

class TextWriter final : public OpenAiWriter {
 public:
  // `echoes`: for every job; empty: nothing is echoed. Without `answers` the prompt alone is
  // wanted.
  TextWriter(ExchangePtr exchange, Shape shape, std::vector<Echo> echoes, std::size_t n,
             bool answers)
      : OpenAiWriter(std::move(exchange), std::move(shape)),
        echoes_(std::move(echoes)),
        choices_(n),
        answers_(answers) {
    for (std::size_t i = 0; i < echoes_.size(); ++i) {
      choices_[i].text = echoes_[i].text;
      if (!echoes_[i].bos_is_ours) list(choices_[i], {echoes_[i].ids.front(), 0, {}}, true);
    }
  }

  bool event(int job, const Event& event) override {
    Choice& c = choices_[static_cast<std::size_t>(job)];
    if (const auto* token = std::get_if<PromptToken>(&event)) {
      list(c, *token, false);
      return true;
    }
    const auto* piece = std::get_if<TextPiece>(&event);
    if (piece == nullptr) return true;
    if (!answers_) return false;
    if (piece->id >= 0 && shape_.logprobs) list(c, {piece->id, piece->logprob, piece->best}, false);
    c.text += piece->text;
    if (!shape_.stream || (c.text.empty() && c.tokens.empty())) return true;
    return write(sse(chunk(job, nullptr)));
  }

  void done(int job, Reply reply) override {
    if (!answers_) reply.done.ids.clear();
    const bool cut = is_cut(reply.done.reason) || !answers_;
    usage_.add(reply.done);
    choices_[static_cast<std::size_t>(job)].finish = cut ? "length" : "stop";
    if (shape_.stream) write(sse(chunk(job, cut ? "length" : "stop")));
  }

  void all_done() override {
    if (shape_.stream) return end_stream("text_completion");
    Json body = shape_.frame("text_completion");
    body["choices"] = Json::array();
    for (std::size_t i = 0; i < choices_.size(); ++i)
      body["choices"].push_back(choice(static_cast<int>(i), choices_[i].finish));
    body["usage"] = usage_.json();
    respond(body);
  }

 private:
  struct Choice {  // what was not sent yet
    std::string text;
    const char* finish = "stop";
    std::size_t offset = 0;  // bytes of all tokens so far
    Json tokens = Json::array(), logprobs = Json::array(), best = Json::array(),
         offsets = Json::array();
  };

  // `first`: nothing predicts this id.
  void list(Choice& c, const PromptToken& token, bool first) const {
    if (!shape_.logprobs) return;
    const std::string text = shape_.engine->text_of({token.id});
    c.tokens.push_back(text);
    c.offsets.push_back(c.offset);
    c.offset += text.size();
    c.logprobs.push_back(first ? Json(nullptr) : Json(token.logprob));
    Json best = Json::object();
    for (const TokenLogprob& b : token.best) best[shape_.engine->text_of({b.id})] = b.logprob;
    if (!best.contains(text)) best[text] = token.logprob;
    c.best.push_back(first ? Json(nullptr) : std::move(best));
  }

  Json choice(int job, const char* finish) const {
    const Choice& c = choices_[static_cast<std::size_t>(job)];
    Json j;
    j["text"] = c.text;
    j["index"] = job;
    j["logprobs"] = nullptr;
    if (shape_.logprobs) {
      j["logprobs"] = Json::object();
      j["logprobs"]["tokens"] = c.tokens;
      j["logprobs"]["token_logprobs"] = c.logprobs;
      j["logprobs"]["top_logprobs"] = c.best;
      j["logprobs"]["text_offset"] = c.offsets;
    }
    j["finish_reason"] = finish == nullptr ? Json(nullptr) : Json(finish);
    return j;
  }
  Json chunk(int job, const char* finish) {
    Json j = shape_.frame("text_completion");
    j["choices"] = Json::array({choice(job, finish)});
    Choice& c = choices_[static_cast<std::size_t>(job)];
    c.text.clear();
    c.tokens = c.logprobs = c.best = c.offsets = Json::array();
    return j;
  }

  std::vector<Echo> echoes_;
  std::vector<Choice> choices_;
  bool answers_;
};

}  // namespace

void openai_completions(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const Engine& engine = context.service->engine();
  Job job;
  Shape shape;
  shape.engine = &engine;
  shape.model = context.model;
  shape.id = new_id("cmpl-");
  const std::vector<Echo> prompts = read_prompts(in, "prompt", engine);
  in.text("model");
  read_sampling(in, engine, job.request.sampling);
  read_bias(in, engine, job.request.sampling);
  read_stop(in, "stop", job.request);
  const auto tokens = in.integer("max_tokens", 0, 1 << 30).value_or(16);
  job.request.max_tokens = static_cast<int>(std::max<std::int64_t>(tokens, 1));
  const std::size_t n = read_shape(in, error, shape);
  const auto best = in.integer("logprobs", 0, kMostLogprobs);
  const bool echo = in.flag("echo").value_or(false);
  if (tokens == 0 && !echo) in.must_be("max_tokens", "must be 1 or more, or with echo 0");
  if (in.any("suffix") != nullptr) in.must_be("suffix", "is not served");
  if (error) return refuse(*exchange, *error, openai_error);
  shape.logprobs = best.has_value();
  job.request.logprobs = best ? static_cast<int>(*best) : -1;
  job.request.prompt_logprobs = echo && best;
  std::vector<Job> jobs;
  std::vector<Echo> echoes;
  for (const Echo& p : prompts) {
    job.request.prompt = p.ids;
    for (Job& one : copies(job, n)) jobs.push_back(std::move(one));
    if (echo) echoes.insert(echoes.end(), n, p);
  }
  const std::size_t size = jobs.size();
  ask(context, std::move(jobs),
      std::make_shared<TextWriter>(exchange, std::move(shape), std::move(echoes), size,
                                   tokens > 0));
}

}  // namespace bezel::api
