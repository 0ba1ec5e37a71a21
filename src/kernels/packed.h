// Packed weights: the bytes of the file in the order in which few tokens are multiplied fastest.
// Sixteen rows lie side by side, four bytes of each in turn (of floats, one value of each), so that
// one stream of memory fills whole registers; scales come before the weights they belong to. See
// packed.cpp for the units.
#pragma once
#include <cstddef>

#include "formats/dtype.h"

namespace bezel {

// Inputs that lie together, and the groups of bytes a row has for them.
struct PackedUnit {
  int inputs = 0;  // 0: the type is not packed
  int groups = 0;
  int group_bytes = 4;
};
PackedUnit packed_unit(DType type);

// Whole panels and whole units only: out % 16 == 0 and in a multiple of the unit.
bool can_pack(DType type, int out, int in);
// Bytes of a packed row; 16 of them make a panel. A row of a type that is packed.
std::size_t packed_row_bytes(DType type, int in);
// Sixteen rows of the file, row_bytes apart, into a packed panel (64-byte aligned).
void pack_panel(DType type, const std::byte* rows, std::size_t row_bytes, int in,
                std::byte* packed);
// The bytes that row `row` (0 .. 15) of a panel of a quantised type has in the file for unit
// `unit`.
void unpack_unit(DType type, const std::byte* packed, int unit, int row, std::byte* to);

inline constexpr int kMaxUnitBytes = 212;  // of a row

}  // namespace bezel
