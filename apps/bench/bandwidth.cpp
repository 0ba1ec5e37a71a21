#include "bench/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <vector>

#include "base/pool.h"

namespace bezel::app {

double read_bandwidth(const KernelTable& table, int threads) {
  constexpr int kPieces = 128, kFloats = 256 * 1024;  // 128 MiB
  const std::unique_ptr<float[]> buffer(
      new (std::nothrow) float[std::size_t{kPieces} * std::size_t{kFloats}]());
  if (buffer == nullptr) return 0;
  ThreadPool pool(threads);
  std::vector<float> sums(kPieces);
  double best = 0;
  for (int walk = 0; walk < 5; ++walk) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(kPieces, [&](int item, int) {
      const auto at = static_cast<std::size_t>(item);
      sums[at] = table.sum_squares(buffer.get() + at * std::size_t{kFloats}, kFloats);
    });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 4.0 * kPieces * kFloats / 1e9 / std::max(seconds, 1e-9));
  }
  return best;
}

}  // namespace bezel::app
