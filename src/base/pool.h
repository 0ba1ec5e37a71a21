// A fixed set of threads that share out the items of one job at a time.
#pragma once
#include <functional>
#include <memory>

namespace bezel {

// One thread at a time may call run(); the caller works too. Workers set the arithmetic
// environment of docs/numerics.md (round to nearest, denormals kept); run() does so for the
// caller while it works and restores the caller's state after. Workers sleep when idle.
class ThreadPool {
 public:
  // n_threads >= 1, counting the caller; fewer when the system gives no more.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  // Calls fn(item, worker) once for every item in [0, n_items), in any order, on any thread;
  // 0 <= worker < n_threads(). Items are claimed one by one from an atomic counter. Returns when
  // all are done. `fn` must not throw and must not call run().
  void run(int n_items, const std::function<void(int item, int worker)>& fn);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bezel
