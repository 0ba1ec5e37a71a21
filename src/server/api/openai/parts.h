// What OpenAI's APIs share.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "server/api/ask.h"
#include "server/api/fields.h"
#include "server/api/openai/openai.h"

namespace bezel::api {

constexpr std::int64_t kMostLogprobs = 20;

struct Shape {  // of the answer
  std::string id, model;
  std::int64_t created = unix_time();
  bool stream = false, usage = false, logprobs = false;
  const Engine* engine = nullptr;

  Json frame(const char* object) const;
};

struct Usage {
  int prompt = 0, reused = 0, answer = 0;
  Json json() const;
  void add(const Done& done);
};

std::string sse(const Json& json);

// What the two writers share: the frame, the count, and how a stream ends.
class OpenAiWriter : public Writer {
 public:
  OpenAiWriter(ExchangePtr exchange, Shape shape)
      : Writer(std::move(exchange), openai_error), shape_(std::move(shape)) {}
  std::string late_error(const std::string& body) const override;

 protected:
  // The usage, if asked for, in a chunk of kind `object`, and the stream's last line.
  void end_stream(const char* object);

  Shape shape_;
  Usage usage_;
};

// An entry of the log-probabilities of a chat or a response.
Json logprob_json(const Engine& engine, const TextPiece& piece);

struct Echo {  // of one prompt
  std::string text;
  std::vector<TokenId> ids;  // whole
  bool bos_is_ours = false;  // the client did not send the first id
};
// Field `key`: a text, a list of ids, or a list of 1 to 64 of these. Empty after a mistake.
std::vector<Echo> read_prompts(Fields& in, const char* key, const Engine& engine);

// logit_bias: ids to numbers from -100, which bans, to 100.
void read_bias(Fields& in, const Engine& engine, Sampling& sampling);
// An answer's form, of type text, json_object or json_schema. `schema`: what its field `key` holds,
// or null.
void read_form(Fields& form, const Json* schema, const char* key, Request& request);
// stream and stream_options; gives n.
std::size_t read_shape(Fields& in, std::optional<Error>& error, Shape& shape);
// The job n times, each with a seed of its own.
std::vector<Job> copies(const Job& job, std::size_t n);

}  // namespace bezel::api
