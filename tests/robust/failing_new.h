// Replaces operator new of the whole program, so that the n-th allocation fails. For one source
// file of a program.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> countdown{-1};   // fails when it reaches 0; negative: never
thread_local bool spared = false;  // this thread's allocations neither fail nor count
std::atomic<long> burst{1};        // so many allocations fail, one after another
std::atomic<long> burst_left{0};
std::atomic<long> alive{0};

// Whether the allocation that is tried now fails.
bool fails() {
  if (spared) return false;
  if (burst_left.load() > 0 && burst_left.fetch_sub(1) > 0) return true;
  if (countdown.load() < 0 || countdown.fetch_sub(1) != 0) return false;
  burst_left.store(burst - 1);
  return true;
}

// As the standard has it: while it fails, the new-handler is asked.
void* allocate(std::size_t n, std::size_t align, bool may_throw) {
  while (true) {
    void* p = fails() ? nullptr : std::aligned_alloc(align, (n + align - 1) / align * align);
    if (p != nullptr) {
      alive.fetch_add(1);
      return p;
    }
    const std::new_handler ask = std::get_new_handler();
    if (ask == nullptr && may_throw) throw std::bad_alloc();
    if (ask == nullptr) return nullptr;
    try {
      ask();
    } catch (const std::bad_alloc&) {
      if (may_throw) throw;
      return nullptr;
    }
  }
}
void release(void* p) {
  if (p == nullptr) return;
  alive.fetch_sub(1);
  std::free(p);
}
constexpr std::size_t kAlign = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t n) {
  return allocate(n, kAlign, true);
}
void* operator new[](std::size_t n) {
  return allocate(n, kAlign, true);
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, kAlign, false);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, kAlign, false);
}
void* operator new(std::size_t n, std::align_val_t a) {
  return allocate(n, static_cast<std::size_t>(a), true);
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return allocate(n, static_cast<std::size_t>(a), true);
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<std::size_t>(a), false);
}
void operator delete(void* p) noexcept {
  release(p);
}
void operator delete[](void* p) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t) noexcept {
  release(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  release(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  release(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  release(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  release(p);
}
