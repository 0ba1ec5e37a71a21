// What this machine's memory gives to a plain walk.
#pragma once
#include <memory>

#include "base/huge.h"
#include "base/pool.h"
#include "kernels/kernels.h"

namespace bezel::app {

// Where others share the memory, what is left of it changes from moment to moment: walks of 75 ms
// gave shares of 73 to 93 % where these give 91 to 94 (docs/speed.md).
inline constexpr double kWalkSeconds = 0.25;

class Bandwidth {
 public:
  // Takes a buffer of half a GiB, many times what caches hold, or else a quarter of the memory that
  // is free; without memory for it, read() gives 0.
  Bandwidth(const KernelTable& table, int threads);

  // 10^9 bytes a second that all threads together read from memory, in as many walks through the
  // buffer as `seconds` take, at least one.
  double read(double seconds);

 private:
  const KernelTable& table_;
  ThreadPool pool_;
  HugeBuffer buffer_;
};

// Walks of a quarter of a second, for those who ask once.
double read_bandwidth(const KernelTable& table, int threads);

}  // namespace bezel::app
