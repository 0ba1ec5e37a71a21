// Memory in large pages where the system has them: fewer address look-ups for long streams.
#pragma once
#include <cstddef>

#include "bezel/result.h"

namespace bezel {

class HugeBuffer {
 public:
  HugeBuffer() = default;
  // Zeroed bytes, 64-byte aligned; taken from the system page by page as they are written. NoMemory
  // when the system refuses.
  static Result<HugeBuffer> take(std::size_t size_bytes);
  ~HugeBuffer();
  HugeBuffer(HugeBuffer&& other) noexcept;
  HugeBuffer& operator=(HugeBuffer&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* base_ = nullptr;  // as mapped
  std::size_t mapped_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace bezel
