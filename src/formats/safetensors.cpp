// safetensors: length of the header (u64), header (JSON), data. Source of the rules: the format's
// published description; the tensors must cover the data without holes or overlap.
#include <fmt/format.h>

#include <algorithm>

#include "formats/place.h"
#include "formats/tensor_file.h"

namespace bezel {

namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit

std::optional<DType> dtype_named(std::string_view name) {
  for (const DType t : {DType::F32, DType::F16, DType::BF16, DType::I32, DType::U8}) {
    if (name == format(t).name) return t;
  }
  return std::nullopt;
}

// The field as a list of whole numbers >= 0, or nothing.
std::optional<std::vector<std::int64_t>> whole_numbers(const Json& entry, const char* field) {
  const auto at = entry.find(field);
  if (at == entry.end() || !at->is_array()) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const Json& v : *at) {
    if (!v.is_number_unsigned() || v.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
      return std::nullopt;
    }
    numbers.push_back(static_cast<std::int64_t>(v.get<std::uint64_t>()));
  }
  return numbers;
}

Result<Tensor> read_entry(const std::string& name, const Json& entry,
                          std::span<const std::byte> data) {
  Tensor t;
  t.name = name;
  if (!entry.is_object()) return Error{Errc::BadFile, "expected an object that describes it", ""};
  const auto type_text = json_get<std::string>(entry, "dtype", "");
  if (!type_text) return Error{Errc::BadFile, "dtype: " + type_text.error().what, ""};
  const std::string& type = *type_text;
  const auto known = dtype_named(type);
  if (!known) {
    return Error{
        Errc::Unsupported,
        fmt::format("type {} is not one Bezel reads from safetensors; use F32, F16 or BF16",
                    type.size() > 16 || !is_plain_name(type) ? "without a plain name" : type),
        ""};
  }
  t.type = *known;
  auto shape = whole_numbers(entry, "shape");
  const auto place = whole_numbers(entry, "data_offsets");
  if (!shape || !place || place->size() != 2) {
    return Error{Errc::BadFile, "expected a shape and two data_offsets, all whole numbers", ""};
  }
  if (shape->empty()) shape->push_back(1);
  t.shape = std::move(*shape);
  BEZEL_TRY(const std::uint64_t bytes, tensor_bytes(t.type, t.shape));
  const auto first = static_cast<std::uint64_t>((*place)[0]);
  const auto last = static_cast<std::uint64_t>((*place)[1]);
  if (first > last || last > data.size()) {
    return Error{Errc::BadFile,
                 fmt::format("expected its data within {} bytes, found {} to {}; the file is not "
                             "complete, download it again",
                             data.size(), first, last),
                 ""};
  }
  if (last - first != bytes) {
    return Error{Errc::BadFile,
                 fmt::format("expected {} bytes for {} {}, found {}", bytes, format(t.type).name,
                             t.shape_text(), last - first),
                 ""};
  }
  t.data = data.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(bytes));
  BEZEL_DO(check_alignment(t.type, t.data.data()));
  return t;
}

}  // namespace

Status parse_safetensors(std::span<const std::byte> bytes, const std::string& path,
                         TensorFile& into) {
  const auto bad = [&](std::string what) { return Error{Errc::BadFile, std::move(what), path}; };
  std::uint64_t n = 0;
  if (bytes.size() < sizeof n) return bad("not a safetensors file: it is shorter than 8 bytes");
  std::memcpy(&n, bytes.data(), sizeof n);
  bytes = bytes.subspan(sizeof n);
  if (n > kMaxHeader || n > bytes.size()) {
    return bad(
        fmt::format("not a safetensors file, or not a complete one: it says its header has {} "
                    "bytes",
                    n));
  }
  const auto length = static_cast<std::size_t>(n);
  JsonLimits limits;
  limits.max_bytes = length;
  limits.max_depth = 8;
  auto parsed = parse_json({reinterpret_cast<const char*>(bytes.data()), length}, path, limits);
  if (!parsed) return bad("the header is " + parsed.error().what);
  Json header = *std::move(parsed);
  const JsonGuard guard(header);
  if (!header.is_object()) return bad("expected a JSON object as the header");
  if (header.size() > kMaxTensors) return bad("the header lists too many tensors");
  const std::span<const std::byte> data = bytes.subspan(length);
  std::vector<Tensor> found;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    if (!is_plain_name(name))
      return bad("a tensor's name is empty, too long or has odd characters");
    auto tensor = read_entry(name, entry, data);
    if (!tensor) return about_tensor(tensor.error(), path, name);
    found.push_back(*std::move(tensor));
  }
  std::sort(found.begin(), found.end(),
            [](const Tensor& a, const Tensor& b) { return a.data.data() < b.data.data(); });
  const std::byte* end = data.data();
  for (const Tensor& t : found) {
    if (t.data.data() != end) {
      return about_tensor(bad("its data overlaps that of another tensor, or bytes before it belong "
                              "to none"),
                          path, t.name);
    }
    end += t.data.size();
  }
  if (end != data.data() + data.size()) return bad("the file has bytes that belong to no tensor");
  std::move(found.begin(), found.end(), std::back_inserter(into.tensors));
  return Ok{};
}

}  // namespace bezel
