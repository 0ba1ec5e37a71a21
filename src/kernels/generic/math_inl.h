// exp, tanh, gelu_tanh and the 16-lane sums on a vector type V (docs/numerics.md, "Functions",
// "Sums").
#include "kernels/math/constants.h"

namespace bezel {
namespace {

using Reg = V::Reg;
constexpr int kParts = 16 / V::kLanes;  // registers that make the 16 lanes of the contract

Reg exp_of(Reg x) {
  using namespace math;
  const Reg c = V::less(V::set(kExpHigh), x);
  const Reg t = V::fma(c, V::set(kLog2E), V::set(kRoundMagic));
  const Reg n = V::sub(t, V::set(kRoundMagic));
  const Reg r = V::fma(n, V::set(-kLn2Low), V::fma(n, V::set(-kLn2High), c));
  Reg q = V::fma(V::set(kExpC6), r, V::set(kExpC5));
  q = V::fma(q, r, V::set(kExpC4));
  q = V::fma(q, r, V::set(kExpC3));
  q = V::fma(q, r, V::set(kExpC2));
  const Reg s = V::fma(q, V::mul(r, r), r);
  const Reg y = V::mul(V::add(V::set(1.0F), s), V::power_of_two(t));
  return V::if_less(x, V::set(kExpLow), V::zero(), y);
}

Reg tanh_of(Reg x) {
  using namespace math;
  const Reg a = V::abs(x);
  const Reg z = V::mul(a, a);
  Reg q = V::fma(V::set(kTanhT4), z, V::set(kTanhT3));
  q = V::fma(q, z, V::set(kTanhT2));
  q = V::fma(q, z, V::set(kTanhT1));
  q = V::fma(q, z, V::set(kTanhT0));
  const Reg near = V::fma(a, V::mul(z, q), a);
  const Reg one = V::set(1.0F);
  const Reg far = V::sub(one, V::div(V::set(2.0F), V::add(exp_of(V::add(a, a)), one)));
  return V::with_sign(V::if_less(a, V::set(kTanhSwitch), near, far), x);
}

Reg gelu_of(Reg x) {
  const Reg u = V::fma(V::mul(x, x), V::set(math::kGeluG1), V::set(math::kGeluG0));
  const Reg t = tanh_of(V::mul(x, u));
  const Reg h = V::mul(V::set(0.5F), x);
  return V::fma(h, t, h);
}

// The sixteen lanes of a sum or a maximum.
struct Lanes {
  Reg part[kParts];

  explicit Lanes(float start) {
    for (Reg& p : part) p = V::set(start);
  }
  float fold_sum() const {
    float lane[16];
    for (int h = 0; h < kParts; ++h) V::store(lane + h * V::kLanes, part[h]);
    for (int w = 8; w > 0; w /= 2)
      for (int j = 0; j < w; ++j) lane[j] += lane[j + w];
    return lane[0];
  }
  float fold_max() const {
    float lane[16];
    for (int h = 0; h < kParts; ++h) V::store(lane + h * V::kLanes, part[h]);
    for (int w = 8; w > 0; w /= 2)
      for (int j = 0; j < w; ++j) lane[j] = lane[j + w] > lane[j] ? lane[j + w] : lane[j];
    return lane[0];
  }
};

// x[16 b, 16 (b + n_blocks)) becomes exp(x - max); gives the maximum and the sum. Entries that hold
// -infinity beside finite ones become +0 and so contribute nothing.
void exp_of_scores(float* x, int n_blocks, float& max, float& sum) {
  Lanes most(-__builtin_inff());
  for (int b = 0; b < n_blocks; ++b)
    for (int h = 0; h < kParts; ++h)
      most.part[h] = V::greater(V::load(x + 16 * b + V::kLanes * h), most.part[h]);
  max = most.fold_max();
  const Reg top = V::set(max);
  Lanes total(0.0F);
  for (int b = 0; b < n_blocks; ++b)
    for (int h = 0; h < kParts; ++h) {
      float* at = x + 16 * b + V::kLanes * h;
      const Reg p = exp_of(V::sub(V::load(at), top));
      V::store(at, p);
      total.part[h] = V::add(total.part[h], p);
    }
  sum = total.fold_sum();
}

}  // namespace
}  // namespace bezel
