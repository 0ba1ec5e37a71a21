// Pages of keys and values: who may write where in them, and the memory they lie in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "bezel/result.h"

namespace bezel {

// Memory of all pages of a cache, never more than `limit` bytes. Pages that went are kept for the
// next of their size. Engine thread only.
class KvPool {
 public:
  explicit KvPool(std::uint64_t limit) : limit_(limit) {}
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // Finite numbers, 64-byte aligned. NoMemory: the limit or the machine does not allow it.
  Result<std::byte*> take(std::size_t bytes);
  void give_back(std::byte* page, std::size_t bytes) noexcept;

  std::uint64_t limit() const { return limit_; }
  std::uint64_t used() const { return used_; }  // bytes of living pages

 private:
  struct Spare {  // in the page itself
    Spare* next;
    std::size_t bytes;
  };
  void free_spares();
  std::uint64_t limit_, used_ = 0, spare_ = 0;
  Spare* spares_ = nullptr;
};

// 256 positions of some layers. Sequences and checkpoints share a page; its memory goes with the
// last of them. One sequence at most may write into it, behind what others rely on.
struct KvPage {
  static constexpr int kNobody = -1;

  KvPage(std::shared_ptr<KvPool> memory, std::byte* page, std::size_t size)
      : pool(std::move(memory)), bytes(page), n_bytes(size) {}
  ~KvPage() { pool->give_back(bytes, n_bytes); }
  KvPage(const KvPage&) = delete;
  KvPage& operator=(const KvPage&) = delete;

  std::shared_ptr<KvPool> pool;
  std::byte* bytes;
  std::size_t n_bytes;
  int frozen = 0;  // the first so many positions stay as they are
  int writer = kNobody;
};
using KvPagePtr = std::shared_ptr<KvPage>;

}  // namespace bezel
