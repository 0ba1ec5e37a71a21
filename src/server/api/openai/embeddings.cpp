// Embeddings: the mean of the final hidden states over a text, at unit length. A chat model is no
// embedding model; texts that share words lie close, but nothing was trained for it.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "server/api/openai/openai.h"
#include "server/api/openai/parts.h"

namespace bezel::api {

namespace {

// As little-endian float32 bytes, which is how this machine has them.
std::string base64(const std::vector<float>& values) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    unsigned all = 0;
    for (std::size_t b = 0; b < 3; ++b) all = (all << 8U) | (b < n ? bytes[i + b] : 0U);
    for (std::size_t d = 0; d < 4; ++d)
      out += d <= n ? kDigits[(all >> (18U - 6U * d)) & 63U] : '=';
  }
  return out;
}

class EmbeddingWriter final : public Writer {
 public:
  EmbeddingWriter(ExchangePtr exchange, std::string model, std::size_t n, std::size_t dimensions,
                  bool as_base64)
      : Writer(std::move(exchange), openai_error),
        model_(std::move(model)),
        data_(n),
        dimensions_(dimensions),
        base64_(as_base64) {}

  bool event(int, const Event&) override { return true; }
  void done(int job, Reply reply) override {
    std::vector<float>& v = reply.done.embedding;
    v.resize(dimensions_);
    double squares = 0;
    for (const float x : v) squares += static_cast<double>(x) * static_cast<double>(x);
    if (squares > 0)
      for (float& x : v) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
    tokens_ += reply.done.prompt_tokens;
    Json& j = data_[static_cast<std::size_t>(job)];
    j["object"] = "embedding";
    j["index"] = job;
    j["embedding"] = base64_ ? Json(base64(v)) : Json(v);
  }
  void all_done() override {
    Json j;
    j["object"] = "list";
    j["data"] = std::move(data_);
    j["model"] = model_;
    j["usage"]["prompt_tokens"] = tokens_;
    j["usage"]["total_tokens"] = tokens_;
    respond(j);
  }
  std::string late_error(const std::string& body) const override { return body; }  // no stream

 private:
  std::string model_;
  std::vector<Json> data_;
  std::size_t dimensions_;
  bool base64_;
  int tokens_ = 0;
};

}  // namespace

void openai_embeddings(const Context& context, const Json& body, const ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const Engine& engine = context.service->engine();
  const std::vector<Echo> inputs = read_prompts(in, "input", engine);
  in.text("model");
  const std::string format = in.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64")
    in.must_be("encoding_format", "must be float or base64");
  const int width = engine.info().width;
  const auto dimensions = in.integer("dimensions", 1, width).value_or(width);
  const std::vector<TokenId> nothing = engine.raw_prompt("", true);
  for (const Echo& one : inputs)
    if (one.text.empty() && one.ids == nothing)
      in.must_be("input", "must not be or have an empty text");
  if (error) return refuse(*exchange, *error, openai_error);
  std::vector<Job> jobs(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    jobs[i].request.prompt = inputs[i].ids;
    jobs[i].request.embedding = true;
  }
  const std::size_t n = jobs.size();
  ask(context, std::move(jobs),
      std::make_shared<EmbeddingWriter>(exchange, context.model, n,
                                        static_cast<std::size_t>(dimensions), format == "base64"));
}

}  // namespace bezel::api
