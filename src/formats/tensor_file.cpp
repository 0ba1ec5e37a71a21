#include "formats/tensor_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>

#include "base/check.h"

namespace bezel {

std::int64_t Tensor::n_values() const {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

std::string Tensor::shape_text() const {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void TensorFile::index() {
  by_name_.clear();
  for (std::size_t i = 0; i < tensors.size(); ++i) by_name_.emplace(tensors[i].name, i);
}

const Tensor* TensorFile::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &tensors[at->second];
}

void TensorFile::let_go(std::span<const std::byte> data) const {
  for (const auto& map : maps) {
    const auto all = map->bytes();
    if (std::less_equal<>()(all.data(), data.data()) &&
        std::less<>()(data.data(), all.data() + all.size()))
      map->let_go(data);
  }
}

namespace {

const char* kind_of(const MetaValue& value) {
  if (std::holds_alternative<bool>(value)) return "true or false";
  if (std::holds_alternative<double>(value)) return "a fraction";
  if (std::holds_alternative<std::string_view>(value)) return "a text";
  if (std::holds_alternative<MetaArray>(value)) return "an array";
  return "a whole number";
}

Error wrong_kind(const std::string& path, std::string_view key, const char* expected,
                 const MetaValue& found) {
  return {Errc::BadFile,
          fmt::format("expected {} under the key {}, found {}", expected, key, kind_of(found)),
          path};
}

Error out_of_range(const std::string& path, std::string_view key, std::int64_t lo, std::int64_t hi,
                   std::string_view found) {
  return {Errc::BadFile,
          fmt::format("expected {} to {} under the key {}, found {}", lo, hi, key, found), path};
}

}  // namespace

Result<std::int64_t> TensorFile::meta_int(std::string_view key, std::int64_t fallback,
                                          std::int64_t lo, std::int64_t hi) const {
  const auto at = meta.find(key);
  if (at == meta.end()) return fallback;
  std::int64_t value;
  if (const auto* b = std::get_if<bool>(&at->second)) {
    value = *b ? 1 : 0;
  } else if (const auto* i = std::get_if<std::int64_t>(&at->second)) {
    value = *i;
  } else if (const auto* u = std::get_if<std::uint64_t>(&at->second)) {
    if (*u > static_cast<std::uint64_t>(INT64_MAX)) {
      return out_of_range(path, key, lo, hi, fmt::to_string(*u));
    }
    value = static_cast<std::int64_t>(*u);
  } else {
    return wrong_kind(path, key, "a whole number", at->second);
  }
  if (value < lo || value > hi) return out_of_range(path, key, lo, hi, fmt::to_string(value));
  return value;
}

Result<double> TensorFile::meta_float(std::string_view key, double fallback) const {
  const auto at = meta.find(key);
  if (at == meta.end()) return fallback;
  if (const auto* d = std::get_if<double>(&at->second)) return *d;
  if (const auto* i = std::get_if<std::int64_t>(&at->second)) return static_cast<double>(*i);
  if (const auto* u = std::get_if<std::uint64_t>(&at->second)) return static_cast<double>(*u);
  return wrong_kind(path, key, "a number", at->second);
}

Result<std::string> TensorFile::meta_text(std::string_view key, std::string fallback) const {
  const auto at = meta.find(key);
  if (at == meta.end()) return fallback;
  if (const auto* s = std::get_if<std::string_view>(&at->second)) return std::string(*s);
  return wrong_kind(path, key, "a text", at->second);
}

Result<std::vector<std::int64_t>> TensorFile::meta_ints(std::string_view key, std::size_t n,
                                                        std::int64_t fallback, std::int64_t lo,
                                                        std::int64_t hi) const {
  const auto at = meta.find(key);
  const auto* array = at == meta.end() ? nullptr : std::get_if<MetaArray>(&at->second);
  if (array == nullptr) {
    BEZEL_TRY(const std::int64_t value, meta_int(key, fallback, lo, hi));
    return std::vector<std::int64_t>(n, value);
  }
  BEZEL_TRY(std::vector<std::int64_t> values, meta_int_list(key, lo, hi));
  if (values.size() != n) {
    return Error{
        Errc::BadFile,
        fmt::format("expected {} numbers under the key {}, found {}", n, key, values.size()), path};
  }
  return values;
}

Result<std::vector<std::int64_t>> TensorFile::meta_int_list(std::string_view key, std::int64_t lo,
                                                            std::int64_t hi) const {
  const auto at = meta.find(key);
  if (at == meta.end()) return std::vector<std::int64_t>{};
  const auto* array = std::get_if<MetaArray>(&at->second);
  if (array == nullptr) return wrong_kind(path, key, "an array of whole numbers", at->second);
  const auto* values = std::get_if<std::vector<std::int64_t>>(array);
  if (values == nullptr) {
    return Error{
        Errc::BadFile,
        fmt::format("expected whole numbers in the array under the key {}, found others", key),
        path};
  }
  for (const std::int64_t v : *values) {
    if (v < lo || v > hi) return out_of_range(path, key, lo, hi, fmt::to_string(v));
  }
  return *values;
}

}  // namespace bezel
