// The scalar table: the numerics contract as plain loops. Lanes are array elements here.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/isa/tables.h"
#include "kernels/math/constants.h"
#include "kernels/quant/q8_scalar_inl.h"

namespace bezel {
namespace {

constexpr int kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// ---- functions

float exp_of(float x) {
  using namespace math;
  if (x < kExpLow) return 0.0F;
  const float c = kExpHigh < x ? kExpHigh : x;
  const float t = std::fma(c, kLog2E, kRoundMagic);
  const float n = t - kRoundMagic;
  const float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, c));
  float q = std::fma(kExpC6, r, kExpC5);
  q = std::fma(q, r, kExpC4);
  q = std::fma(q, r, kExpC3);
  q = std::fma(q, r, kExpC2);
  const float s = std::fma(q, r * r, r);
  const std::uint32_t power = (std::bit_cast<std::uint32_t>(t) << 23U) + 0x3F800000U;
  return (1.0F + s) * std::bit_cast<float>(power);
}

float tanh_of(float x) {
  using namespace math;
  const float a = std::fabs(x);
  float y;
  if (a < kTanhSwitch) {
    const float z = a * a;
    float q = std::fma(kTanhT4, z, kTanhT3);
    q = std::fma(q, z, kTanhT2);
    q = std::fma(q, z, kTanhT1);
    q = std::fma(q, z, kTanhT0);
    y = std::fma(a, z * q, a);
  } else {
    y = 1.0F - 2.0F / (exp_of(a + a) + 1.0F);
  }
  return std::copysign(y, x);
}

float gelu_of(float x) {
  const float t = tanh_of(x * std::fma(x * x, math::kGeluG1, math::kGeluG0));
  const float h = 0.5F * x;
  return std::fma(h, t, h);
}

// ---- sums to one number

float fold_sum(float (&lane)[kLanes]) {
  for (int w = kLanes / 2; w > 0; w /= 2)
    for (int j = 0; j < w; ++j) lane[j] += lane[j + w];
  return lane[0];
}

float fold_max(float (&lane)[kLanes]) {
  for (int w = kLanes / 2; w > 0; w /= 2)
    for (int j = 0; j < w; ++j) lane[j] = lane[j + w] > lane[j] ? lane[j + w] : lane[j];
  return lane[0];
}

// x[first..last) becomes exp(x - max); gives the maximum and the sum.
void exp_of_scores(float* x, int first, int last, float& max, float& sum) {
  float lane[kLanes];
  for (float& v : lane) v = -kInfinity;
  for (int i = first; i < last; ++i)
    lane[i % kLanes] = x[i] > lane[i % kLanes] ? x[i] : lane[i % kLanes];
  max = fold_max(lane);
  for (float& v : lane) v = 0;
  for (int i = first; i < last; ++i) {
    x[i] = exp_of(x[i] - max);
    lane[i % kLanes] += x[i];
  }
  sum = fold_sum(lane);
}

// ---- float product

float value_at(DType type, const std::byte* p, int i) {
  if (type == DType::F32) {
    float x;
    std::memcpy(&x, p + std::ptrdiff_t{4} * i, sizeof x);
    return x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, p + std::ptrdiff_t{2} * i, sizeof bits);
  return type == DType::F16 ? f32_from_f16(bits) : f32_from_bf16(bits);
}

void expand_f32(DType type, const std::byte* rows, std::size_t row_bytes, int n_rows, int first_k,
                int n_k, float* panel) {
  for (int r = n_rows; r < kPanelRows; ++r)
    for (int k = 0; k < n_k; ++k) panel[k * kPanelRows + r] = 0;
  for (int r = 0; r < n_rows; ++r) {
    const std::byte* row = rows + static_cast<std::size_t>(r) * row_bytes;
    if (type <= DType::BF16) {
      for (int k = 0; k < n_k; ++k) panel[k * kPanelRows + r] = value_at(type, row, first_k + k);
      continue;
    }
    const int block = format(type).block_weights;
    const std::byte* p =
        row + static_cast<std::ptrdiff_t>(first_k / block) * format(type).block_bytes;
    for (int k = 0; k < n_k; k += block, p += format(type).block_bytes) {
      float values[256];
      dequantize_row(type, p, values, static_cast<std::size_t>(block));
      for (int i = 0; i < block; ++i) panel[(k + i) * kPanelRows + r] = values[i];
    }
  }
}

void product_f32(DType type, const std::byte* panels, std::size_t panel_bytes, int n_panels,
                 int n_k, const float* const* x, int n_tokens, bool first, float* y,
                 std::ptrdiff_t y_stride) {
  for (int t = 0; t < n_tokens; ++t)
    for (int p = 0; p < n_panels; ++p) {
      const std::byte* panel = panels + panel_bytes * static_cast<std::size_t>(p);
      float* out = y + t * y_stride + p * kPanelRows;
      for (int lane = 0; lane < kPanelRows; ++lane) {
        float acc = first ? 0.0F : out[lane];
        for (int k = 0; k < n_k; ++k)
          acc = std::fma(value_at(type, panel, k * kPanelRows + lane), x[t][k], acc);
        out[lane] = acc;
      }
    }
}

// ---- rows

float sum_squares(const float* x, int n) {
  float lane[kLanes] = {};
  for (int i = 0; i < n; ++i) lane[i % kLanes] = std::fma(x[i], x[i], lane[i % kLanes]);
  return fold_sum(lane);
}

void scale_weight(float* y, const float* x, float r, const float* w, int n) {
  for (int i = 0; i < n; ++i) y[i] = w != nullptr ? (x[i] * r) * w[i] : x[i] * r;
}

void add(float* y, const float* x, int n) {
  for (int i = 0; i < n; ++i) y[i] += x[i];
}

void scale(float* y, float s, int n) {
  for (int i = 0; i < n; ++i) y[i] *= s;
}

void fma_row(float* y, float w, const float* x, int n) {
  for (int i = 0; i < n; ++i) y[i] = std::fma(w, x[i], y[i]);
}

void gelu_mul(float* gate, const float* up, int n) {
  for (int i = 0; i < n; ++i) gate[i] = gelu_of(gate[i]) * up[i];
}

void soft_cap(float* x, float cap, int n) {
  for (int i = 0; i < n; ++i) x[i] = cap * tanh_of(x[i] / cap);
}

void softmax(float* x, int n) {
  float max, sum;
  exp_of_scores(x, 0, n, max, sum);
  scale(x, 1.0F / sum, n);
}

void rope(float* x, const float* cos, const float* sin, int pairs, int half) {
  for (int i = 0; i < pairs; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = std::fma(a, cos[i], -(b * sin[i]));
    x[i + half] = std::fma(b, cos[i], a * sin[i]);
  }
}

// ---- attention

void attend_segment(const SegmentArgs& a) {
  for (int r = 0; r < a.n_q; ++r) {
    const int first = a.first[r], last = a.last[r];
    if (first >= last) continue;
    const float* q = a.q + r * a.q_stride;
    float* o = a.o + r * a.o_stride;
    float p[kSegment];
    for (int j = first; j < last; ++j) {
      const int group = j / kKeyGroup * kKeyGroup * a.head_dim;
      p[j] = 0;
      for (int i = 0; i < a.head_dim; ++i)
        p[j] =
            std::fma(q[i], value_at(a.kv_type, a.k, group + i * kKeyGroup + j % kKeyGroup), p[j]);
    }
    exp_of_scores(p, first, last, a.m[r], a.l[r]);
    for (int i = 0; i < a.head_dim; ++i) {
      o[i] = 0;
      for (int j = first; j < last; ++j)
        o[i] = std::fma(p[j], value_at(a.kv_type, a.v, j * a.head_dim + i), o[i]);
    }
  }
}

void join_segment(float* M, float* L, float* O, float m, float l, const float* o, int head_dim) {
  const float joined = m > *M ? m : *M;
  const float alpha = exp_of(*M - joined), beta = exp_of(m - joined);
  *M = joined;
  *L = std::fma(*L, alpha, l * beta);
  for (int i = 0; i < head_dim; ++i) O[i] = std::fma(O[i], alpha, o[i] * beta);
}

void put_value(DType type, std::byte* p, int i, float x) {
  if (type == DType::F32) {
    std::memcpy(p + std::ptrdiff_t{4} * i, &x, sizeof x);
    return;
  }
  const std::uint16_t bits = type == DType::F16 ? f16_from_f32(x) : bf16_from_f32(x);
  std::memcpy(p + std::ptrdiff_t{2} * i, &bits, sizeof bits);
}

void store_kv(DType type, std::byte* k_page, std::byte* v_page, int at, const float* k,
              const float* v, int head_dim) {
  const int group = at / kKeyGroup * kKeyGroup * head_dim;
  for (int i = 0; i < head_dim; ++i) {
    put_value(type, k_page, group + i * kKeyGroup + at % kKeyGroup, k[i]);
    put_value(type, v_page, at * head_dim + i, v[i]);
  }
}

}  // namespace

const KernelTable kScalarTable = {
    .name = "scalar",
    .needs = 0,
    .tile = 1,
    .packed_tokens = kFewTokens,
    .quantize_q8 = quantize_q8,
    .expand_q8 = expand_q8,
    .product_q8 = product_q8,
    .expand_packed_q8 = expand_packed_q8,
    .product_packed_q8 = product_packed_q8,
    .expand_f32 = expand_f32,
    .product_f32 = product_f32,
    .sum_squares = sum_squares,
    .scale_weight = scale_weight,
    .add = add,
    .scale = scale,
    .fma_row = fma_row,
    .gelu_mul = gelu_mul,
    .soft_cap = soft_cap,
    .softmax = softmax,
    .rope = rope,
    .attend_segment = attend_segment,
    .join_segment = join_segment,
    .store_kv = store_kv,
};

}  // namespace bezel
