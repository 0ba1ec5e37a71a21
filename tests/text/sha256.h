// SHA-256 (FIPS 180-4), for comparing with published hashes.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace bezel::test {

// The constants are the fractional bits of square and cube roots of the first primes; they are
// computed here by integer roots, so that no table can hold a slip.
class Sha256 {
 public:
  static std::string hex(std::string_view data) {
    Sha256 hash;
    std::string padded(data);
    padded.push_back('\x80');
    while (padded.size() % 64 != 56) padded.push_back('\0');
    for (int shift = 56; shift >= 0; shift -= 8)
      padded.push_back(static_cast<char>((std::uint64_t{data.size()} * 8) >> shift));
    for (std::size_t i = 0; i < padded.size(); i += 64) hash.block(padded.data() + i);
    std::string out;
    for (const std::uint32_t word : hash.h_)
      for (int shift = 28; shift >= 0; shift -= 4)
        out.push_back("0123456789abcdef"[(word >> shift) & 15U]);
    return out;
  }

 private:
  using Wide = unsigned __int128;

  // First 32 fractional bits of the power-th root of n: floor(root(n * 2^(32 power))) mod 2^32.
  static std::uint32_t root_bits(std::uint32_t n, int power) {
    const Wide target = Wide{n} << (32 * power);
    std::uint64_t root = 0;
    for (int bit = 36; bit >= 0; --bit) {
      const Wide next = root | std::uint64_t{1} << bit;
      if ((power == 2 ? next * next : next * next * next) <= target)
        root = static_cast<std::uint64_t>(next);
    }
    return static_cast<std::uint32_t>(root);
  }

  Sha256() {
    std::size_t n = 0;
    for (std::uint32_t p = 2; n < 64; ++p) {
      bool prime = true;
      for (std::uint32_t d = 2; d * d <= p; ++d) prime = prime && p % d != 0;
      if (!prime) continue;
      if (n < 8) h_[n] = root_bits(p, 2);
      k_[n++] = root_bits(p, 3);
    }
  }

  void block(const char* data) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 64; ++i)
      w[i / 4] = w[i / 4] << 8U | static_cast<unsigned char>(data[i]);
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3U)) + w[i - 7] +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10U));
    }
    auto v = h_;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t e = v[4], a = v[0];
      const std::uint32_t t1 = v[7] + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                               ((e & v[5]) ^ (~e & v[6])) + k_[i] + w[i];
      const std::uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) +
                               ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      v = {t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) h_[i] += v[i];
  }

  std::array<std::uint32_t, 8> h_{};
  std::array<std::uint32_t, 64> k_{};
};

}  // namespace bezel::test
