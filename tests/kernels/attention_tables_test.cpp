// Attention entries: every table gives the bits of the scalar table, and keys outside a row's range
// are never used.
#include "base/fp_env.h"
#include "kernels/support.h"

namespace bezel::test {
namespace {

constexpr DType kTypes[] = {DType::F32, DType::F16, DType::BF16};

struct Page {
  std::vector<std::byte> k, v;
};

// A page whose keys [begin, end) are stored by `table`; all others hold bytes that read as NaN.
Page page_of(const KernelTable& table, DType type, int head_dim, int begin, int end, Kind kind,
             Random& random) {
  const std::size_t bytes =
      std::size_t{kSegment} * static_cast<std::size_t>(head_dim) * (type == DType::F32 ? 4U : 2U);
  Page page = {std::vector<std::byte>(bytes, std::byte{0xFF}),
               std::vector<std::byte>(bytes, std::byte{0xFF})};
  for (int at = begin; at < end; ++at) {
    // Keys of ordinary size: scores of huge keys say nothing about the masks.
    const auto k = values(random, head_dim, Kind::Ordinary), v = values(random, head_dim, kind);
    table.store_kv(type, page.k.data(), page.v.data(), at, k.data(), v.data(), head_dim);
  }
  return page;
}

class AttentionTables : public EveryTable {};

TEST_P(AttentionTables, StoreKeysAndValuesAsTheScalarTable) {
  const FpEnv env;
  for (const DType type : kTypes)
    for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
      for (const int head_dim : {8, 24, 64, 256}) {
        Random a(5), b(5);
        const Page ours = page_of(table(), type, head_dim, 3, 201, kind, a);
        const Page plain = page_of(scalar_table(), type, head_dim, 3, 201, kind, b);
        ASSERT_TRUE(ours.k == plain.k)
            << format(type).name << ", " << name(kind) << ", " << head_dim;
        ASSERT_TRUE(ours.v == plain.v)
            << format(type).name << ", " << name(kind) << ", " << head_dim;
      }
}

TEST_P(AttentionTables, RoundEveryHalfWayCaseToEven) {
  const FpEnv env;
  for (const DType type : {DType::F16, DType::BF16}) {
    const int dropped = type == DType::F16 ? 13 : 16;  // low bits that do not fit
    std::vector<float> x;
    for (std::uint32_t high = 0x38000000U >> static_cast<unsigned>(dropped); x.size() < 512; ++high)
      for (const std::uint32_t low : {0U, (1U << static_cast<unsigned>(dropped - 1)) - 1U,
                                      1U << static_cast<unsigned>(dropped - 1),
                                      (1U << static_cast<unsigned>(dropped - 1)) + 1U})
        x.push_back(std::bit_cast<float>((high << static_cast<unsigned>(dropped)) + low));
    x.push_back(65519.0F), x.push_back(65520.0F), x.push_back(-1e38F), x.push_back(0x1p-25F);
    x.push_back(0x1.000002p-25F), x.push_back(0x1p-24F), x.push_back(-0x1.8p-24F),
        x.push_back(-0.0F);
    const int n = static_cast<int>(x.size()) / 8 * 8;
    std::vector<std::byte> k(std::size_t{1024} * 16 * 4), v(std::size_t{1024} * 4);
    table().store_kv(type, k.data(), v.data(), 0, x.data(), x.data(), n);
    for (int i = 0; i < n; ++i) {
      std::uint16_t got;
      std::memcpy(&got, v.data() + std::ptrdiff_t{2} * i, 2);
      const float want = x[static_cast<std::size_t>(i)];
      ASSERT_EQ(got, type == DType::F16 ? f16_from_f32(want) : bf16_from_f32(want)) << want;
      std::memcpy(&got, k.data() + std::ptrdiff_t{2} * i * kKeyGroup, 2);
      ASSERT_EQ(got, type == DType::F16 ? f16_from_f32(want) : bf16_from_f32(want)) << want;
    }
  }
}

struct Ranges {
  std::vector<int> first, last;
};
// Causal ranges, windows, whole segments and empty ones.
Ranges ranges_of(int n_q, int shape, Random& random) {
  Ranges r;
  for (int i = 0; i < n_q; ++i) {
    int first = 0, last = kSegment;
    if (shape == 1) last = 40 + i;
    if (shape == 2) first = 100 + i, last = 131 + i;
    if (shape == 3) first = random.below(kSegment), last = random.below(kSegment + 1);
    if (shape == 4) first = i * 7 % 200, last = first + 1;
    r.first.push_back(first);
    r.last.push_back(last);
  }
  return r;
}

TEST_P(AttentionTables, AttendAsTheScalarTable) {
  const FpEnv env;
  Random random(23);
  for (const DType type : kTypes)
    for (const int head_dim : {8, 24, 64, 136, 256})
      for (int shape = 0; shape < 5; ++shape)
        for (const int n_q : {1, 2, 3, 5, 8, 11, 16}) {
          const Kind kind = n_q % 2 == 0 ? Kind::Ordinary : Kind::Extreme;
          const Ranges r = ranges_of(n_q, shape, random);
          int begin = kSegment, end = 0;
          for (int i = 0; i < n_q; ++i) {
            const auto at = static_cast<std::size_t>(i);
            if (r.first[at] >= r.last[at]) continue;
            begin = std::min(begin, r.first[at]), end = std::max(end, r.last[at]);
          }
          const Page page = page_of(scalar_table(), type, head_dim, begin, end, kind, random);
          const auto q = values(random, n_q * (head_dim + 5), Kind::Ordinary);
          const auto run = [&](const KernelTable& t) {
            std::vector<float> m(static_cast<std::size_t>(n_q), -7), l(m);
            std::vector<float> o(static_cast<std::size_t>(n_q * (head_dim + 3)), -7);
            t.attend_segment({q.data(), head_dim + 5, n_q, r.first.data(), r.last.data(),
                              page.k.data(), page.v.data(), type, head_dim, m.data(), l.data(),
                              o.data(), head_dim + 3});
            m.insert(m.end(), l.begin(), l.end());
            m.insert(m.end(), o.begin(), o.end());
            return m;
          };
          ASSERT_EQ(difference(run(table()), run(scalar_table())), "")
              << format(type).name << ", head " << head_dim << ", ranges " << shape << ", " << n_q;
        }
}

TEST_P(AttentionTables, JoinAsTheScalarTable) {
  const FpEnv env;
  Random random(29);
  for (const int head_dim : {8, 24, 64, 256}) {
    const auto run = [&](const KernelTable& t) {
      Random same(31);
      std::vector<float> state(static_cast<std::size_t>(head_dim + 2), 0.0F);
      state[0] = -std::numeric_limits<float>::infinity();
      for (int i = 0; i < 12; ++i) {
        const auto o = values(same, head_dim, i % 3 == 0 ? Kind::Extreme : Kind::Ordinary);
        t.join_segment(&state[0], &state[1], &state[2], same.unit() * 60, 1 + same.unit(), o.data(),
                       head_dim);
      }
      return state;
    };
    ASSERT_EQ(difference(run(table()), run(scalar_table())), "") << head_dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTables,
                         ::testing::ValuesIn(all_kernel_tables().begin(),
                                             all_kernel_tables().end() - 1),
                         table_name);

}  // namespace
}  // namespace bezel::test
