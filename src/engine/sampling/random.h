// Randomness by counter: a draw depends on its key and place only, never on what was drawn before.
#pragma once
#include <cstdint>

namespace bezel {

// A bijection of 64-bit words that scatters every input bit over all output bits. Constants: David
// Stafford's variant 13 of the MurmurHash3 finaliser, as in SplitMix64.
constexpr std::uint64_t scatter_bits(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

// Word number `position` of the stream `seed`. The golden-ratio increments keep (0, 0) away from
// the fixed point 0 and neighbouring positions apart.
constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t position) {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
  return scatter_bits(scatter_bits(seed + kGolden) ^ scatter_bits((position + 1) * kGolden));
}

// Uniform in [0, 1), 53 bits.
constexpr double random_unit(std::uint64_t seed, std::uint64_t position) {
  return static_cast<double>(random_bits(seed, position) >> 11U) * 0x1p-53;
}

}  // namespace bezel
