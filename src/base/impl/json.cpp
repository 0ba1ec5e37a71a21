#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

namespace bezel {

namespace {

// Builds a value from the parser's events. It replaces the library's own builder for three reasons:
// depth and number of values are limited while parsing, and an object of n keys takes n steps, not
// n * n (ordered_json finds a key by comparing with every earlier one).
class Builder {
 public:
  Builder(JsonLimits limits, std::string_view text, const std::string& where)
      : limits_(limits), text_(text), where_(where) {}

  ~Builder() { JsonGuard::empty(root); }

  Json root;
  Error error{Errc::BadInput, "", ""};

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Level& level = stack_.back();
    auto& object = level.value->get_ref<Json::object_t&>();
    constexpr std::size_t kIndexFrom = 16;  // below, comparing is faster than hashing
    if (object.size() == object.capacity()) grow(object);
    if (object.size() < kIndexFrom) {
      slot_ = &object[name];
      return true;
    }
    if (level.index.empty()) {
      for (std::size_t i = 0; i < object.size(); ++i)
        level.index.emplace(object.begin()[static_cast<std::ptrdiff_t>(i)].first, i);
    }
    const auto [at, is_new] = level.index.try_emplace(name, object.size());
    if (is_new) object.emplace_back(std::move(name), nullptr);
    slot_ = &object.begin()[static_cast<std::ptrdiff_t>(at->second)].second;
    return true;
  }

  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& exception) {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i + 1 < position && i < text_.size(); ++i) {
      ++column;
      if (text_[i] == '\n') ++line, column = 1;
    }
    const bool range = exception.id == 406;  // the library's number for "number overflow"
    error = {Errc::BadInput,
             fmt::format("{} at line {}, column {}",
                         range ? "a number is too large" : "not valid JSON", line, column),
             where_};
    return false;
  }

 private:
  struct Level {
    Json* value;
    std::unordered_map<std::string, std::size_t> index;  // of keys, once there are many
  };

  // Room for more keys. The library's own growth copies all values, because keys are constant, and
  // would end the program where memory runs out half-way: values that are copies are destroyed.
  static void grow(Json::object_t& object) {
    Json bigger = Json::object();
    const JsonGuard guard(bigger);
    auto& to = bigger.get_ref<Json::object_t&>();
    to.reserve(std::max<std::size_t>(4, 2 * object.size()));
    for (auto& [name, value] : object) to.emplace_back(name, nullptr);
    for (std::size_t i = 0; i < object.size(); ++i) {
      const auto at = static_cast<std::ptrdiff_t>(i);
      to.begin()[at].second = std::move(object.begin()[at].second);
    }
    object.swap(to);
  }

  bool fail(std::string what) {
    error = {Errc::TooLarge, std::move(what), where_};
    return false;
  }

  // Puts a value where it belongs: the root, the end of the open array, or the last key.
  bool add(Json value) { return place(std::move(value)) != nullptr; }
  Json* place(Json value) {
    if (++n_values_ > limits_.max_values) {
      fail(fmt::format("expected at most {} values in the JSON, found more", limits_.max_values));
      return nullptr;
    }
    if (stack_.empty()) return &(root = std::move(value));
    if (!stack_.back().value->is_array()) return &(*slot_ = std::move(value));
    auto& array = stack_.back().value->get_ref<Json::array_t&>();
    return &array.emplace_back(std::move(value));
  }
  bool open(Json value) {
    if (stack_.size() >= limits_.max_depth) {
      return fail(fmt::format("expected at most {} levels of nesting in the JSON, found more",
                              limits_.max_depth));
    }
    Json* at = place(std::move(value));
    if (at != nullptr) stack_.push_back({at, {}});
    return at != nullptr;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  JsonLimits limits_;
  std::string_view text_;
  const std::string& where_;
  std::vector<Level> stack_;
  Json* slot_ = nullptr;  // where the value of the last key goes
  std::size_t n_values_ = 0;
};

template <class T>
constexpr const char* kTypeName = "";
template <>
constexpr const char* kTypeName<bool> = "true or false";
template <>
constexpr const char* kTypeName<std::int64_t> = "a whole number";
template <>
constexpr const char* kTypeName<double> = "a number";
template <>
constexpr const char* kTypeName<std::string> = "a text";

bool convert(const Json& value, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}

bool convert(const Json& value, std::int64_t& out) {
  if (value.is_number_unsigned()) {
    const auto u = value.get<std::uint64_t>();
    out = static_cast<std::int64_t>(u);
    return u <= static_cast<std::uint64_t>(INT64_MAX);
  }
  if (value.is_number_float()) {  // 4.0 is a whole number too, as far as doubles count exactly
    const auto d = value.get<double>();
    if (!(std::fabs(d) <= 9007199254740992.0) || d != std::floor(d)) return false;
    out = static_cast<std::int64_t>(d);
    return true;
  }
  if (!value.is_number_integer()) return false;
  out = value.get<std::int64_t>();
  return true;
}

bool convert(const Json& value, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return true;
}

bool convert(const Json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get_ref<const std::string&>();
  return true;
}

// A short rendering of a value for an error message, cut before it gets long.
std::string shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = dump_json(value);
  if (text.size() <= 40) return text;
  return value.is_string() ? "a long text" : "a long number";
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& where, JsonLimits limits) {
  if (text.size() > limits.max_bytes) {
    return Error{
        Errc::TooLarge,
        fmt::format("expected at most {} bytes of JSON, found {}", limits.max_bytes, text.size()),
        where};
  }
  Builder builder(limits, text, where);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.error);
  return std::move(builder.root);
}

// Recursion is bounded by the depth that the parser allows.
void JsonGuard::empty(Json& value) noexcept {
  if (value.is_array()) {
    for (Json& child : value.get_ref<Json::array_t&>()) empty(child);
    value.get_ref<Json::array_t&>().clear();
  } else if (value.is_object()) {
    for (auto& [name, child] : value.get_ref<Json::object_t&>()) empty(child);
    value.get_ref<Json::object_t&>().clear();
  }
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
Result<T> json_get(const Json& object, const char* key, T fallback) {
  if (object.is_null()) return fallback;
  if (!object.is_object()) {
    return Error{Errc::BadInput, fmt::format("expected an object, found {}", shown(object)), key};
  }
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return fallback;
  T value{};
  if (convert(*at, value)) return value;
  return Error{Errc::BadInput, fmt::format("expected {}, found {}", kTypeName<T>, shown(*at)), key};
}

template Result<bool> json_get<bool>(const Json&, const char*, bool);
template Result<std::int64_t> json_get<std::int64_t>(const Json&, const char*, std::int64_t);
template Result<double> json_get<double>(const Json&, const char*, double);
template Result<std::string> json_get<std::string>(const Json&, const char*, std::string);

}  // namespace bezel
