#include "model/kv_pages.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

namespace bezel {

namespace {

constexpr std::align_val_t kAlign{64};

}  // namespace

KvPool::~KvPool() {
  free_spares();
}

Result<std::byte*> KvPool::take(std::size_t bytes) {
  for (Spare** at = &spares_; *at != nullptr; at = &(*at)->next) {
    if ((*at)->bytes != bytes) continue;
    Spare* found = *at;
    *at = found->next;
    auto* page = reinterpret_cast<std::byte*>(found);
    std::memset(page, 0, sizeof(Spare));
    spare_ -= bytes;
    used_ += bytes;
    return page;
  }
  if (used_ + spare_ + bytes > limit_) free_spares();  // they have another size
  if (used_ + bytes > limit_)
    return Error{Errc::NoMemory,
                 fmt::format("keys and values have {} of their {} bytes left and need {} more; "
                             "raise --cache-memory",
                             limit_ - used_, limit_, bytes),
                 ""};
  auto* page = static_cast<std::byte*>(::operator new[](bytes, kAlign, std::nothrow));
  if (page == nullptr)
    return Error{Errc::NoMemory, fmt::format("no memory for {} more bytes of K/V cache", bytes),
                 ""};
  std::memset(page, 0, bytes);
  used_ += bytes;
  return page;
}

void KvPool::give_back(std::byte* page, std::size_t bytes) noexcept {
  spares_ = new (page) Spare{spares_, bytes};
  used_ -= bytes;
  spare_ += bytes;
}

void KvPool::free_spares() {
  while (spares_ != nullptr) {
    Spare* next = spares_->next;
    ::operator delete[](reinterpret_cast<std::byte*>(spares_), kAlign);
    spares_ = next;
  }
  spare_ = 0;
}

}  // namespace bezel
