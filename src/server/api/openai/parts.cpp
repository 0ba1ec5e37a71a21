#include "server/api/openai/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bezel::api {

namespace {

constexpr std::size_t kMostPrompts = 64;

Json token_json(const Engine& engine, TokenId id, float logprob) {
  const std::string text = engine.text_of({id});
  Json j;
  j["token"] = text;
  j["logprob"] = std::max(logprob, -9999.0F);
  j["bytes"] = Json::array();
  for (const char c : text) j["bytes"].push_back(static_cast<unsigned char>(c));
  return j;
}

Echo prompt_of(const Engine& engine, const Json& json) {
  Echo e;
  if (json.is_string()) {
    e.text = json.get<std::string>();
    e.ids = engine.raw_prompt(e.text, true);
    e.bos_is_ours = e.text.rfind("<bos>", 0) != 0 && e.ids.size() > 1;
    return e;
  }
  for (const Json& id : json) e.ids.push_back(id.get<TokenId>());
  const std::vector<TokenId> start = engine.raw_prompt("", false);  // bos, where there is one
  e.text = engine.text_of(e.ids);
  e.bos_is_ours = !start.empty() && e.ids.front() != start.front();
  if (e.bos_is_ours) e.ids.insert(e.ids.begin(), start.front());
  return e;
}

}  // namespace

Json Shape::frame(const char* object) const {
  Json j;
  j["id"] = id;
  j["object"] = object;
  j["created"] = created;
  j["model"] = model;
  return j;
}

Json Usage::json() const {
  Json j;
  j["prompt_tokens"] = prompt;
  j["completion_tokens"] = answer;
  j["total_tokens"] = prompt + answer;
  j["prompt_tokens_details"]["cached_tokens"] = reused;
  return j;
}

void Usage::add(const Done& d) {
  prompt += d.prompt_tokens;
  reused += d.reused_tokens;
  answer += static_cast<int>(d.ids.size());
}

std::string sse(const Json& json) {
  return "data: " + dump_json(json) + "\n\n";
}

std::string OpenAiWriter::late_error(const std::string& body) const {
  return "data: " + body + "\n\ndata: [DONE]\n\n";
}

void OpenAiWriter::end_stream(const char* object) {
  if (shape_.usage) {
    Json last = shape_.frame(object);
    last["choices"] = Json::array();
    last["usage"] = usage_.json();
    write(sse(last));
  }
  write("data: [DONE]\n\n");
  end();
}

Json logprob_json(const Engine& engine, const TextPiece& piece) {
  Json j = token_json(engine, piece.id, piece.logprob);
  j["top_logprobs"] = Json::array();
  for (const TokenLogprob& b : piece.best)
    j["top_logprobs"].push_back(token_json(engine, b.id, b.logprob));
  return j;
}

std::vector<Echo> read_prompts(Fields& in, const char* key, const Engine& engine) {
  std::vector<Echo> out;
  const Json* prompt = in.any(key);
  const auto is_id = [&](const Json& j) {
    return j.is_number_integer() && j >= 0 && j < engine.info().vocab;
  };
  const auto is_ids = [&](const Json& j) {
    return j.is_array() && !j.empty() && std::all_of(j.begin(), j.end(), is_id);
  };
  if (prompt != nullptr && (prompt->is_string() || is_ids(*prompt))) {
    out.push_back(prompt_of(engine, *prompt));
    return out;
  }
  if (prompt == nullptr || !prompt->is_array() || prompt->empty() ||
      prompt->size() > kMostPrompts) {
    in.must_be(key, fmt::format("must be a text, a list of ids, or a list of 1 to {} of these",
                                kMostPrompts));
    return out;
  }
  for (const Json& one : *prompt) {
    if (!one.is_string() && !is_ids(one)) {
      in.must_be(key, fmt::format("has an entry that is neither a text nor a list of ids "
                                  "below {}",
                                  engine.info().vocab));
      return out;
    }
    out.push_back(prompt_of(engine, one));
  }
  return out;
}

void read_bias(Fields& in, const Engine& engine, Sampling& sampling) {
  const Json* bias = in.object("logit_bias");
  if (bias == nullptr) return;
  for (const auto& [key, value] : bias->items()) {
    const bool digits =
        !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string::npos;
    const int id = digits ? std::stoi(key) : -1;
    const double x = value.is_number() ? value.get<double>() : 1e9;
    if (id < 0 || id >= engine.info().vocab || !(x >= -100 && x <= 100))
      return in.must_be("logit_bias",
                        fmt::format("must map ids from 0 to {} to numbers from -100 to 100",
                                    engine.info().vocab - 1));
    sampling.bias.emplace_back(id, x <= -100 ? -INFINITY : static_cast<float>(x));
  }
}

void read_form(Fields& form, const Json* schema, const char* key, Request& request) {
  const std::string type = form.text("type").value_or("");
  if (type == "json_object") {
    request.constraint.kind = Constraint::Kind::JsonObject;
  } else if (type == "json_schema") {
    if (schema == nullptr || !(schema->is_object() || schema->is_boolean()))
      return form.must_be(key, "must be a JSON Schema");
    read_schema(*schema, request);
  } else if (type != "text") {
    form.must_be("type", "must be text, json_object or json_schema");
  }
}

std::size_t read_shape(Fields& in, std::optional<Error>& error, Shape& shape) {
  shape.stream = in.flag("stream").value_or(false);
  if (const Json* options = in.object("stream_options")) {
    Fields o(*options, error, "stream_options");
    shape.usage = o.flag("include_usage").value_or(false);
  }
  return static_cast<std::size_t>(in.integer("n", 1, 16).value_or(1));
}

std::vector<Job> copies(const Job& job, std::size_t n) {
  std::vector<Job> jobs(n, job);
  for (std::size_t i = 1; i < n; ++i) jobs[i].request.sampling.seed += i;
  return jobs;
}

}  // namespace bezel::api
