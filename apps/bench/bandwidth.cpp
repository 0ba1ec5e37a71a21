#include "bench/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/system.h"

namespace bezel::app {

namespace {
constexpr std::size_t kPiece = 1U << 20U;  // bytes that a thread claims at once
// A walk through a buffer of only four times the last cache finds a sixth of it there.
constexpr std::size_t kMost = 512 * kPiece;
}  // namespace

Bandwidth::Bandwidth(const KernelTable& table, int threads) : table_(table), pool_(threads) {
  const auto size =
      static_cast<std::size_t>(std::min<std::uint64_t>(kMost, free_memory_bytes() / 4));
  auto taken = HugeBuffer::take(size / kPiece * kPiece);
  if (!taken) return;
  buffer_ = *std::move(taken);
  std::fill_n(buffer_.data(), buffer_.size(), std::byte{0});
}

double Bandwidth::read(double seconds) {
  const std::size_t pieces = buffer_.size() / kPiece, floats = kPiece / sizeof(float);
  if (pieces == 0) return 0;
  const auto* at = reinterpret_cast<const float*>(buffer_.data());
  std::vector<float> sums(pieces);
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> passed{};
  double bytes = 0;
  do {
    pool_.run(static_cast<int>(pieces), [&](int item, int) {
      const auto i = static_cast<std::size_t>(item);
      sums[i] = table_.sum_squares(at + i * floats, static_cast<int>(floats));
    });
    bytes += static_cast<double>(buffer_.size());
    passed = std::chrono::steady_clock::now() - start;
  } while (passed.count() < seconds);
  return bytes / 1e9 / passed.count();
}

double read_bandwidth(const KernelTable& table, int threads) {
  return Bandwidth(table, threads).read(kWalkSeconds);
}

}  // namespace bezel::app
