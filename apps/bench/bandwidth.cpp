#include "bench/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace bezel::app {

namespace {
constexpr std::size_t kPieces = 128, kFloats = 256 * 1024;  // 128 MiB
}  // namespace

Bandwidth::Bandwidth(const KernelTable& table, int threads) : table_(table), pool_(threads) {
  auto taken = HugeBuffer::take(4 * kPieces * kFloats);
  if (!taken) return;
  buffer_ = *std::move(taken);
  std::fill_n(buffer_.data(), buffer_.size(), std::byte{0});
}

double Bandwidth::read(int walks) {
  if (buffer_.size() == 0) return 0;
  const auto* floats = reinterpret_cast<const float*>(buffer_.data());
  std::vector<float> sums(kPieces);
  double best = 0;
  for (int walk = 0; walk < walks; ++walk) {
    const auto start = std::chrono::steady_clock::now();
    pool_.run(kPieces, [&](int item, int) {
      const auto at = static_cast<std::size_t>(item);
      sums[at] = table_.sum_squares(floats + at * kFloats, kFloats);
    });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 4.0 * kPieces * kFloats / 1e9 / std::max(seconds, 1e-9));
  }
  return best;
}

double read_bandwidth(const KernelTable& table, int threads) {
  return Bandwidth(table, threads).read(5);
}

}  // namespace bezel::app
