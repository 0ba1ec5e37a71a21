// The units, as bytes of one row. Pairs of blocks that begin with one f16 each give a whole group
// of scales:
//   Q4_0  64 inputs    d0 d1, 16 bytes of block 0, 16 bytes of block 1
//   Q5_0  64 inputs    d0 d1, then fifth bits and nibbles of block 0, and of block 1
//   Q8_0  64 inputs    d0 d1, 32 bytes of block 0, 32 bytes of block 1
//   Q4_K  256 inputs   as in the file
//   Q6_K  256 inputs   16 scales, d, two zeros; of each half, eight times: four bytes of high bits,
//                      four of the first 32 nibbles' bytes, four of the last
//   F32, F16, BF16     one value
// What is read first lies first: processors follow a stream, but no jumps.
#include "kernels/packed.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "kernels/kernels.h"

namespace bezel {
namespace {

constexpr std::size_t kGroup = 4;  // bytes of a row of a quantised type that stay together

std::size_t unit_bytes(DType type) {
  const PackedUnit unit = packed_unit(type);
  return static_cast<std::size_t>(unit.group_bytes) * static_cast<std::size_t>(unit.groups);
}
std::size_t file_bytes(DType type) {
  const Format& f = format(type);
  return static_cast<std::size_t>(packed_unit(type).inputs / f.block_weights * f.block_bytes);
}

// One row's unit to or from the order of the file: fn(at in the unit, at in the file, n).
template <class Fn>
void each_piece(DType type, const Fn& fn) {
  if (packed_unit(type).inputs == 64) {  // two blocks, each a scale and the rest
    const auto block = static_cast<std::size_t>(format(type).block_bytes), weights = block - 2;
    fn(0, 0, 2);
    fn(2, block, 2);
    fn(4, 2, weights);
    fn(4 + weights, block + 2, weights);
  } else if (type == DType::Q6_K) {
    fn(0, 192, 18);
    for (std::size_t half = 0; half < 2; ++half)
      for (std::size_t at = 0; at < 32; at += kGroup) {
        const std::size_t to = 20 + 96 * half + 3 * at, nibbles = 64 * half + at;
        fn(to, 128 + 32 * half + at, kGroup);
        fn(to + kGroup, nibbles, kGroup);
        fn(to + 2 * kGroup, nibbles + 32, kGroup);
      }
  } else {
    fn(0, 0, file_bytes(type));
  }
}

}  // namespace

PackedUnit packed_unit(DType type) {
  switch (type) {
    case DType::Q4_0:
      return {64, 9};
    case DType::Q5_0:
      return {64, 11};
    case DType::Q8_0:
      return {64, 17};
    case DType::Q4_K:
      return {256, 36};
    case DType::Q6_K:
      return {256, 53};
    case DType::F32:
      return {1, 1};
    case DType::F16:
    case DType::BF16:
      return {1, 1, 2};
    default:
      return {};
  }
}

bool can_pack(DType type, int out, int in) {
  const int inputs = packed_unit(type).inputs;
  return inputs > 0 && out % kPanelRows == 0 && in % inputs == 0;
}

std::size_t packed_row_bytes(DType type, int in) {
  const int inputs = packed_unit(type).inputs;
  BEZEL_CHECK(inputs > 0);
  return unit_bytes(type) * static_cast<std::size_t>(in / inputs);
}

namespace {

// Values of Bits, 16 rows side by side.
template <class Bits>
void pack_floats(const std::byte* rows, std::size_t row_bytes, int in, std::byte* packed) {
  constexpr int kPiece = 64;  // inputs whose way lies in the first cache
  for (int k = 0; k < in; k += kPiece)
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      const std::byte* from = rows + r * row_bytes;
      for (int i = k; i < std::min(in, k + kPiece); ++i)
        std::memcpy(packed + sizeof(Bits) * (static_cast<std::size_t>(i) * kPanelRows + r),
                    from + sizeof(Bits) * static_cast<std::size_t>(i), sizeof(Bits));
    }
}

}  // namespace

void pack_panel(DType type, const std::byte* rows, std::size_t row_bytes, int in,
                std::byte* packed) {
  if (type == DType::F32) return pack_floats<std::uint32_t>(rows, row_bytes, in, packed);
  if (!is_quantised(type)) return pack_floats<std::uint16_t>(rows, row_bytes, in, packed);
  const std::size_t from_bytes = file_bytes(type), n = unit_bytes(type);
  BEZEL_CHECK(n > 0 && n <= kMaxUnitBytes);
  std::array<std::byte, kMaxUnitBytes> row{};  // what no piece fills stays zero
  const int n_units = in / packed_unit(type).inputs;
  for (int unit = 0; unit < n_units; ++unit) {
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      const std::byte* from = rows + r * row_bytes + static_cast<std::size_t>(unit) * from_bytes;
      each_piece(type, [&](std::size_t to, std::size_t at, std::size_t size) {
        std::memcpy(row.data() + to, from + at, size);
      });
      for (std::size_t at = 0; at < n; at += kGroup)
        std::memcpy(packed + at * kPanelRows + r * kGroup, row.data() + at, kGroup);
    }
    packed += n * kPanelRows;
  }
}

void unpack_unit(DType type, const std::byte* packed, int unit, int row, std::byte* to) {
  const std::size_t n = unit_bytes(type);
  std::array<std::byte, kMaxUnitBytes> bytes;
  const std::byte* from = packed + static_cast<std::size_t>(unit) * n * kPanelRows +
                          static_cast<std::size_t>(row) * kGroup;
  for (std::size_t at = 0; at < n; at += kGroup)
    std::memcpy(bytes.data() + at, from + at * kPanelRows, kGroup);
  each_piece(type, [&](std::size_t at, std::size_t in_file, std::size_t size) {
    std::memcpy(to + in_file, bytes.data() + at, size);
  });
}

}  // namespace bezel
