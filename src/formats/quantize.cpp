// Float values to block formats.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/dtype.h"

namespace bezel {

void quantize_q8_0(const float* x, std::byte* row, std::size_t n) {
  constexpr std::size_t kBlock = 32;
  for (std::size_t k = 0; k < n; k += kBlock, row += sizeof(BlockQ8_0)) {
    float largest = 0;
    for (std::size_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[k + i]));
    const float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
    BlockQ8_0 block;
    block.d = f16_from_f32(d);
    for (std::size_t i = 0; i < kBlock; ++i)
      block.q[i] = static_cast<std::int8_t>(std::round(x[k + i] * inverse));
    std::memcpy(row, &block, sizeof block);
  }
}

}  // namespace bezel
