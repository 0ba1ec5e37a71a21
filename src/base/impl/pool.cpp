#include "base/pool.h"

#include "base/check.h"
#include "base/fp_env.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace bezel {

namespace {

// How long a thread waits busily before it sleeps: longer than the serial work between two
// operations of a forward pass, shorter than anyone would notice on a battery.
constexpr std::chrono::microseconds kSpin{50};

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as done() is, false when kSpin has passed.
template <class Done>
bool spin_until(Done done, bool may_spin) {
  if (done()) return true;
  if (!may_spin) return false;
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

// The two counters are the whole protocol. `unclaimed` > 0 means there is work; claiming is a
// decrement by compare-and-swap, so a thread that wakes late finds zero and does no harm.
// `unfinished` reaches zero only after the claimants of all items have subtracted theirs, and
// run() changes `fn` and `n_items` only then. The counters and the two sleep flags are
// sequentially consistent: whoever is about to sleep first says so, then looks at the counter;
// whoever changes the counter looks at the flag after.
struct ThreadPool::State {
  alignas(64) std::atomic<int> unclaimed{0};
  alignas(64) std::atomic<int> unfinished{0};
  alignas(64) const std::function<void(int, int)>* fn = nullptr;
  int n_items = 0;
  bool may_spin = true;

  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable work, done;
  std::vector<std::thread> threads;

  // Claims and does items until none is left.
  void work_off(int worker) {
    int finished = 0;
    for (int left = unclaimed.load(); left > 0;) {
      if (!unclaimed.compare_exchange_weak(left, left - 1)) continue;
      (*fn)(n_items - left, worker);
      ++finished;
      left = unclaimed.load();
    }
    if (finished == 0 || unfinished.fetch_sub(finished) != finished) return;
    if (!caller_sleeps.load()) return;
    { const std::lock_guard lock(mutex); }
    done.notify_one();
  }

  void worker_loop(int worker) {
    const FpEnv env;
    const auto ready = [this] { return unclaimed.load() > 0 || stop.load(); };
    while (!stop.load()) {
      if (!spin_until(ready, may_spin)) {
        std::unique_lock lock(mutex);
        ++sleepers;
        work.wait(lock, ready);
        --sleepers;
      }
      work_off(worker);
    }
  }

  void wake(int n) {
    n = std::min(n, sleepers.load());
    if (n <= 0) return;
    { const std::lock_guard lock(mutex); }
    for (int i = 0; i < n; ++i) work.notify_one();
  }

  void wait_until_finished() {
    const auto finished = [this] { return unfinished.load() == 0; };
    if (spin_until(finished, may_spin)) return;
    std::unique_lock lock(mutex);
    caller_sleeps = true;
    done.wait(lock, finished);
    caller_sleeps = false;
  }
};

ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>()) {
  BEZEL_CHECK(n_threads >= 1);
  const auto cpus = static_cast<int>(std::thread::hardware_concurrency());
  state_->may_spin = cpus == 0 || n_threads <= cpus;
  state_->threads.reserve(static_cast<std::size_t>(n_threads - 1));
  try {
    for (int i = 1; i < n_threads; ++i) {
      state_->threads.emplace_back([s = state_.get(), i] { s->worker_loop(i); });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: the ones there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  state_->stop = true;
  { const std::lock_guard lock(state_->mutex); }
  state_->work.notify_all();
  for (std::thread& t : state_->threads) t.join();
}

int ThreadPool::n_threads() const {
  return static_cast<int>(state_->threads.size()) + 1;
}

void ThreadPool::run(int n_items, const std::function<void(int item, int worker)>& fn) {
  if (n_items <= 0) return;
  const FpEnv env;
  if (n_items == 1 || state_->threads.empty()) {
    for (int i = 0; i < n_items; ++i) fn(i, 0);
    return;
  }
  State& s = *state_;
  BEZEL_CHECK(s.unfinished.load() == 0);
  s.fn = &fn;
  s.n_items = n_items;
  s.unfinished = n_items;
  s.unclaimed = n_items;
  s.wake(n_items - 1);
  s.work_off(0);
  s.wait_until_finished();
}

}  // namespace bezel
