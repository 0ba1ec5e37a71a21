// Attention of query rows against one segment: lanes are keys for the scores, head dimensions for
// the values.

namespace bezel {
namespace {

// Asks for the line `offset` bytes behind `from` to come into the second cache. As a number: there
// may be no object that a pointer could point into. Forced inline: GCC takes a function that only
// asks for memory for one without effect, and drops its calls.
[[gnu::always_inline]] inline void ask_for(const std::byte* from, std::ptrdiff_t offset) {
  const auto at = reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(offset);
  __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 2);
}

// Scores of R query rows with G groups of 16 keys from group g on, into s[r][16 g ...]. Asks for
// keys further on meanwhile, and for the values of these keys: value_tile takes one line of each at
// a time, a stride that the hardware does not follow.
template <class From, int R, int G>
void score_tile(const float* const* q, const std::byte* k, const std::byte* v, int head_dim, int g,
                float (*s)[kSegment]) {
  Reg acc[R][G][kParts];
  for (auto& row : acc)
    for (auto& group : row)
      for (Reg& a : group) a = V::zero();
  const std::ptrdiff_t group_bytes = std::ptrdiff_t{From::kBytes} * kKeyGroup * head_dim;
  const std::byte* at = k + g * group_bytes;
  const std::byte* values = v + g * group_bytes;
  constexpr int kAhead = 4096;                         // bytes of keys
  constexpr int kStep = From::kBytes * kKeyGroup * G;  // bytes of values that one i stands for
  for (int i = 0; i < head_dim; ++i, at += From::kBytes * kKeyGroup) {
    for (int line = 0; line < kStep; line += 64) ask_for(values, std::ptrdiff_t{kStep} * i + line);
    for (int j = 0; j < G; ++j) ask_for(at, j * group_bytes + kAhead);
    Reg in[R];
    for (int r = 0; r < R; ++r) in[r] = V::set(q[r][i]);
    for (int j = 0; j < G; ++j)
      for (int h = 0; h < kParts; ++h) {
        const Reg key = From::load(at + j * group_bytes + From::kBytes * V::kLanes * h);
        for (int r = 0; r < R; ++r) acc[r][j][h] = V::fma(in[r], key, acc[r][j][h]);
      }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < G; ++j)
      for (int h = 0; h < kParts; ++h)
        V::store(s[r] + kKeyGroup * (g + j) + V::kLanes * h, acc[r][j][h]);
}

// o[r][i0 ...] of R rows and C registers goes on with keys [first, last).
template <class From, int R, int C>
void value_tile(const float (*p)[kSegment], const std::byte* v, int head_dim, int i0, int first,
                int last, float* const* o) {
  Reg acc[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) acc[r][c] = V::load(o[r] + i0 + c * V::kLanes);
  for (int j = first; j < last; ++j) {
    const std::byte* at = v + std::ptrdiff_t{From::kBytes} * (j * head_dim + i0);
    Reg weight[R];
    for (int r = 0; r < R; ++r) weight[r] = V::set(p[r][j]);
    for (int c = 0; c < C; ++c) {
      const Reg value = From::load(at + From::kBytes * V::kLanes * c);
      for (int r = 0; r < R; ++r) acc[r][c] = V::fma(weight[r], value, acc[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) V::store(o[r] + i0 + c * V::kLanes, acc[r][c]);
}

// All head dimensions of R rows with keys [first, last).
template <class From, int R>
void add_values(const float (*p)[kSegment], const std::byte* v, int head_dim, int first, int last,
                float* const* o) {
  if (first >= last) return;
  constexpr int kWide = R * 2 > V::kChains ? 2 : V::kChains / R;
  int i = 0;
  for (; i + kWide * V::kLanes <= head_dim; i += kWide * V::kLanes)
    value_tile<From, R, kWide>(p, v, head_dim, i, first, last, o);
  for (; i + V::kLanes <= head_dim; i += V::kLanes)
    value_tile<From, R, 1>(p, v, head_dim, i, first, last, o);
  for (; i < head_dim; ++i)
    for (int r = 0; r < R; ++r)
      for (int j = first; j < last; ++j)
        o[r][i] = __builtin_fmaf(
            p[r][j], From::value(v + std::ptrdiff_t{From::kBytes} * (j * head_dim + i)), o[r][i]);
}

// R query rows (numbers in `rows`) that each have an allowed key.
template <class From, int R>
void attend_tile(const SegmentArgs& a, const int* rows) {
  const float* q[R];
  float* o[R];
  int begin = kSegment, end = 0;          // keys that any row needs
  int all_begin = 0, all_end = kSegment;  // keys that all rows need
  for (int r = 0; r < R; ++r) {
    const int first = a.first[rows[r]], last = a.last[rows[r]];
    q[r] = a.q + rows[r] * a.q_stride;
    o[r] = a.o + rows[r] * a.o_stride;
    begin = first < begin ? first : begin;
    end = last > end ? last : end;
    all_begin = first > all_begin ? first : all_begin;
    all_end = last < all_end ? last : all_end;
    for (int i = 0; i < a.head_dim; ++i) o[r][i] = 0;
  }
  alignas(64) float s[R][kSegment];
  constexpr int kGroups = R * kParts >= V::kChains ? 1 : V::kChains / (R * kParts);
  const int group_end = (end + kKeyGroup - 1) / kKeyGroup;
  int g = begin / kKeyGroup;
  for (; g + kGroups <= group_end; g += kGroups)
    score_tile<From, R, kGroups>(q, a.k, a.v, a.head_dim, g, s);
  for (; g < group_end; ++g) score_tile<From, R, 1>(q, a.k, a.v, a.head_dim, g, s);
  for (int r = 0; r < R; ++r) {
    const int first = a.first[rows[r]], last = a.last[rows[r]];
    const int from = first / kKeyGroup * kKeyGroup;
    const int blocks = (last - from + kKeyGroup - 1) / kKeyGroup;
    for (int j = from; j < first; ++j) s[r][j] = -__builtin_inff();
    for (int j = last; j < from + blocks * kKeyGroup; ++j) s[r][j] = -__builtin_inff();
    exp_of_scores(s[r] + from, blocks, a.m[rows[r]], a.l[rows[r]]);
  }
  if (all_begin >= all_end) all_begin = all_end = kSegment;
  for (int r = 0; r < R; ++r) {
    const int last = a.last[rows[r]];
    add_values<From, 1>(s + r, a.v, a.head_dim, a.first[rows[r]],
                        last < all_begin ? last : all_begin, o + r);
  }
  add_values<From, R>(s, a.v, a.head_dim, all_begin, all_end, o);
  for (int r = 0; r < R; ++r)
    add_values<From, 1>(s + r, a.v, a.head_dim, all_end, a.last[rows[r]], o + r);
}

template <class From>
void attend_rows(const SegmentArgs& a) {
  int rows[V::kMaxRows];
  int n = 0;
  for (int r = 0; r < a.n_q; ++r) {
    if (a.first[r] < a.last[r]) rows[n++] = r;
    if (n == V::kMaxRows) {
      attend_tile<From, V::kMaxRows>(a, rows);
      n = 0;
    }
  }
  int done = 0;
  if constexpr (V::kMaxRows > 4) {
    if (n - done >= 4) {
      attend_tile<From, 4>(a, rows);
      done += 4;
    }
  }
  if (n - done >= 2) {
    attend_tile<From, 2>(a, rows + done);
    done += 2;
  }
  if (n > done) attend_tile<From, 1>(a, rows + done);
}

void attend_segment(const SegmentArgs& a) {
  with_stored(a.kv_type, [&a](auto from) { attend_rows<decltype(from)>(a); });
}

void join_segment(float* M, float* L, float* O, float m, float l, const float* o, int head_dim) {
  const float joined = m > *M ? m : *M;
  const Reg alpha = exp_of(V::set(*M - joined)), beta = exp_of(V::set(m - joined));
  *M = joined;
  *L = __builtin_fmaf(*L, V::first_lane(alpha), l * V::first_lane(beta));
  each_register(head_dim, [&](int i, int n) {
    put(O + i, V::fma(get(O + i, n), alpha, V::mul(get(o + i, n), beta)), n);
  });
}

}  // namespace
}  // namespace bezel
