// Writes GGUF files byte by byte, right ones and wrong ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor_file.h"

namespace bezel {

// Bytes that grow at the end.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    const auto* p = reinterpret_cast<const char*>(&value);
    data_.append(p, sizeof value);
    return *this;
  }
  Bytes& text(std::string_view s) {  // with its length in front
    put<std::uint64_t>(s.size());
    data_ += s;
    return *this;
  }
  Bytes& raw(std::string_view s) {
    data_ += s;
    return *this;
  }
  Bytes& pad(std::size_t alignment, std::size_t phase = 0) {
    while ((data_.size() + phase) % alignment != 0) data_ += '\0';
    return *this;
  }
  const std::string& str() const { return data_; }

 private:
  std::string data_;
};

// One file. Counts are those of what was added, unless overridden.
struct GgufBuilder {
  std::uint32_t version = 3;
  std::uint64_t n_keys = 0, n_tensors = 0;
  Bytes keys, tensors, data;
  std::size_t alignment = 32;

  // Types as numbers: 4 U32, 5 I32, 6 F32, 7 bool, 8 text, 9 array, 10 U64.
  template <class T>
  GgufBuilder& key(std::string_view name, std::uint32_t type, T value) {
    keys.text(name).put(type).put(value);
    ++n_keys;
    return *this;
  }
  GgufBuilder& key_text(std::string_view name, std::string_view value) {
    keys.text(name).put<std::uint32_t>(8).text(value);
    ++n_keys;
    return *this;
  }
  // The head of an array; the caller appends the elements to `keys`.
  GgufBuilder& key_array(std::string_view name, std::uint32_t type, std::uint64_t n) {
    keys.text(name).put<std::uint32_t>(9).put(type).put(n);
    ++n_keys;
    return *this;
  }
  // A tensor's description alone.
  GgufBuilder& describe(std::string_view name, const std::vector<std::uint64_t>& ne,
                        std::uint32_t type, std::uint64_t offset) {
    tensors.text(name).put(static_cast<std::uint32_t>(ne.size()));
    for (const std::uint64_t n : ne) tensors.put(n);
    tensors.put(type).put(offset);
    ++n_tensors;
    return *this;
  }
  // A good F32 tensor with the values 0, 1, 2, ...
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& ne) {
    describe(name, ne, 0, data.str().size());
    std::uint64_t n = 1;
    for (const std::uint64_t d : ne) n *= d;
    for (std::uint64_t i = 0; i < n; ++i) data.put(static_cast<float>(i));
    data.pad(alignment);
    return *this;
  }
  std::string build() const {
    Bytes file;
    file.raw("GGUF").put(version).put(n_tensors).put(n_keys).raw(keys.str()).raw(tensors.str());
    file.pad(alignment).raw(data.str());
    return file.str();
  }
};

// Bytes at an address that is a multiple of 64, exactly as long as they are, so that a sanitizer
// sees any read past them.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::string_view s)
      : size_(s.size()), data_(static_cast<std::byte*>(::operator new[](s.size(), kAlign))) {
    if (!s.empty()) std::memcpy(data_, s.data(), s.size());
  }
  ~AlignedBytes() { ::operator delete[](data_, kAlign); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  std::span<const std::byte> span() const { return {data_, size_}; }

 private:
  static constexpr std::align_val_t kAlign{64};
  std::size_t size_;
  std::byte* data_;
};

// Reads every byte and name that a parsed file points to; the sum keeps the reads alive.
inline std::uint64_t touch(const TensorFile& file) {
  std::uint64_t sum = 0;
  for (const Tensor& t : file.tensors) {
    sum += t.name.size() + static_cast<std::uint64_t>(t.n_values()) + t.shape_text().size();
    for (const std::byte b : t.data) sum += static_cast<std::uint64_t>(b);
  }
  for (const auto& [key, value] : file.meta) {
    if (const auto* s = std::get_if<std::string_view>(&value)) {
      for (const char c : *s) sum += static_cast<unsigned char>(c);
    }
    const auto* array = std::get_if<MetaArray>(&value);
    const auto* texts = array ? std::get_if<std::vector<std::string_view>>(array) : nullptr;
    if (texts == nullptr) continue;
    for (const std::string_view s : *texts) {
      for (const char c : s) sum += static_cast<unsigned char>(c);
    }
  }
  return sum;
}

}  // namespace bezel
