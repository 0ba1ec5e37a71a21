#include "formats/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace bezel {

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || !valid_utf8(name)) return false;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

Result<std::uint64_t> tensor_bytes(DType type, const std::vector<std::int64_t>& shape) {
  if (shape.empty() || shape.size() > 4) {
    return Error{Errc::BadFile, fmt::format("expected 1 to 4 dimensions, found {}", shape.size()),
                 ""};
  }
  std::int64_t n = 1;
  for (const std::int64_t d : shape) {
    if (d < 1) {
      return Error{Errc::BadFile, fmt::format("expected dimensions of at least 1, found {}", d),
                   ""};
    }
    if (__builtin_mul_overflow(n, d, &n)) {
      return Error{Errc::BadFile, "the dimensions are too large to be real", ""};
    }
  }
  const Format& f = format(type);
  if (shape.back() % f.block_weights != 0) {
    return Error{Errc::BadFile,
                 fmt::format("expected rows of a multiple of {} values for {}, found {}",
                             f.block_weights, f.name, shape.back()),
                 ""};
  }
  std::int64_t bytes;
  if (__builtin_mul_overflow(n / f.block_weights, std::int64_t{f.block_bytes}, &bytes)) {
    return Error{Errc::BadFile, "the dimensions are too large to be real", ""};
  }
  return static_cast<std::uint64_t>(bytes);
}

Status check_alignment(DType type, const std::byte* data) {
  std::uintptr_t size = 2;
  if (type == DType::F32 || type == DType::I32) size = 4;
  if (type == DType::U8) size = 1;
  if (reinterpret_cast<std::uintptr_t>(data) % size == 0) return Ok{};
  return Error{Errc::BadFile,
               fmt::format("expected the data to start at a multiple of {} bytes; save the file "
                           "again with a current tool",
                           size),
               ""};
}

Status check_disjoint(const TensorFile& file) {
  std::vector<const Tensor*> order;
  order.reserve(file.tensors.size());
  for (const Tensor& t : file.tensors) order.push_back(&t);
  const auto clash = [&](const char* what, const Tensor& a, const Tensor& b) -> Status {
    return about_tensor({Errc::BadFile, fmt::format("{} tensor {}", what, a.name), ""}, file.path,
                        b.name);
  };
  std::sort(order.begin(), order.end(),
            [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->name == order[i]->name) {
      return clash("the file has this name twice, for", *order[i - 1], *order[i]);
    }
  }
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return std::less<>()(a->data.data(), b->data.data());
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i]->data.data() < order[i - 1]->data.data() + order[i - 1]->data.size()) {
      return clash("its data overlaps that of", *order[i - 1], *order[i]);
    }
  }
  return Ok{};
}

Error about_tensor(Error error, const std::string& path, std::string_view name) {
  error.where = fmt::format("{}: tensor {}", path, name);
  return error;
}

}  // namespace bezel
