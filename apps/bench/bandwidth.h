// What this machine's memory gives to a plain walk.
#pragma once
#include <memory>

#include "base/huge.h"
#include "base/pool.h"
#include "kernels/kernels.h"

namespace bezel::app {

class Bandwidth {
 public:
  // Takes a buffer of half a GiB, many times what caches hold, or else a quarter of the memory that
  // is free; without memory for it, read() gives 0.
  Bandwidth(const KernelTable& table, int threads);

  // 10^9 bytes a second that all threads together read from memory, walking through the buffer for
  // a quarter of a second.
  double read();

 private:
  const KernelTable& table_;
  ThreadPool pool_;
  HugeBuffer buffer_;
};

// The same, for those who ask once.
double read_bandwidth(const KernelTable& table, int threads);

}  // namespace bezel::app
