// Reading a request's JSON: typed, with a range for every number. The first mistake is kept, named
// by its field; the rest of a decoder need not look.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "bezel/engine.h"

namespace bezel::api {

// The fields of one object. Absent and null fields are nothing.
class Fields {
 public:
  // `path`: of the object in the body, for errors; empty for the body itself.
  Fields(const Json& object, std::optional<Error>& error, std::string path = "");

  std::optional<double> number(const char* key, double lo, double hi);
  std::optional<std::int64_t> integer(const char* key, std::int64_t lo, std::int64_t hi);
  std::optional<bool> flag(const char* key);
  std::optional<std::string> text(const char* key);
  const Json* array(const char* key);   // or null
  const Json* object(const char* key);  // or null
  const Json* any(const char* key) const;

  // A mistake in field `key`, of which `what` says what it must be.
  void must_be(const char* key, const std::string& what);
  std::string path(const std::string& key) const;
  bool ok() const { return !error_; }

 private:
  const Json& json_;
  std::optional<Error>& error_;
  std::string path_;
};

// Everything that chat APIs have in common.
struct Call {
  std::vector<Turn> turns;
  Talk talk;
  Request request;
  bool stream = false;
};

// "tools": at most 256 objects, or null.
const Json* read_tool_list(Fields& in);
// "stop": a text or a list of at most 16.
void read_stop(Fields& in, const char* key, Request& request);
// max_tokens as `key`: 1 to 2^30.
void read_max_tokens(Fields& in, const char* key, Request& request);
// Fields of Sampling that most APIs name alike: temperature 0 to 100 (below 0.001 it is 0), top_k 0
// to 2^30 (-1: 0), top_p and min_p 0 to 1, seed 64 bits (absent: a random one).
void read_sampling(Fields& in, const Engine& engine, Sampling& sampling);
// A JSON Schema as the answer's form.
void read_schema(const Json& schema, Request& request);
// The text of a content: a string, null, or a list of parts of type "text". Other parts are a
// mistake.
std::string content_text(Fields& in, const char* key);

std::uint64_t random_number();
// "prefix" and 24 hexadecimal digits that no other request has.
std::string new_id(const char* prefix);
std::int64_t unix_time();
std::string iso_time(std::int64_t unix);  // "2026-01-31T12:00:00Z"
bool is_cut(DoneReason reason);           // by max_tokens or the context's end

}  // namespace bezel::api
