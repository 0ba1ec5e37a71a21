#include "server/api/fields.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <random>
#include <utility>

namespace bezel::api {

namespace {
constexpr std::int64_t kMostTokens = 1 << 30;
constexpr std::size_t kMostStops = 16, kLongestStop = 4096, kMostTools = 256;
}  // namespace

Fields::Fields(const Json& object, std::optional<Error>& error, std::string path)
    : json_(object), error_(error), path_(std::move(path)) {
  if (!object.is_object() && !error_)
    error_ = Error{Errc::BadInput, "this must be an object", path_};
}

std::string Fields::path(const std::string& key) const {
  return path_.empty() ? key : fmt::format("{}.{}", path_, key);
}

void Fields::must_be(const char* key, const std::string& what) {
  if (!error_) error_ = Error{Errc::BadInput, what, path(key)};
}

const Json* Fields::any(const char* key) const {
  if (!json_.is_object()) return nullptr;
  const auto at = json_.find(key);
  return at == json_.end() || at->is_null() ? nullptr : &*at;
}

std::optional<double> Fields::number(const char* key, double lo, double hi) {
  const Json* v = any(key);
  if (v == nullptr) return std::nullopt;
  const double x = v->is_number() ? v->get<double>() : NAN;
  if (x >= lo && x <= hi) return x;
  must_be(key, fmt::format("must be a number from {} to {}", lo, hi));
  return std::nullopt;
}

std::optional<std::int64_t> Fields::integer(const char* key, std::int64_t lo, std::int64_t hi) {
  const Json* v = any(key);
  if (v == nullptr) return std::nullopt;
  bool good = v->is_number_integer();
  if (v->is_number_unsigned()) good = v->get<std::uint64_t>() <= static_cast<std::uint64_t>(hi);
  if (good && v->get<std::int64_t>() >= lo && v->get<std::int64_t>() <= hi)
    return v->get<std::int64_t>();
  must_be(key, fmt::format("must be a whole number from {} to {}", lo, hi));
  return std::nullopt;
}

std::optional<bool> Fields::flag(const char* key) {
  const Json* v = any(key);
  if (v == nullptr) return std::nullopt;
  if (v->is_boolean()) return v->get<bool>();
  must_be(key, "must be true or false");
  return std::nullopt;
}

std::optional<std::string> Fields::text(const char* key) {
  const Json* v = any(key);
  if (v == nullptr) return std::nullopt;
  if (v->is_string()) return v->get<std::string>();
  must_be(key, "must be a text");
  return std::nullopt;
}

const Json* Fields::array(const char* key) {
  const Json* v = any(key);
  if (v == nullptr || v->is_array()) return v;
  must_be(key, "must be a list");
  return nullptr;
}

const Json* Fields::object(const char* key) {
  const Json* v = any(key);
  if (v == nullptr || v->is_object()) return v;
  must_be(key, "must be an object");
  return nullptr;
}

const Json* read_tool_list(Fields& in) {
  const Json* tools = in.array("tools");
  if (tools == nullptr || tools->size() <= kMostTools) return tools;
  in.must_be("tools", fmt::format("has more than {} tools", kMostTools));
  return nullptr;
}

void read_stop(Fields& in, const char* key, Request& request) {
  const Json* stop = in.any(key);
  if (stop == nullptr) return;
  const auto add = [&](const Json& one) {
    if (!one.is_string() || one.get_ref<const std::string&>().empty() ||
        one.get_ref<const std::string&>().size() > kLongestStop)
      return in.must_be(key, fmt::format("stop texts have 1 to {} bytes", kLongestStop));
    request.stop.push_back(one.get<std::string>());
  };
  if (stop->is_string()) return stop->get_ref<const std::string&>().empty() ? void() : add(*stop);
  if (!stop->is_array() || stop->size() > kMostStops)
    return in.must_be(key, fmt::format("must be a text or a list of at most {}", kMostStops));
  for (const Json& one : *stop) add(one);
}

void read_max_tokens(Fields& in, const char* key, Request& request) {
  if (const auto n = in.integer(key, 1, kMostTokens)) request.max_tokens = static_cast<int>(*n);
}

void read_sampling(Fields& in, const Engine& engine, Sampling& s) {
  s = engine.default_sampling();
  if (const auto x = in.number("temperature", 0, 100))
    s.temperature = *x < 0.001 ? 0.0F : static_cast<float>(*x);
  if (const auto x = in.integer("top_k", -1, kMostTokens))
    s.top_k = static_cast<int>(*x < 0 ? 0 : *x);
  if (const auto x = in.number("top_p", 0, 1)) s.top_p = static_cast<float>(*x);
  if (const auto x = in.number("min_p", 0, 1)) s.min_p = static_cast<float>(*x);
  if (const auto x = in.number("presence_penalty", -100, 100))
    s.presence_penalty = static_cast<float>(*x);
  if (const auto x = in.number("frequency_penalty", -100, 100))
    s.frequency_penalty = static_cast<float>(*x);
  for (const char* key : {"repetition_penalty", "repeat_penalty"})
    if (const auto x = in.number(key, 0.01, 100)) s.repetition_penalty = static_cast<float>(*x);
  const auto seed = in.integer("seed", INT64_MIN, INT64_MAX);
  s.seed = seed ? static_cast<std::uint64_t>(*seed) : random_number();
}

void read_schema(const Json& schema, Request& request) {
  request.constraint = {Constraint::Kind::JsonSchema, dump_json(schema), {}};
}

std::string content_text(Fields& in, const char* key) {
  const Json* content = in.any(key);
  if (content == nullptr) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    in.must_be(key, "must be a text or a list of parts");
    return "";
  }
  std::string all;
  for (const Json& part : *content) {
    const bool text = part.is_object() && part.contains("text") && part["text"].is_string() &&
                      (!part.contains("type") || part["type"] == "text" ||
                       part["type"] == "input_text" || part["type"] == "output_text");
    if (text)
      all += part["text"].get_ref<const std::string&>();
    else
      in.must_be(key, "has a part that is no text; this model is served for text only");
  }
  return all;
}

std::uint64_t random_number() {
  thread_local std::mt19937_64 numbers{std::random_device{}()};
  return numbers();
}

std::string new_id(const char* prefix) {
  static std::atomic<std::uint32_t> next{0};
  return fmt::format("{}{:016x}{:08x}", prefix, random_number(), next++);
}

std::int64_t unix_time() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

std::string iso_time(std::int64_t unix) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix)));
}

bool is_cut(DoneReason reason) {
  return reason == DoneReason::MaxTokens || reason == DoneReason::ContextFull;
}

}  // namespace bezel::api
