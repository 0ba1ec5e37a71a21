// A number and any bytes as the body of a request to one of the APIs: it is taken, or refused with
// a sentence in that API's form. Nothing behind the decoders runs.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/api/anthropic.h"
#include "server/api/ollama.h"
#include "server/api/openai/openai.h"
#include "server/api/openai/store.h"

namespace {

using namespace bezel;

// An engine whose tokens are bytes.
class Bytes final : public Engine {
 public:
  Bytes() {
    info_.vocab = 258;
    info_.width = 8;
    info_.context = 4096;
  }
  const EngineInfo& info() const override { return info_; }
  Sampling default_sampling() const override { return {}; }
  std::vector<TokenId> raw_prompt(std::string_view text, bool) const override {
    std::vector<TokenId> ids = {2};
    for (const char c : text) ids.push_back(2 + static_cast<unsigned char>(c));
    return ids;
  }
  std::string text_of(const std::vector<TokenId>& ids) const override {
    return std::string(ids.size(), 'x');
  }
  Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns,
                                           const Talk&) const override {
    return std::vector<TokenId>(turns.size() + 1, 2);
  }
  Result<Done> generate(const Request&, const std::function<bool(const Event&)>&) override {
    return Error{Errc::Unsupported, "this engine only reads", ""};
  }
  Result<Reply> reply(const std::vector<Turn>&, const Talk&, const Request&,
                      const std::function<bool(const Event&)>&) override {
    return Error{Errc::Unsupported, "this engine only reads", ""};
  }

 private:
  EngineInfo info_;
};

class Nobody final : public Service {
 public:
  const Engine& engine() const override { return engine_; }
  Result<Ticket> submit(Job job) override {
    // What a decoder lets through is in range.
    const Sampling& s = job.request.sampling;
    const bool good = s.temperature >= 0 && s.temperature <= 100 && s.top_k >= 0 && s.top_p >= 0 &&
                      s.top_p <= 1 && job.request.max_tokens >= 0 &&
                      job.request.stop.size() <= 16 && job.request.logprobs <= 20;
    if (!good) std::abort();
    for (const TokenId id : job.request.prompt)
      if (id < 0 || id >= engine_.info().vocab) std::abort();
    return Error{Errc::Busy, "nobody answers", ""};
  }
  ServiceLoad load() const override { return {}; }
  Status stop() override { return Ok{}; }

 private:
  Bytes engine_;
};

class Heard final : public http::Exchange {
 public:
  void respond(int status, std::string_view, std::string body, std::string_view) override {
    ++answers;
    const auto json = parse_json(body, "the answer", {.max_depth = 600});
    if (!json || !json->is_object()) std::abort();
    const bool known = status == 200 || status == 400 || status == 503;
    if (!known || (status != 200 && !json->contains("error"))) std::abort();
  }
  void begin(int, std::string_view) override { std::abort(); }  // no answer ever begins
  bool write(std::string_view) override { return false; }
  void end() override {}
  void on_gone(std::function<void()>) override {}
  int answers = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Handler = void (*)(const api::Context&, const Json&, const api::ExchangePtr&);
  static constexpr Handler handlers[] = {api::openai_chat,        api::openai_completions,
                                         api::openai_responses,   api::openai_embeddings,
                                         api::anthropic_messages, api::anthropic_count,
                                         api::ollama_chat,        api::ollama_generate};
  static Nobody service;
  static const api::Context context = {&service, "fuzz", std::make_shared<api::ResponseStore>(),
                                       nullptr, false};
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto body = parse_json(text, "the body");
  if (!body) return 0;
  const JsonGuard guard(*body);
  const auto heard = std::make_shared<Heard>();
  handlers[(data[0] - '0') & 7U](context, *body, heard);
  if (heard->answers != 1) std::abort();
  return 0;
}
