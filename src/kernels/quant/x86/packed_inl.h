// Packed panels (packed.h) on Q: a part, 32 inputs of kLanes rows, is taken into registers, and
// from there into a panel or straight into the product.
#include "kernels/packed.h"

namespace bezel {
namespace {
namespace quant {

using Int = Q::Int;
using Flt = Q::Flt;

// A part: what add_block asks a block for. What a kind does not have is never set nor read.
struct Part {
  Int w[8];
  Flt scale, least, subs[2], submins[2];

  Int weights(int group, int) const { return w[group]; }
  Flt d(int) const { return scale; }
  Flt m(int) const { return least; }
  Flt sub(int half, int) const { return subs[half]; }
  Flt submin(int half, int) const { return submins[half]; }
};

Int group(const std::byte* unit, int g) {
  return Q::load(unit + 64 * g);
}
Int low_nibble(Int v) {
  return Q::both(v, Q::set8(15));
}
Int high_nibble(Int v) {
  return low_nibble(Q::right16(v, 4));
}
// Byte i of every lane as float32, without and with a sign.
Flt byte(Int v, int i) {
  return Q::to_float(Q::both(Q::right32(v, 8 * i), Q::set(255)));
}
Flt signed_byte(Int v, int i) {
  return Q::to_float(Q::right32_signed(Q::left32(v, 24 - 8 * i), 24));
}

// A unit of kLanes rows: kParts parts. `unit` is its start and 4 * kLanes * the register of rows.
struct UnitQ4_0 {
  using K = Kind<8, 15, 0, false>;
  static constexpr int kParts = 2, kGroups = 9;
  const std::byte* unit;
  Int d = group(unit, 0);

  [[gnu::always_inline]] void part(int i, Part& to) const {
    to.scale = Q::f16_in(d, 2 * i);
    for (int g = 0; g < 4; ++g) {
      const Int v = group(unit, 1 + 4 * i + g);
      to.w[g] = low_nibble(v);
      to.w[g + 4] = high_nibble(v);
    }
  }
};

struct UnitQ5_0 {
  using K = Kind<16, 31, 0, false>;
  static constexpr int kParts = 2, kGroups = 11;
  const std::byte* unit;
  Int d = group(unit, 0);

  // Bits 4 g .. 4 g + 3 of h as 16 in the four bytes of a lane.
  static Int fifth_bits(Int h, int g) {
    const Int four = Q::both(g == 0 ? Q::left32(h, 4) : Q::right32(h, 4 * g - 4), Q::set(0xF0));
    const Int two = Q::any(four, Q::left32(four, 7));
    return Q::both(Q::any(two, Q::left32(two, 14)), Q::set8(16));
  }
  [[gnu::always_inline]] void part(int i, Part& to) const {
    to.scale = Q::f16_in(d, 2 * i);
    const Int h = group(unit, 1 + 5 * i);
    for (int g = 0; g < 4; ++g) {
      const Int v = group(unit, 2 + 5 * i + g);
      to.w[g] = Q::any(low_nibble(v), fifth_bits(h, g));
      to.w[g + 4] = Q::any(high_nibble(v), fifth_bits(h, g + 4));
    }
  }
};

struct UnitQ8_0 {
  using K = Kind<128, 255, 0, false>;
  static constexpr int kParts = 2, kGroups = 17;
  const std::byte* unit;
  Int d = group(unit, 0);

  [[gnu::always_inline]] void part(int i, Part& to) const {
    to.scale = Q::f16_in(d, 2 * i);
    for (int g = 0; g < 8; ++g) to.w[g] = Q::flip_sign_bit(group(unit, 1 + 8 * i + g));
  }
};

// d, dmin; twelve bytes of scales and minima, six bits each, taken apart as in subscales_of; parts
// 2 i and 2 i + 1 are the low and high nibbles of 32 bytes.
struct UnitQ4_K {
  using K = Kind<0, 15, 1, true>;
  static constexpr int kParts = 8, kGroups = 36;
  const std::byte* unit;
  Flt d, m;
  Int subs[2], submins[2];

  explicit UnitQ4_K(const std::byte* at)
      : unit(at), d(Q::f16_in(group(at, 0), 0)), m(Q::minus(Q::f16_in(group(at, 0), 2))) {
    const Int a = group(at, 1), b = group(at, 2), c = group(at, 3);
    const Int six = Q::set(0x3F3F3F3F), top = Q::set(0x30303030);
    subs[0] = Q::both(a, six);
    submins[0] = Q::both(b, six);
    subs[1] = Q::any(low_nibble(c), Q::both(Q::right32(a, 2), top));
    submins[1] = Q::any(high_nibble(c), Q::both(Q::right32(b, 2), top));
  }
  [[gnu::always_inline]] void part(int i, Part& to) const {
    to.scale = d;
    to.least = m;
    to.subs[0] = byte(subs[i / 4], i % 4);
    to.submins[0] = byte(submins[i / 4], i % 4);
    for (int g = 0; g < 8; ++g) {
      const Int v = group(unit, 4 + 8 * (i / 2) + g);
      to.w[g] = i % 2 == 0 ? low_nibble(v) : high_nibble(v);
    }
  }
};

// Sixteen scales, d; of each half, 128 inputs, eight times: high bits of its four parts, nibbles of
// parts 0 and 2, nibbles of parts 1 and 3.
struct UnitQ6_K {
  using K = Kind<32, 63, 2, false>;
  static constexpr int kParts = 8, kGroups = 53;
  const std::byte* unit;
  Flt d = Q::f16_in(group(unit, 4), 0);

  static Int high_bits(Int v, int j) {
    const Int bits = j == 0   ? Q::left16(v, 4)
                     : j == 1 ? Q::left16(v, 2)
                     : j == 2 ? v
                              : Q::right16(v, 2);
    return Q::both(bits, Q::set8(0x30));
  }
  [[gnu::always_inline]] void scales(int i, Part& to) const {
    to.scale = d;
    const Int s = group(unit, i / 2);
    for (int h = 0; h < 2; ++h) to.subs[h] = signed_byte(s, 2 * (i % 2) + h);
  }
  [[gnu::always_inline]] void part(int i, Part& to) const {
    scales(i, to);
    const int half = i / 4, j = i % 4;
    for (int g = 0; g < 8; ++g) {
      const int at = 5 + 24 * half + 3 * g;
      const Int v = group(unit, at + 1 + (j & 1));
      to.w[g] = Q::any(j < 2 ? low_nibble(v) : high_nibble(v), high_bits(group(unit, at), j));
    }
  }
  // Weights 4 * first .. 4 * first + 15 of the four parts of a half: each byte is read once.
  [[gnu::always_inline]] void four_parts(int half, int first, Part* to) const {
    for (int g = first; g < first + 4; ++g) {
      const int at = 5 + 24 * half + 3 * g;
      const Int h = group(unit, at), v[2] = {group(unit, at + 1), group(unit, at + 2)};
      for (int j = 0; j < 4; ++j)
        to[j].w[g] = Q::any(j < 2 ? low_nibble(v[j & 1]) : high_nibble(v[j & 1]), high_bits(h, j));
    }
  }
};

// The unit of a packed panel that begins with input k.
template <class Unit>
const std::byte* unit_of(const std::byte* packed, int k) {
  return packed + std::ptrdiff_t{64 * Unit::kGroups} * (k / (kQ8Block * Unit::kParts));
}

// Asks for the lines that part `i` of `n` of a unit stands for, `ahead` bytes further on.
template <class Unit, auto kHint>  // of _mm_prefetch
[[gnu::always_inline]] inline void ask_ahead(const std::byte* at, int i, int n, std::size_t ahead) {
  // As a number: behind the last unit there may be no object that a pointer could point into.
  const auto from = reinterpret_cast<std::uintptr_t>(at) + ahead;
  for (int line = Unit::kGroups * i / n; line < Unit::kGroups * (i + 1) / n; ++line)
    _mm_prefetch(reinterpret_cast<const char*>(from + 64 * static_cast<unsigned>(line)), kHint);
}

// Four parts of a Q6_K unit with few tokens; as add_block, four times.
template <int T, int W>
[[gnu::always_inline]] inline void add_half(const UnitQ6_K& unit, int half, Tokens<W> x,
                                            Flt (*acc)[1]) {
  using K = UnitQ6_K::K;
  Part part[4];
  Tokens<W> in[4];
  Int dot[4][2][T][1];
  for (int j = 0; j < 4; ++j, x.next()) in[j] = x;
  for (int h = 0; h < 2; ++h) {
    unit.four_parts(half, 4 * h, part);
    for (int j = 0; j < 4; ++j) {
      for (int t = 0; t < T; ++t) dot[j][h][t][0] = start<K>(in[j], t, 2, h);
      dot_groups<K, T, 1>(part[j], in[j], 4 * h, 4, dot[j][h]);
    }
  }
  for (int j = 0; j < 4; ++j) {
    unit.scales(4 * half + j, part[j]);
    Flt sum[T][1];
    for (int t = 0; t < T; ++t)
      sum[t][0] = Q::fma(part[j].subs[1], Q::to_float(dot[j][1][t][0]),
                         Q::mul(part[j].subs[0], Q::to_float(dot[j][0][t][0])));
    add_scaled<K, T, 1>(part[j], in[j], sum, acc);
  }
}

// T tokens of a tile of W, straight from a packed panel.
template <class Unit, int T, int W, bool Ask>
[[gnu::noinline]] void product_units(const std::byte* at, int n_units, Tokens<W> x, float* y,
                                     std::ptrdiff_t y_stride) {
  constexpr int kTogether = std::is_same_v<Unit, UnitQ6_K> && T <= 2 ? 4 : 1;
  Flt acc[kParts16][T][1];
  for (auto& of_rows : acc)
    for (auto& of_token : of_rows) of_token[0] = Q::zero_f();
  for (int u = 0; u < n_units; ++u, at += 64 * Unit::kGroups) {
    const Tokens<W> first = x;
    for (int p = 0; p < kParts16; ++p) {
      const Unit unit{at + 4 * Q::kLanes * p};
      x = first;
      asm("" : "+r"(x.at));  // inputs are read again, not kept for every part on the stack
      for (int i = 0; i < Unit::kParts; i += kTogether) {
        for (int j = i; j < i + kTogether; ++j)
          if constexpr (Ask)
            ask_ahead<Unit, _MM_HINT_T0>(at, p * Unit::kParts + j, kParts16 * Unit::kParts, 4096);
        if constexpr (kTogether == 4) {
          add_half<T>(unit, i / 4, x, acc[p]);
        } else {
          Part part;
          unit.part(i, part);
          add_block<typename Unit::K, T, 1>(part, x, acc[p]);
        }
        for (int j = 0; j < kTogether; ++j) x.next();
      }
    }
  }
  for (int p = 0; p < kParts16; ++p)
    for (int t = 0; t < T; ++t) Q::store_f(y + t * y_stride + Q::kLanes * p, acc[p][t][0]);
}

// Tiles of few tokens are then cut alike, whether from the table's widest on or from eight.
static_assert((Q::kTokens & (Q::kTokens - 1)) == 0 || Q::kTokens > Q::kMostPacked);

struct ProductPacked {
  const std::byte* packed;
  int first_k, n_k;
  Q8Tokens x;
  int n_tokens;
  bool ask;
  float* y;
  std::ptrdiff_t y_stride;

  template <class Unit, int W, bool Ask>
  int tiles(int t) const {
    if constexpr (W <= Q::kTokens && W <= Q::kMostPacked) {
      constexpr int kAtOnce = W < Q::kPackedTokens ? W : Q::kPackedTokens;
      // Several tokens load too seldom for the hardware to run ahead by itself.
      constexpr bool kAsk = Ask || kAtOnce >= 4;
      for (; t + W <= n_tokens; t += W)
        for (int i = 0; i < W; i += kAtOnce)
          product_units<Unit, kAtOnce, W, kAsk>(
              unit_of<Unit>(packed, first_k), n_k / (kQ8Block * Unit::kParts),
              {tile<W>(x, t).at + 4 * i}, y + (t + i) * y_stride, y_stride);
    }
    return t;
  }
  template <class Unit, bool Ask>
  void cut() const {  // as q8_tile cuts
    int t = tiles<Unit, 8, Ask>(0);
    t = tiles<Unit, 4, Ask>(t);
    t = tiles<Unit, 2, Ask>(t);
    tiles<Unit, 1, Ask>(t);
  }
  template <class Unit>
  void run() const {
    if (ask)
      cut<Unit, true>();
    else
      cut<Unit, false>();
  }
};

struct ExpandPacked {
  const std::byte* packed;
  int first_k, n_k;
  std::byte* panel;

  template <class K>
  static void store(const Part& part, std::byte* to) {
    for (int g = 0; g < 8; ++g) Q::store(to + 64 * g, part.w[g]);
    Q::store_f(to + K::kD, part.scale);
    if constexpr (K::kMin) Q::store_f(to + K::kM, part.least);
    for (int h = 0; h < K::kSubs; ++h) {
      Q::store_f(to + K::kSub + 64 * h, part.subs[h]);
      if constexpr (K::kMin) Q::store_f(to + K::kSubMin + 64 * h, part.submins[h]);
    }
  }
  template <class Unit>
  void run() const {
    const std::byte* from = unit_of<Unit>(packed, first_k);
    std::byte* to = panel;
    // What is expanded next lies right behind, and is on its way while this is multiplied.
    const auto ahead = static_cast<std::size_t>(unit_of<Unit>(packed, first_k + n_k) - from);
    for (int k = 0; k < n_k; k += kQ8Block * Unit::kParts, from += 64 * Unit::kGroups)
      for (int p = 0; p < kParts16; ++p) {
        const Unit unit{from + 4 * Q::kLanes * p};
        for (int i = 0; i < Unit::kParts; ++i) {
          ask_ahead<Unit, _MM_HINT_T1>(from, p * Unit::kParts + i, kParts16 * Unit::kParts, ahead);
          Part part;
          unit.part(i, part);
          store<typename Unit::K>(part,
                                  to + (k / kQ8Block + i) * Unit::K::kBytes + 4 * Q::kLanes * p);
        }
      }
  }
};

// Calls f.template run<Unit>() for the unit of a type that is packed.
template <class F>
void with_unit(DType type, const F& f) {
  if (type == DType::Q4_0) return f.template run<UnitQ4_0>();
  if (type == DType::Q5_0) return f.template run<UnitQ5_0>();
  if (type == DType::Q8_0) return f.template run<UnitQ8_0>();
  if (type == DType::Q4_K) return f.template run<UnitQ4_K>();
  if (type == DType::Q6_K) return f.template run<UnitQ6_K>();
}

}  // namespace quant

void expand_packed_q8(DType type, const std::byte* packed, int first_k, int n_k, std::byte* panel) {
  quant::with_unit(type, quant::ExpandPacked{packed, first_k, n_k, panel});
}
void product_packed_q8(DType type, const std::byte* packed, int first_k, int n_k, Q8Tokens x,
                       int n_tokens, bool ask, float* y, std::ptrdiff_t y_stride) {
  quant::with_unit(type, quant::ProductPacked{packed, first_k, n_k, x, n_tokens, ask, y, y_stride});
}

}  // namespace
}  // namespace bezel
