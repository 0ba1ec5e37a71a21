// A tile of woven tokens (woven.h), block by block.
#include "kernels/woven.h"

namespace bezel {
namespace {
namespace quant {

template <int W>  // tokens of the tile
struct Tokens {
  const std::byte* at;  // this block's own start, and 4 * the first token that is asked for

  float scale(int t) const { return read<float>(at + 4 * t); }
  std::int32_t minus_sum(int t) const { return read<std::int32_t>(at + 4 * (W + t)); }
  std::int32_t minus_half(int half, int t) const {
    return read<std::int32_t>(at + 4 * ((2 + half) * W + t));
  }
  std::int32_t four(int group, int t) const {  // inputs 4 group .. 4 group + 3
    return read<std::int32_t>(at + 4 * ((4 + group) * W + t));
  }
  int input(int i) const { return read<std::int8_t>(at + 4 * (4 + i / 4) * W + i % 4); }
  void next() { at += W * kWovenBytes; }
};

// The tile that begins with token t.
template <int W>
Tokens<W> tile(const Q8Tokens& x, int t) {
  return {x.at + static_cast<std::size_t>(t) * x.token_bytes +
          static_cast<std::size_t>(x.first_k / kQ8Block * W) * kWovenBytes};
}

}  // namespace quant
}  // namespace
}  // namespace bezel
