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

// Activations: what the largest input of a block may become, and what an error of 1 there counts
// beside an error of 1 with the first, squared (docs/numerics.md, "Activations").
constexpr float kRoundTo[4] = {127, 125, 123, 121};
constexpr float kRoundCost[4] = {1, (127.0F / 125) * (127.0F / 125),
                                 (127.0F / 123) * (127.0F / 123), (127.0F / 121) * (127.0F / 121)};

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

template <class Block>
Block read(const std::byte* at) {
  Block b;
  __builtin_memcpy(&b, at, sizeof b);
  return b;
}

struct Shape {
  int weights, bytes;  // of a block in the file
};
Shape shape_of(DType type) {
  const Format& f = format(type);
  return {f.block_weights, f.block_bytes};
}

}  // namespace quant
}  // namespace
}  // namespace bezel
