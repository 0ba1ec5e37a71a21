// Activations as the quantised products read them: rounded to int8 and woven, so that one pointer
// leads through all tokens of a register tile.
//
// Tokens lie in tiles of the table's own width, then of powers of two (q8_tile). A tile of T tokens
// is cut along the inputs into blocks of 32, one behind the other:
//   f32 scale[T]
//   i32 minus_sum[T]      minus the sum of the 32 inputs
//   i32 minus_half[2][T]  minus the sum of the first and of the last 16
//   i8  q[8][T][4]        group g holds inputs 4 g .. 4 g + 3 of every token
// Sums are negative because offsets take them away: -8 * sum(q) is a shift.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace bezel {

inline constexpr int kWovenBytes = 48;  // of a block of one token

inline constexpr std::size_t woven_bytes(int n_tokens, int n_inputs) {
  return static_cast<std::size_t>(n_tokens) * static_cast<std::size_t>(n_inputs / kQ8Block) *
         kWovenBytes;
}

// Tokens of the next tile when `left` >= 1 are left: `widest`, else the largest power of two that
// still fits. widest: 1, 2, 4, 8 or more.
inline constexpr int q8_tile(int left, int widest) {
  if (left >= widest) return widest;
  int tile = 8;
  while (tile > left) tile /= 2;
  return tile;
}

// One token's n inputs into lane `lane` of a tile of `tile` tokens that begins at `to`. n % 32 = 0.
void weave_q8(const Q8ConstRow& row, int n, int tile, int lane, std::byte* to);

}  // namespace bezel
