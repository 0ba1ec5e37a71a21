#include "server/api/openai/parts.h"

#include <fmt/format.h>

#include <cmath>

namespace bezel::api {

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
