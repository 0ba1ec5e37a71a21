// The quantised product in its plainest form: docs/numerics.md, "Activations" and "Quantised
// product".
// Order matters: weights_inl.h has what tokens_inl.h reads with.
// clang-format off
#include "kernels/packed.h"
#include "kernels/quant/weights_inl.h"
#include "kernels/quant/tokens_inl.h"
// clang-format on

namespace bezel {
namespace {

namespace quant {

// Squared error that rounding 32 inputs times r makes: 16 lanes, then folds.
float rounding_error(const float* x, float r) {
  float lane[16];
  for (int i = 0; i < kQ8Block; ++i) {
    const float z = x[i] * r, e = z - std::nearbyintf(z);
    lane[i % 16] = i < 16 ? e * e : std::fmaf(e, e, lane[i % 16]);
  }
  for (int w = 8; w > 0; w /= 2)
    for (int j = 0; j < w; ++j) lane[j] += lane[j + w];
  return lane[0];
}

// Which of the four scales loses least; of equals the first.
int best_scale(const float* x, float a) {
  int best = 0;
  float least = 0;
  for (int c = 0; c < 4; ++c) {
    const float cost = rounding_error(x, kRoundTo[c] / a) * kRoundCost[c];
    if (c > 0 && !(cost < least)) continue;
    best = c;
    least = cost;
  }
  return best;
}

}  // namespace quant

bool quantize_q8(const float* x, int n, Q8Row out) {
  bool finite = true;
  for (int b = 0; b < n / kQ8Block; ++b) {
    const float* in = x + b * kQ8Block;
    float a = 0;
    bool block_finite = true;
    for (int i = 0; i < kQ8Block; ++i) {
      const float size = __builtin_fabsf(in[i]);
      block_finite = block_finite && size <= 3.40282346638528859812e+38F;
      if (size > a) a = size;
    }
    finite = finite && block_finite;
    const bool zero = !(a >= 0x1p-100F) || !block_finite;
    const float to = quant::kRoundTo[zero ? 0 : quant::best_scale(in, a)];
    const float by = zero ? 0 : to / a;
    out.scale[b] = zero ? 0 : a / to;
    for (int h = 0; h < 2; ++h) {
      std::int32_t sum = 0;
      for (int i = 16 * h; i < 16 * h + 16; ++i) {
        const int q = zero ? 0 : static_cast<int>(std::nearbyintf(in[i] * by));
        out.q[b * kQ8Block + i] = static_cast<std::int8_t>(q);
        sum += q;
      }
      out.half_sums[2 * b + h] = sum;
    }
  }
  return finite;
}

namespace quant {

template <class K>
void put_scales(const Scales& p, int row, std::byte* block) {
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

struct ExpandScalar {
  DType type;
  const std::byte* rows;
  std::size_t row_bytes;
  int n_rows, first_k, n_k;
  std::byte* panel;

  template <class K>
  void run() const {
    const Shape shape = shape_of(type);
    for (int b = 0; b < n_k / kQ8Block; ++b) {
      std::byte* block = panel + b * K::kBytes;
      const int k = first_k + b * kQ8Block;
      for (int row = 0; row < kPanelRows; ++row) {
        Scales p = {};
        std::uint8_t w[kQ8Block] = {};
        if (row < n_rows) {
          const std::byte* at = rows + static_cast<std::size_t>(row) * row_bytes +
                                static_cast<std::size_t>(k / shape.weights * shape.bytes);
          weights(type, at, k % shape.weights / kQ8Block, w);
          scales(type, at, k % shape.weights / kQ8Block, &p);
        }
        for (int i = 0; i < kQ8Block; ++i)
          block[64 * (i / 4) + 4 * row + i % 4] = static_cast<std::byte>(w[i]);
        put_scales<K>(p, row, block);
      }
    }
  }
};

struct ProductScalar {
  const std::byte* panel;
  int n_k;
  Q8Tokens x;
  int n_tokens;
  bool first;
  float* y;
  std::ptrdiff_t y_stride;

  // One output: blocks ascending, integers exact, one fma a block and one more for the minimum.
  template <class K>
  float output(Tokens<1> in, int row, float acc) const {
    for (int b = 0; b < n_k / kQ8Block; ++b, in.next()) {
      const std::byte* block = panel + b * K::kBytes;
      const auto value = [block, row](int at) { return read<float>(block + at + 4 * row); };
      std::int32_t dot[2] = {0, 0};
      for (int i = 0; i < kQ8Block; ++i) {
        const int w = static_cast<int>(block[64 * (i / 4) + 4 * row + i % 4]) - K::kOffset;
        dot[i / 16] += w * in.input(i);
      }
      const std::int32_t s0 = K::kSubs > 0 ? static_cast<std::int32_t>(value(K::kSub)) : 1;
      const std::int32_t s1 = K::kSubs > 1 ? static_cast<std::int32_t>(value(K::kSub + 64)) : s0;
      const float s = in.scale(0);
      acc = std::fmaf(value(K::kD) * s, static_cast<float>(s0 * dot[0] + s1 * dot[1]), acc);
      if (!K::kMin) continue;
      const std::int32_t m0 = K::kSubs > 0 ? static_cast<std::int32_t>(value(K::kSubMin)) : 1;
      const std::int32_t m1 = K::kSubs > 1 ? static_cast<std::int32_t>(value(K::kSubMin + 64)) : m0;
      const std::int32_t sum = -m0 * in.minus_half(0, 0) - m1 * in.minus_half(1, 0);
      acc = std::fmaf(value(K::kM) * s, static_cast<float>(sum), acc);
    }
    return acc;
  }
  template <class K>
  void run() const {
    for (int t = 0; t < n_tokens; ++t)
      for (int row = 0; row < kPanelRows; ++row) {
        float& out = y[t * y_stride + row];
        out = output<K>(tile<1>(x, t), row, first ? 0 : out);
      }
  }
};

}  // namespace quant

void expand_q8(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
               int n_k, std::byte* panel) {
  quant::with_kind(type, quant::ExpandScalar{type, rows, row_bytes, n_rows, first_k, n_k, panel});
}
void product_q8(DType type, const std::byte* panel, int n_k, Q8Tokens x, int n_tokens, bool first,
                float* y, std::ptrdiff_t y_stride) {
  quant::with_kind(type, quant::ProductScalar{panel, n_k, x, n_tokens, first, y, y_stride});
}

namespace quant {

// One unit after the other, taken back to what the file has.
struct ExpandPackedScalar {
  DType type;
  const std::byte* packed;
  int first_k, n_k;
  std::byte* panel;

  template <class K>
  void run() const {
    const int inputs = packed_unit(type).inputs;
    std::byte rows[kPanelRows * kMaxUnitBytes];
    for (int k = 0; k < n_k; k += inputs) {
      for (int row = 0; row < kPanelRows; ++row)
        unpack_unit(type, packed, (first_k + k) / inputs, row,
                    rows + static_cast<std::ptrdiff_t>(row) * kMaxUnitBytes);
      ExpandScalar{type,
                   rows,
                   kMaxUnitBytes,
                   kPanelRows,
                   0,
                   inputs,
                   panel + static_cast<std::ptrdiff_t>(k) / kQ8Block * K::kBytes}
          .template run<K>();
    }
  }
};

}  // namespace quant

void expand_packed_q8(DType type, const std::byte* packed, int first_k, int n_k, std::byte* panel) {
  quant::with_kind(type, quant::ExpandPackedScalar{type, packed, first_k, n_k, panel});
}
void product_packed_q8(DType type, const std::byte* packed, int first_k, int n_k, Q8Tokens x,
                       int n_tokens, bool /*ask*/, float* y, std::ptrdiff_t y_stride) {
  const int inputs = packed_unit(type).inputs;
  alignas(64) std::byte panel[8 * 1024];  // of 256 inputs at most
  for (int k = 0; k < n_k; k += inputs) {
    expand_packed_q8(type, packed, first_k + k, inputs, panel);
    const Q8Tokens part = {x.at, x.token_bytes, x.first_k + k};
    product_q8(type, panel, inputs, part, n_tokens, k == 0, y, y_stride);
  }
}

}  // namespace
}  // namespace bezel
