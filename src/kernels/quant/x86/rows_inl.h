// One token's product straight from the rows of the file, for the types where that beats filling a
// panel first: each weight is used once, so nothing is gained by storing it expanded. One algorithm
// on Q and its dot. Same bits as expand_q8 and product_q8.

namespace bezel {
namespace {
namespace quant {

using Int = Q::Int;
using Flt = Q::Flt;

Int low_nibble(Int v) {
  return Q::both(v, Q::set8(15));
}
Int high_nibble(Int v) {
  return low_nibble(Q::right16(v, 4));
}
// Two inputs in the low or in the high half of every lane, zero in the other.
Int two_low(const std::int8_t* q) {
  std::uint16_t x;
  __builtin_memcpy(&x, q, sizeof x);
  return Q::set(x);
}
Int two_high(const std::int8_t* q) {
  return Q::left32(two_low(q), 16);
}
// acc = fma(d * s, I, acc).
Flt join(Flt d, float s, Int dot, Flt acc) {
  return Q::fma(Q::mul(d, Q::set_f(s)), Q::to_float(dot), acc);
}

// Reads 16 bytes of every row at a time, and asks for as much of rows to come, in the order of
// memory and evenly spread: many requests at once would wait for each other.
struct Stream {
  const std::byte* rows;
  std::size_t row_bytes;
  const char* ahead;

  [[gnu::always_inline]] void quads(int at, Int* v) const {
    Q::quads(rows + at, row_bytes, v);
    ask(at, 16);
  }
  // Asks for bytes [at, at + n) of every row to come.
  [[gnu::always_inline]] void ask(int at, int n) const {
    for (int i = 0; i < n * Q::kLanes; i += 64)
      _mm_prefetch(ahead + static_cast<std::ptrdiff_t>(Q::kLanes) * at + i, _MM_HINT_T1);
  }
};

// Q4_0 lies as d n0 .. n15, 18 bytes a block. Two blocks are nine groups of four bytes: of the
// first block the groups hold (d, n0, n1), n2..5, n6..9, n10..13, (n14, n15, d of the second
// block), then follow n0..3, n4..7, n8..11, n12..15 of the second. Eight blocks are nine loads of
// 16 bytes, so no scale is picked out alone. In 16 bits: |sum| <= 16 * 15 * 127 < 2^15.
struct RowsQ4_0 {
  static constexpr std::size_t kBytes = 144;  // of 256 inputs

  static Int offset(const std::int32_t* half_sums) {
    return Q::set(8 * (half_sums[0] + half_sums[1]));
  }
  // The block that begins in the high half of u[0], and ends in the low half of u[4].
  static Int even(const Int* u, const std::int8_t* q) {
    const Int first = Q::set(0x0F0F0000), last = Q::set(0x00000F0F);
    Int low = multiply_add(Q::zero(), Q::both(u[0], first), two_high(q));
    Int high = multiply_add(Q::zero(), Q::both(Q::right16(u[0], 4), first), two_high(q + 16));
    for (int i = 1; i < 4; ++i) {
      low = multiply_add(low, low_nibble(u[i]), Q::broadcast4(q + 4 * i - 2));
      high = multiply_add(high, high_nibble(u[i]), Q::broadcast4(q + 4 * i + 14));
    }
    low = multiply_add(low, Q::both(u[4], last), two_low(q + 14));
    high = multiply_add(high, Q::both(Q::right16(u[4], 4), last), two_low(q + 30));
    return whole(plus(low, high));
  }
  static Int odd(const Int* u, const std::int8_t* q) {
    Int low = Q::zero(), high = Q::zero();
    for (int i = 0; i < 4; ++i) {
      low = multiply_add(low, low_nibble(u[i]), Q::broadcast4(q + 4 * i));
      high = multiply_add(high, high_nibble(u[i]), Q::broadcast4(q + 16 + 4 * i));
    }
    return whole(plus(low, high));
  }

  [[gnu::always_inline]] static Flt step(const Stream& s, const Q8ConstRow& x, int k, Flt acc) {
    Int v[36];
    for (int p = 0, read = 0; p < 4; ++p) {
      for (; 4 * read < 9 * (p + 1); ++read) s.quads(16 * read, v + std::ptrdiff_t{4} * read);
      const Int* u = v + std::ptrdiff_t{9} * p;
      const std::int8_t* q = x.q + k + 64 * p;
      const int b = k / kQ8Block + 2 * p;
      const std::int32_t* sums = x.half_sums + 2 * b;
      acc = join(Q::f16_in(u[0], 0), x.scale[b], Q::sub32(even(u, q), offset(sums)), acc);
      acc = join(Q::f16_in(u[4], 2), x.scale[b + 1], Q::sub32(odd(u + 5, q + 32), offset(sums + 2)),
                 acc);
    }
    return acc;
  }
};

// Q8_0 lies as d q0 .. q31, 34 bytes a block. Two blocks are 17 groups of four bytes, the scales in
// the low half of the first and in the high half of the ninth.
struct RowsQ8_0 {
  static constexpr std::size_t kBytes = 272;

  static Int product(Int sum, Int w, Int x, int mask = -1) {
    return multiply_add_signed(sum, signed_weights(w, Q::set(mask)), x);
  }
  static Int offset(const std::int32_t* half_sums) {
    return Q::set(kSignedOffset * (half_sums[0] + half_sums[1]));
  }
  static Int even(const Int* u, const std::int8_t* q) {
    Int a = product(Q::zero(), u[0], two_high(q), static_cast<int>(0xFFFF0000));
    Int b = product(Q::zero(), u[8], two_low(q + 30), 0x0000FFFF);
    for (int i = 1; i < 8; ++i) {
      Int& to = i % 2 == 0 ? a : b;  // two chains
      to = product(to, u[i], Q::broadcast4(q + 4 * i - 2));
    }
    return Q::add32(a, b);
  }
  static Int odd(const Int* u, const std::int8_t* q) {
    Int a = Q::zero(), b = Q::zero();
    for (int i = 0; i < 8; i += 2) {
      a = product(a, u[i], Q::broadcast4(q + 4 * i));
      b = product(b, u[i + 1], Q::broadcast4(q + 4 * i + 4));
    }
    return Q::add32(a, b);
  }

  [[gnu::always_inline]] static Flt step(const Stream& s, const Q8ConstRow& x, int k, Flt acc) {
    Int v[68];
    for (int p = 0, read = 0; p < 4; ++p) {
      for (; 4 * read < 17 * (p + 1); ++read) s.quads(16 * read, v + std::ptrdiff_t{4} * read);
      const Int* u = v + std::ptrdiff_t{17} * p;
      const std::int8_t* q = x.q + k + 64 * p;
      const int b = k / kQ8Block + 2 * p;
      const std::int32_t* sums = x.half_sums + 2 * b;
      acc = join(Q::f16_in(u[0], 0), x.scale[b], Q::sub32(even(u, q), offset(sums)), acc);
      acc = join(Q::f16_in(u[8], 2), x.scale[b + 1], Q::sub32(odd(u + 9, q + 32), offset(sums + 2)),
                 acc);
    }
    return acc;
  }
};

// Q4_K lies as d, dmin, twelve bytes of scales and minima (six bits each), 128 bytes of nibbles.
struct RowsQ4_K {
  static constexpr std::size_t kBytes = 144;

  // Byte i of every lane, four small unsigned bytes, as float32.
  static Flt byte(Int v, int i) { return Q::to_float(Q::both(Q::right32(v, 8 * i), Q::set(255))); }

  // The scales are taken apart as in subscales_of. In 16 bits: |sum| <= 16 * 15 * 127.
  [[gnu::always_inline]] static Flt step(const Stream& s, const Q8ConstRow& x, int k, Flt acc) {
    Int head[4];
    s.quads(0, head);
    const Flt d = Q::f16_in(head[0], 0), m = Q::minus(Q::f16_in(head[0], 2));
    const Int six = Q::set(0x3F3F3F3F), top = Q::set(0x30303030);
    const Int sub[2] = {Q::both(head[1], six),
                        Q::any(low_nibble(head[3]), Q::both(Q::right32(head[1], 2), top))};
    const Int submin[2] = {Q::both(head[2], six),
                           Q::any(high_nibble(head[3]), Q::both(Q::right32(head[2], 2), top))};
    for (int p = 0; p < 8; p += 2) {
      Int v[8];
      s.quads(16 + 16 * p, v);
      s.quads(32 + 16 * p, v + 4);
      for (int odd = 0; odd < 2; ++odd) {
        const int part = p + odd, b = k / kQ8Block + part;
        const std::int8_t* q = x.q + k + 32 * part;
        Int sum[2] = {Q::zero(), Q::zero()};  // two chains
        for (int g = 0; g < 8; ++g)
          sum[g / 4] = multiply_add(sum[g / 4], odd == 0 ? low_nibble(v[g]) : high_nibble(v[g]),
                                    Q::broadcast4(q + 4 * g));
        const Flt scale = Q::set_f(x.scale[b]);
        const Flt dot =
            Q::mul(byte(sub[part / 4], part % 4), Q::to_float(whole(plus(sum[0], sum[1]))));
        acc = Q::fma(Q::mul(d, scale), dot, acc);
        const auto inputs = static_cast<float>(x.half_sums[2 * b] + x.half_sums[2 * b + 1]);
        const Flt least = Q::mul(byte(submin[part / 4], part % 4), Q::set_f(inputs));
        acc = Q::fma(Q::mul(m, scale), least, acc);
      }
    }
    return acc;
  }
};

// Q6_K lies as 128 bytes of nibbles, 64 bytes of two high bits, sixteen scales, d. Parts 0 and 2 of
// a half share the first 32 bytes of its nibbles, parts 1 and 3 the others; all four share 32 bytes
// of high bits.
struct RowsQ6_K {
  static constexpr std::size_t kBytes = 210;

  // Signed byte i of every lane as float32.
  static Flt byte(Int v, int i) {
    return Q::to_float(Q::right32_signed(Q::left32(v, 24 - 8 * i), 24));
  }
  // Weights plus 32 of part j, from a group of nibbles and one of high bits.
  static Int weights(Int nibbles, Int high, int j) {
    const Int bits = j == 0   ? Q::left16(high, 4)
                     : j == 1 ? Q::left16(high, 2)
                     : j == 2 ? high
                              : Q::right16(high, 2);
    return Q::any(j < 2 ? low_nibble(nibbles) : high_nibble(nibbles), Q::both(bits, Q::set8(0x30)));
  }
  // 16 inputs: the integer dot of groups n[0..4) and h[0..4), offset taken away. In 16 bits two
  // products fit: 2 * 2 * 63 * 127 < 2^15.
  static Flt dot(const Int* n, const Int* h, int j, const std::int8_t* q, std::int32_t sum) {
    const auto two = [&](int g) {
      const Int one = multiply_add(Q::zero(), weights(n[g], h[g], j), Q::broadcast4(q + 4 * g));
      return whole(multiply_add(one, weights(n[g + 1], h[g + 1], j), Q::broadcast4(q + 4 * g + 4)));
    };
    return Q::to_float(Q::sub32(Q::add32(two(0), two(2)), Q::set(32 * sum)));
  }

  [[gnu::always_inline]] static Flt step(const Stream& s, const Q8ConstRow& x, int k, Flt acc) {
    const Flt d = Q::f16_of_rows(s.rows + 208, s.row_bytes);
    Int sub[4];
    Q::quads(s.rows + 192, s.row_bytes, sub);
    for (int half = 0; half < 2; ++half) {
      Int n[16], h[8];
      for (int c = 0; c < 4; ++c)
        Q::quads(s.rows + 64 * half + 16 * c, s.row_bytes, n + std::ptrdiff_t{4} * c);
      for (int c = 0; c < 2; ++c)
        Q::quads(s.rows + 128 + 32 * half + 16 * c, s.row_bytes, h + std::ptrdiff_t{4} * c);
      for (int j = 0; j < 4; ++j) {
        const int part = 4 * half + j, b = k / kQ8Block + part;
        s.ask(28 * part, 28);
        const std::int8_t* q = x.q + k + 32 * part;
        const std::int32_t* sums = x.half_sums + 2 * b;
        const Int* from = n + std::ptrdiff_t{8} * (j & 1);
        const Int scale = sub[part / 2];
        const Flt low = Q::mul(byte(scale, part % 2 * 2), dot(from, h, j, q, sums[0]));
        const Flt both =
            Q::fma(byte(scale, part % 2 * 2 + 1), dot(from + 4, h + 4, j, q + 16, sums[1]), low);
        acc = Q::fma(Q::mul(d, Q::set_f(x.scale[b])), both, acc);
      }
    }
    return acc;
  }
};

constexpr std::size_t kAheadBytes = 32U << 10U;  // at least; measured (docs/speed.md)

// Sixteen whole rows, n_k inputs from first_k on, both multiples of 256.
template <class Rows>
void product_rows(const std::byte* rows, std::size_t row_bytes, int first_k, int n_k,
                  const Q8ConstRow& x, bool first, float* y) {
  const std::size_t together = Q::kLanes * row_bytes;
  const std::size_t distance = (kAheadBytes + together - 1) / together * together;
  for (int at = 0; at < kPanelRows; at += Q::kLanes) {
    Flt acc = first ? Q::zero_f() : Q::loadu_f(y + at);
    const std::byte* from = rows + static_cast<std::size_t>(at) * row_bytes;
    for (int k = 0; k < n_k; k += 256) {
      const std::size_t done = static_cast<std::size_t>((first_k + k) / 256) * Rows::kBytes;
      // The address lies outside the matrix at its end, so it is no pointer before that.
      const auto ahead = reinterpret_cast<std::uintptr_t>(from) + distance + Q::kLanes * done;
      const Stream s = {from + done, row_bytes, reinterpret_cast<const char*>(ahead)};
      acc = Rows::step(s, x, k, acc);
    }
    Q::store_f(y + at, acc);
  }
}

}  // namespace quant

bool product_rows_q8(DType type, const std::byte* rows, std::size_t row_bytes, int first_k, int n_k,
                     const Q8ConstRow& x, bool first, float* y) {
  if (first_k % 256 != 0 || n_k % 256 != 0) return false;
  if (type == DType::Q4_0)
    quant::product_rows<quant::RowsQ4_0>(rows, row_bytes, first_k, n_k, x, first, y);
  else if (type == DType::Q8_0)
    quant::product_rows<quant::RowsQ8_0>(rows, row_bytes, first_k, n_k, x, first, y);
  else if (type == DType::Q4_K)
    quant::product_rows<quant::RowsQ4_K>(rows, row_bytes, first_k, n_k, x, first, y);
  else if (type == DType::Q6_K)
    quant::product_rows<quant::RowsQ6_K>(rows, row_bytes, first_k, n_k, x, first, y);
  else
    return false;
  return true;
}

}  // namespace
}  // namespace bezel
