// What this machine's memory gives to a plain walk.
#pragma once
#include <memory>

#include "base/huge.h"
#include "base/pool.h"
#include "kernels/kernels.h"

namespace bezel::app {

class Bandwidth {
 public:
  // Takes a buffer that no cache holds; without memory for it, read() gives 0.
  Bandwidth(const KernelTable& table, int threads);

  // 10^9 bytes a second that all threads together read from memory: the best of `walks` through the
  // buffer, some 5 ms each.
  double read(int walks);

 private:
  const KernelTable& table_;
  ThreadPool pool_;
  HugeBuffer buffer_;
};

// The best of five walks, for those who ask once; 10^9 bytes a second, 0 without memory for it.
double read_bandwidth(const KernelTable& table, int threads);

}  // namespace bezel::app
