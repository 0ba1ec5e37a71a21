// Operations on rows: element by element, with a masked last register.

namespace bezel {
namespace {

float sum_squares(const float* x, int n) {
  Lanes acc(0.0F);
  for (int i = 0; i < n; i += 16)
    for (int h = 0; h < kParts; ++h) {
      const int left = n - i - h * V::kLanes;
      if (left <= 0) break;
      const float* at = x + i + h * V::kLanes;
      const Reg v = left >= V::kLanes ? V::load(at) : V::load_part(at, left);
      acc.part[h] = V::fma(v, v, acc.part[h]);
    }
  return acc.fold_sum();
}

// fn(offset, n) for every register of a row: n == kLanes for all but perhaps the last.
template <class Fn>
void each_register(int n, const Fn& fn) {
  int i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) fn(i, V::kLanes);
  if (i < n) fn(i, n - i);
}
Reg get(const float* p, int n) {
  return n == V::kLanes ? V::load(p) : V::load_part(p, n);
}
void put(float* p, Reg v, int n) {
  n == V::kLanes ? V::store(p, v) : V::store_part(p, v, n);
}

void scale_weight(float* y, const float* x, float r, const float* w, int n) {
  const Reg factor = V::set(r);
  if (w == nullptr)
    each_register(n, [&](int i, int m) { put(y + i, V::mul(get(x + i, m), factor), m); });
  else
    each_register(n, [&](int i, int m) {
      put(y + i, V::mul(V::mul(get(x + i, m), factor), get(w + i, m)), m);
    });
}

void add(float* y, const float* x, int n) {
  each_register(n, [&](int i, int m) { put(y + i, V::add(get(y + i, m), get(x + i, m)), m); });
}

void scale(float* y, float s, int n) {
  const Reg factor = V::set(s);
  each_register(n, [&](int i, int m) { put(y + i, V::mul(get(y + i, m), factor), m); });
}

void fma_row(float* y, float w, const float* x, int n) {
  const Reg factor = V::set(w);
  each_register(n,
                [&](int i, int m) { put(y + i, V::fma(factor, get(x + i, m), get(y + i, m)), m); });
}

void gelu_mul(float* gate, const float* up, int n) {
  each_register(n, [&](int i, int m) {
    put(gate + i, V::mul(gelu_of(get(gate + i, m)), get(up + i, m)), m);
  });
}

void soft_cap(float* x, float cap, int n) {
  const Reg c = V::set(cap);
  each_register(n,
                [&](int i, int m) { put(x + i, V::mul(c, tanh_of(V::div(get(x + i, m), c))), m); });
}

void softmax(float* x, int n) {
  Lanes most(-__builtin_inff());
  const int whole = n / 16 * 16;
  float tail[16];
  for (int i = 0; i < 16; ++i) tail[i] = whole + i < n ? x[whole + i] : -__builtin_inff();
  const auto each_block = [&](const auto& fn) {
    for (int i = 0; i < whole; i += V::kLanes) fn(x + i, i / V::kLanes % kParts);
    for (int h = 0; h < kParts; ++h) fn(tail + h * V::kLanes, h);
  };
  each_block([&](float* at, int h) { most.part[h] = V::greater(V::load(at), most.part[h]); });
  const Reg top = V::set(most.fold_max());
  Lanes total(0.0F);
  each_block([&](float* at, int h) {
    const Reg p = exp_of(V::sub(V::load(at), top));
    V::store(at, p);
    total.part[h] = V::add(total.part[h], p);
  });
  for (int i = whole; i < n; ++i) x[i] = tail[i - whole];
  scale(x, 1.0F / total.fold_sum(), n);
}

void rope(float* x, const float* cos, const float* sin, int pairs, int half) {
  each_register(pairs, [&](int i, int m) {
    const Reg a = get(x + i, m), b = get(x + half + i, m), c = get(cos + i, m), s = get(sin + i, m);
    put(x + i, V::fma(a, c, V::negate(V::mul(b, s))), m);
    put(x + half + i, V::fma(b, c, V::mul(a, s)), m);
  });
}

}  // namespace
}  // namespace bezel
