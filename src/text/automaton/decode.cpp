#include "text/automaton/decode.h"

#include <algorithm>

namespace bezel {

namespace {

// A decoder is a stage (upper 4 bits) and the bits read so far.
enum Stage : std::uint32_t {
  kClean = 0,
  kUtf8 = 0,      // + 1 to 3: continuation bytes that are missing
  kEscape = 4,    // after a backslash
  kHex = 5,       // + 0 to 3: hexadecimal digits read
  kLowSlash = 9,  // after a high surrogate: a backslash is due
  kLowU = 10,     // and a u
  kLowHex = 11,   // + 0 to 3: digits of the low surrogate
};

Decoded code(std::uint32_t c) {
  Decoded d;
  d.kind = Decoded::Kind::Code;
  d.code = c;
  return d;
}

Decoded partial(std::uint32_t stage, std::uint32_t bits, std::uint32_t lo, std::uint32_t hi,
                std::uint32_t lo2 = 1, std::uint32_t hi2 = 0) {
  Decoded d;
  if (lo > hi && lo2 > hi2) return d;
  d.kind = Decoded::Kind::Partial;
  d.decoder = stage << 28U | bits;
  d.lo[0] = lo, d.hi[0] = hi, d.lo[1] = lo2, d.hi[1] = hi2;
  return d;
}

// `bits` of a character read, `missing` bytes to come; `least`: what its length begins at.
Decoded utf8(std::uint32_t bits, std::uint32_t missing, std::uint32_t least) {
  const std::uint32_t lo = bits << (6 * missing), hi = lo + (1U << (6 * missing)) - 1;
  // the surrogates cut a hole, which may leave a range on both sides
  const std::uint32_t from = std::max(lo, least), to = std::min(hi, kLastCode);
  if (from > to) return {};
  if (from >= 0xD800 && to <= 0xDFFF) return {};
  const std::uint32_t kept = bits | least << 7U;  // least is 0x80, 0x800 or 0x10000
  if (from < 0xD800 && to > 0xDFFF) return partial(kUtf8 + missing, kept, from, 0xD7FF, 0xE000, to);
  if (from < 0xD800 && to >= 0xD800) return partial(kUtf8 + missing, kept, from, 0xD7FF);
  if (from >= 0xD800 && from <= 0xDFFF) return partial(kUtf8 + missing, kept, 0xE000, to);
  return partial(kUtf8 + missing, kept, from, to);
}

Decoded lead(std::uint8_t b) {
  if (b < 0x80) return code(b);
  if (b >= 0xC2 && b <= 0xDF) return utf8(b & 0x1FU, 1, 0x80);
  if (b >= 0xE0 && b <= 0xEF) return utf8(b & 0x0FU, 2, 0x800);
  if (b >= 0xF0 && b <= 0xF4) return utf8(b & 0x07U, 3, 0x10000);
  return {};
}

Decoded continued(std::uint32_t decoder, std::uint8_t b) {
  if ((b & 0xC0U) != 0x80) return {};
  const std::uint32_t missing = (decoder >> 28U) - 1, kept = decoder & 0xFFFFFFFU;
  // `least` lies above the bits: at most 15 bits are read while a byte is missing
  const std::uint32_t least = kept >= (0x10000U << 7U) ? 0x10000U
                              : kept >= (0x800U << 7U) ? 0x800U
                                                       : 0x80U;
  const std::uint32_t bits = (kept - (least << 7U)) << 6U | (b & 63U);
  if (missing > 0) return utf8(bits, missing, least);
  if (bits < least || bits > kLastCode || (bits >= 0xD800 && bits <= 0xDFFF)) return {};
  return code(bits);
}

Decoded escaped(std::uint8_t b) {
  switch (b) {
    case '"':
    case '\\':
    case '/':
      return code(b);
    case 'b':
      return code(8);
    case 'f':
      return code(12);
    case 'n':
      return code(10);
    case 'r':
      return code(13);
    case 't':
      return code(9);
    case 'u':
      return partial(kHex, 0, 0, 0xD7FF, 0xE000, kLastCode);
    default:
      return {};
  }
}

// Digits of \uXXXX; `n` are read, with `bits`.
Decoded first_unit(std::uint32_t n, std::uint32_t bits) {
  const std::uint32_t rest = 4 * (4 - n), lo = bits << rest, hi = lo + (1U << rest) - 1;
  if (n == 4) {
    if (lo >= 0xDC00 && lo <= 0xDFFF) return {};
    if (lo < 0xD800 || lo > 0xDBFF) return code(lo);
    const std::uint32_t from = 0x10000 + ((lo - 0xD800) << 10U);
    return partial(kLowSlash, lo - 0xD800, from, from + 0x3FF);
  }
  const std::uint32_t high = std::max(lo, 0xD800U), high_end = std::min(hi, 0xDBFFU);
  std::uint32_t lo2 = 1, hi2 = 0;
  if (high <= high_end)
    lo2 = 0x10000 + ((high - 0xD800) << 10U), hi2 = 0x10000 + ((high_end - 0xD800) << 10U) + 0x3FF;
  if (lo >= 0xD800 && hi <= 0xDFFF) return partial(kHex + n, bits, 1, 0, lo2, hi2);
  if (lo < 0xD800 && hi >= 0xD800)  // \uD...: what lies above is left to the digits that follow
    return partial(kHex + n, bits, lo, 0xD7FF, lo2, hi2);
  return partial(kHex + n, bits, lo, hi);
}

Decoded second_unit(std::uint32_t n, std::uint32_t high, std::uint32_t bits) {
  const std::uint32_t rest = 4 * (4 - n), first = bits << rest, last = first + (1U << rest) - 1;
  const std::uint32_t lo = std::max(first, 0xDC00U), hi = std::min(last, 0xDFFFU);
  if (lo > hi) return {};
  const std::uint32_t from = 0x10000 + (high << 10U);
  if (n == 4) return code(from + (lo - 0xDC00));
  return partial(kLowHex + n, high << 12U | bits, from + (lo - 0xDC00), from + (hi - 0xDC00));
}

}  // namespace

int hex_digit(std::uint32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A') + 10;
  return -1;
}

Decoded decode(std::uint32_t decoder, std::uint8_t b, bool json, std::uint8_t close) {
  const std::uint32_t stage = decoder >> 28U, bits = decoder & 0xFFFFFFFU;
  if (decoder == 0) {
    if (b == close) {
      Decoded d;
      d.kind = Decoded::Kind::Close;
      return d;
    }
    if (json && b == '\\') return partial(kEscape, 0, 0, 0xD7FF, 0xE000, kLastCode);
    if (json && b < 0x20) return {};
    return lead(b);
  }
  if (stage < kEscape) return continued(decoder, b);
  if (stage == kEscape) return escaped(b);
  const std::uint32_t from = 0x10000 + (bits << 10U);
  if (stage == kLowSlash) return b == '\\' ? partial(kLowU, bits, from, from + 0x3FF) : Decoded{};
  if (stage == kLowU)
    return b == 'u' ? partial(kLowHex, bits << 12U, from, from + 0x3FF) : Decoded{};
  const int digit = hex_digit(b);
  if (digit < 0) return {};
  const auto d = static_cast<std::uint32_t>(digit);
  if (stage < kLowSlash) return first_unit(stage - kHex + 1, bits << 4U | d);
  return second_unit(stage - kLowHex + 1, bits >> 12U, (bits & 0xFFFU) << 4U | d);
}

}  // namespace bezel
