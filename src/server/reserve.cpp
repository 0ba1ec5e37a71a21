#include "server/reserve.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

namespace bezel {

namespace {

constexpr std::size_t kBlockBytes = std::size_t{256} << 10U;
// Of a millisecond each, for memory of others, since a block was last to be had.
constexpr int kMostWaits = 1000;

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::array<std::atomic<void*>, 16> blocks{};
thread_local int may_fail = 0, waits = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

// What operator new calls when it finds no memory; it tries again when this returns.
void give() {
  if (may_fail > 0) throw std::bad_alloc();
  for (auto& block : blocks)
    if (void* p = block.exchange(nullptr); p != nullptr) {
      std::free(p);
      waits = 0;
      return;
    }
  if (++waits > kMostWaits) throw std::bad_alloc();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

void keep_reserve() noexcept {
  for (auto& block : blocks) {
    if (block.load() != nullptr) continue;
    void* p = std::malloc(kBlockBytes);
    if (p == nullptr) break;
    std::memset(p, 1, kBlockBytes);  // the system gives memory when it is written to
    void* none = nullptr;
    if (!block.compare_exchange_strong(none, p)) std::free(p);
  }
  if (std::get_new_handler() != give) std::set_new_handler(give);
}

MayFail::MayFail() {
  ++may_fail;
}
MayFail::~MayFail() {
  --may_fail;
}

}  // namespace bezel
