#include "kernels/woven.h"

#include <cstring>

namespace bezel {

void weave_q8(const Q8ConstRow& row, int n, int tile, int lane, std::byte* to) {
  const auto step = static_cast<std::size_t>(tile) * 4;  // from one value of this token to the next
  to += std::ptrdiff_t{4} * lane;
  for (int b = 0; b < n / kQ8Block; ++b) {
    const std::int32_t minus[2] = {-row.half_sums[2 * b], -row.half_sums[2 * b + 1]};
    const std::int32_t minus_sum = minus[0] + minus[1];
    std::memcpy(to, row.scale + b, 4);
    std::memcpy(to + step, &minus_sum, 4);
    std::memcpy(to + 2 * step, &minus[0], 4);
    std::memcpy(to + 3 * step, &minus[1], 4);
    to += 4 * step;
    for (int g = 0; g < kQ8Block / 4; ++g, to += step)
      std::memcpy(to, row.q + b * kQ8Block + 4 * g, 4);
  }
}

}  // namespace bezel
