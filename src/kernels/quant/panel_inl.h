// The int8 panel: what expand_q8 writes and product_q8 reads, and the plain decoding of every block
// type into it. Included into each isa/*.cpp; everything is local to that file.
//
// A panel is 16 weight rows, cut along the inputs into blocks of 32. A block is
//   u8  w[8][16][4]   group g holds inputs 4 g .. 4 g + 3 of every row; w = q_w + offset
//   f32 d[16]
//   f32 m[16]         types with a minimum
//   f32 sub[n][16]    n = 1: one subscale per 32 inputs; n = 2: one for each half
//   f32 submin[n][16] types with a minimum and subscales
// Subscales are small integers; they are kept as float32 because every product and sum of them with
// the integer dot stays below 2^24, so float32 arithmetic on them is exact (docs/numerics.md).

namespace bezel {
namespace {
namespace quant {

// What the product needs to know of a weight type.
template <int Offset, int Max, int Subs, bool Min>
struct Kind {
  static constexpr int kOffset = Offset;  // w - kOffset is the signed weight
  static constexpr int kMax = Max;        // largest w; 255: w uses the whole byte
  static constexpr int kSubs = Subs;
  static constexpr bool kMin = Min;
  static constexpr int kD = 512;  // byte offsets in a block
  static constexpr int kM = kD + 64;
  static constexpr int kSub = kM + (Min ? 64 : 0);
  static constexpr int kSubMin = kSub + 64 * Subs;
  static constexpr int kBytes = kSubMin + (Min ? 64 * Subs : 0);
};

// Calls f.template run<Kind>() for the kind of `type`.
template <class F>
void with_kind(DType type, const F& f) {
  switch (type) {
    case DType::Q4_0:
      return f.template run<Kind<8, 15, 0, false>>();
    case DType::Q5_0:
      return f.template run<Kind<16, 31, 0, false>>();
    case DType::Q8_0:
    case DType::IQ4_NL:
      return f.template run<Kind<128, 255, 0, false>>();
    case DType::Q4_1:
      return f.template run<Kind<0, 15, 0, true>>();
    case DType::Q5_1:
      return f.template run<Kind<0, 31, 0, true>>();
    case DType::Q4_K:
      return f.template run<Kind<0, 15, 1, true>>();
    case DType::Q5_K:
      return f.template run<Kind<0, 31, 1, true>>();
    case DType::IQ4_XS:
      return f.template run<Kind<128, 255, 1, false>>();
    case DType::Q6_K:
      return f.template run<Kind<32, 63, 2, false>>();
    case DType::Q3_K:
      return f.template run<Kind<4, 7, 2, false>>();
    case DType::Q2_K:
      return f.template run<Kind<0, 3, 2, true>>();
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::I32:
    case DType::U8:
      return;  // never asked for: these are no quantised weights
  }
}

// 32 weights of one row.
struct Part {
  std::uint8_t w[32];
  float d, m, sub[2], submin[2];
};

float from_f16(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t{h & 0x8000U} << 16U, exponent = (h >> 10U) & 31U;
  const std::uint32_t fraction = h & 0x3FFU;
  float x;
  if (exponent == 0) {
    x = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -x : x;
  }
  const std::uint32_t bits =
      sign | (exponent == 31 ? 0x7F800000U : (exponent + 112U) << 23U) | (fraction << 13U);
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

template <class Block>
Block read(const std::byte* at) {
  Block b;
  __builtin_memcpy(&b, at, sizeof b);
  return b;
}

// Six-bit scale and minimum of group j of Q4_K and Q5_K.
void scale_min(const std::uint8_t* s, int j, float* scale, float* min) {
  const unsigned lo = static_cast<unsigned>(j & 3), a = s[lo], b = s[lo + 4], c = s[lo + 8];
  *scale = static_cast<float>(j < 4 ? a & 63U : (c & 15U) | ((a >> 6U) << 4U));
  *min = static_cast<float>(j < 4 ? b & 63U : (c >> 4U) | ((b >> 6U) << 4U));
}
// Six-bit scale of group j (16 weights) of Q3_K.
float scale_q3(const std::uint8_t* s, int j) {
  const unsigned low = j < 8 ? s[j] & 15U : s[j - 8] >> 4U;
  const unsigned high = (s[8 + (j & 3)] >> (2 * (j / 4))) & 3U;
  return static_cast<float>(static_cast<int>(low | (high << 4U)) - 32);
}

// Everything but the weights of 32-input part `part` of the block at `at`.
void scales(DType type, const std::byte* at, int part, Part* p) {
  switch (type) {
    case DType::Q4_0:
    case DType::IQ4_NL:
      p->d = from_f16(read<BlockQ4_0>(at).d);
      return;
    case DType::Q5_0:
      p->d = from_f16(read<BlockQ5_0>(at).d);
      return;
    case DType::Q8_0:
      p->d = from_f16(read<BlockQ8_0>(at).d);
      return;
    case DType::Q4_1:
    case DType::Q5_1: {
      const auto dm = read<BlockQ4_1>(at);
      p->d = from_f16(dm.d);
      p->m = from_f16(dm.m);
      return;
    }
    case DType::Q4_K:
    case DType::Q5_K: {
      struct Head {
        std::uint16_t d, dmin;
        std::uint8_t s[12];
      };
      const auto head = read<Head>(at);
      p->d = from_f16(head.d);
      p->m = -from_f16(head.dmin);
      scale_min(head.s, part, &p->sub[0], &p->submin[0]);
      return;
    }
    case DType::IQ4_XS: {
      const auto b = read<BlockIQ4_XS>(at);
      const unsigned low = (b.sl[part / 2] >> (4 * (part & 1))) & 15U,
                     high = (b.sh >> (2 * part)) & 3U;
      p->d = from_f16(b.d);
      p->sub[0] = static_cast<float>(static_cast<int>(low | (high << 4U)) - 32);
      return;
    }
    case DType::Q6_K: {
      const auto* b = reinterpret_cast<const BlockQ6_K*>(at);
      p->d = from_f16(read<std::uint16_t>(reinterpret_cast<const std::byte*>(&b->d)));
      for (int h = 0; h < 2; ++h) p->sub[h] = static_cast<float>(b->s[2 * part + h]);
      return;
    }
    case DType::Q3_K: {
      const auto b = read<BlockQ3_K>(at);
      p->d = from_f16(b.d);
      for (int h = 0; h < 2; ++h) p->sub[h] = scale_q3(b.s, 2 * part + h);
      return;
    }
    case DType::Q2_K: {
      const auto b = read<BlockQ2_K>(at);
      p->d = from_f16(b.d);
      p->m = -from_f16(b.dmin);
      for (int h = 0; h < 2; ++h) {
        p->sub[h] = static_cast<float>(b.s[2 * part + h] & 15U);
        p->submin[h] = static_cast<float>(b.s[2 * part + h] >> 4U);
      }
      return;
    }
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::I32:
    case DType::U8:
      return;
  }
}

struct Shape {
  int weights, bytes;  // of a block in the file
};
Shape shape_of(DType type) {
  const Format& f = format(type);
  return {f.block_weights, f.block_bytes};
}

template <class K>
void put_scales(const Part& p, int row, std::byte* block) {
  const auto put = [row, block](int at, float x) {
    __builtin_memcpy(block + at + 4 * row, &x, sizeof x);
  };
  put(K::kD, p.d);
  if (K::kMin) put(K::kM, p.m);
  for (int h = 0; h < K::kSubs; ++h) {
    put(K::kSub + 64 * h, p.sub[h]);
    if (K::kMin) put(K::kSubMin + 64 * h, p.submin[h]);
  }
}

}  // namespace quant
}  // namespace
}  // namespace bezel
