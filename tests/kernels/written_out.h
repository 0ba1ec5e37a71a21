// docs/numerics.md as plain loops, written a second time and without the kernels: what the scalar
// table and the operations must give, to the bit.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace bezel::written_out {

using Row = std::vector<float>;

inline float exp(float x) {
  if (x < -87.0F) return 0.0F;
  const float c = x > 88.0F ? 88.0F : x;
  const float n = std::nearbyintf(static_cast<float>(static_cast<double>(c) * 0x1.715476p+0));
  // The sum c log2(e) + 1.5 2^23 is rounded once; n is that integer (ties to even).
  const float r = std::fma(n, -0x1.7f7d1cp-20F, std::fma(n, -0x1.62e4p-1F, c));
  float q = 0x1.6a21a8p-10F;
  for (const float coefficient : {0x1.123b68p-7F, 0x1.5558fcp-5F, 0x1.55549p-3F, 0x1.fffffcp-2F})
    q = std::fma(q, r, coefficient);
  return std::ldexp(1.0F + std::fma(q, r * r, r), static_cast<int>(n));
}

inline float tanh(float x) {
  const float a = std::fabs(x);
  float y = 1.0F - 2.0F / (exp(2.0F * a) + 1.0F);
  if (a < 0.625F) {
    const float z = a * a;
    float q = -0x1.6e41eap-8F;
    for (const float coefficient :
         {0x1.507918p-6F, -0x1.b7fbfp-5F, 0x1.110546p-3F, -0x1.55552ap-2F})
      q = std::fma(q, z, coefficient);
    y = std::fma(a, z * q, a);
  }
  return std::signbit(x) ? -y : y;
}

inline float gelu(float x) {
  const float u = x * std::fma(x * x, 0x1.2444f2p-5F, 0x1.988454p-1F);
  return std::fma(0.5F * x, tanh(u), 0.5F * x);
}

// Sixteen lanes to one number.
inline float fold(std::array<float, 16> lane) {
  for (const std::size_t w : {8U, 4U, 2U, 1U})
    for (std::size_t j = 0; j < w; ++j) lane[j] += lane[j + w];
  return lane[0];
}

inline float sum_squares(const Row& x) {
  std::array<float, 16> lane{};
  for (std::size_t i = 0; i < x.size(); ++i) lane[i % 16] = std::fma(x[i], x[i], lane[i % 16]);
  return fold(lane);
}

inline Row norm(const Row& x, const Row& w, float eps) {
  const float r = 1.0F / std::sqrt(sum_squares(x) / static_cast<float>(x.size()) + eps);
  Row y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = (x[i] * r) * w[i];
  return y;
}

inline Row softmax(const Row& x) {
  const float max = *std::max_element(x.begin(), x.end());
  std::array<float, 16> lane{};
  Row y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) lane[i % 16] += y[i] = exp(x[i] - max);
  const float r = 1.0F / fold(lane);
  for (float& v : y) v *= r;
  return y;
}

// 32 activations as int8 with their scale.
struct Rounded32 {
  std::array<int, 32> q{};
  float scale = 0;
};
inline Rounded32 round32(const float* x) {
  float a = 0;
  for (std::size_t i = 0; i < 32; ++i) a = std::max(a, std::fabs(x[i]));
  Rounded32 best;
  if (a < 0x1p-100F) return best;
  float least = std::numeric_limits<float>::infinity();
  for (const float m : {127.0F, 125.0F, 123.0F, 121.0F}) {
    const float r = m / a, share = 127.0F / m;
    std::array<float, 16> lane{};
    Rounded32 one{{}, a / m};
    for (std::size_t i = 0; i < 32; ++i) {
      const float z = x[i] * r, e = z - std::nearbyintf(z);
      lane[i % 16] = std::fma(e, e, lane[i % 16]);
      one.q[i] = static_cast<int>(std::nearbyintf(z));
    }
    const float loss = fold(lane) * (share * share);
    if (!(loss < least)) continue;
    least = loss;
    best = one;
  }
  return best;
}

// One output of the float product, in parts of 4096.
inline float dot(const float* w, const float* x, std::size_t n) {
  float y = 0;
  for (std::size_t part = 0; part < n; part += 4096) {
    float acc = 0;
    for (std::size_t k = part; k < std::min(n, part + 4096); ++k) acc = std::fma(w[k], x[k], acc);
    y = part == 0 ? acc : y + acc;
  }
  return y;
}

// One query head over keys [first, last) of the row's sequence; key and value give stored rows.
template <class Key, class Value>
Row attention(const Row& q, int first, int last, const Key& key, const Value& value) {
  const float infinity = std::numeric_limits<float>::infinity();
  float joined = -infinity, sum = 0;
  Row out(q.size(), 0.0F);
  for (int base = first / 256 * 256; base < last; base += 256) {
    const int begin = std::max(first, base), end = std::min(last, base + 256);
    Row score(256);
    float m = -infinity;
    for (int j = begin; j < end; ++j) {
      float& s = score[static_cast<std::size_t>(j - base)];
      s = dot(key(j).data(), q.data(), q.size());
      m = std::max(m, s);
    }
    std::array<float, 16> lane{};
    Row o(q.size(), 0.0F);
    for (int j = begin; j < end; ++j) {
      const float p = exp(score[static_cast<std::size_t>(j - base)] - m);
      lane[static_cast<std::size_t>(j % 16)] += p;
      const Row v = value(j);
      for (std::size_t i = 0; i < q.size(); ++i) o[i] = std::fma(p, v[i], o[i]);
    }
    const float top = std::max(joined, m);
    const float alpha = exp(joined - top), beta = exp(m - top);
    joined = top;
    sum = std::fma(sum, alpha, fold(lane) * beta);
    for (std::size_t i = 0; i < q.size(); ++i) out[i] = std::fma(out[i], alpha, o[i] * beta);
  }
  for (float& v : out) v *= 1.0F / sum;
  return out;
}

}  // namespace bezel::written_out
