#include "base/huge.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdint>
#include <utility>

namespace bezel {

namespace {
constexpr std::size_t kHugePage = 2U << 20U;
}

Result<HugeBuffer> HugeBuffer::take(std::size_t size_bytes) {
  HugeBuffer buffer;
  if (size_bytes == 0) return buffer;
  const Error refused{Errc::NoMemory, fmt::format("the system gives no {} bytes", size_bytes), ""};
  if (size_bytes > SIZE_MAX - kHugePage) return refused;
  void* p = ::mmap(nullptr, size_bytes + kHugePage, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return refused;
  buffer.base_ = static_cast<std::byte*>(p);
  buffer.mapped_ = size_bytes + kHugePage;
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  buffer.data_ = buffer.base_ + ((at + kHugePage - 1) / kHugePage * kHugePage - at);
  buffer.size_ = size_bytes;
#ifdef MADV_HUGEPAGE
  (void)::madvise(buffer.data_, size_bytes, MADV_HUGEPAGE);  // small pages do as well
#endif
  return buffer;
}

HugeBuffer::~HugeBuffer() {
  if (mapped_ > 0) ::munmap(base_, mapped_);
}

HugeBuffer::HugeBuffer(HugeBuffer&& other) noexcept {
  *this = std::move(other);
}

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(mapped_, other.mapped_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace bezel
