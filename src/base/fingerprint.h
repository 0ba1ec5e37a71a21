// 64-bit FNV-1a: of float rows, the fingerprint of the numerics contract; of texts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bezel {

// Over the little-endian float32 bytes, rows in order. Constants: FNV-1a, 64 bits.
class Fingerprint {
 public:
  void add(const float* x, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, x + i, sizeof bits);
      for (int b = 0; b < 4; ++b) step((bits >> (8 * b)) & 0xFFU);
    }
  }
  void add(std::string_view bytes) {
    for (const char c : bytes) step(static_cast<unsigned char>(c));
  }
  std::uint64_t value() const { return hash_; }
  std::string hex() const {  // 16 digits
    std::string s(16, '0');
    for (int i = 0; i < 16; ++i)
      s[static_cast<std::size_t>(i)] = "0123456789abcdef"[(hash_ >> (60 - 4 * i)) & 15U];
    return s;
  }

 private:
  void step(std::uint32_t byte) { hash_ = (hash_ ^ byte) * 0x100000001B3ULL; }

  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

}  // namespace bezel
