// The int8 product: the scalar table is the contract written out in plain loops, and every other
// table equals the scalar one to the bit, on random and extreme blocks.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "kernels/woven.h"
#include "kernels/written_out.h"
#include "robust/sanitized.h"

namespace bezel {
namespace {

constexpr DType kTypes[] = {DType::Q4_0, DType::Q4_1, DType::Q5_0,   DType::Q5_1,
                            DType::Q8_0, DType::Q2_K, DType::Q3_K,   DType::Q4_K,
                            DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS};

const KernelTable& scalar() {
  return **find_kernels("scalar");
}

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using Aligned = std::unique_ptr<T[], AlignedFree>;
template <class T>
Aligned<T> aligned(std::size_t n) {
  const std::size_t bytes = (n * sizeof(T) + 127) / 64 * 64;
  auto* p = static_cast<T*>(std::aligned_alloc(64, bytes));
  std::memset(p, 0, bytes);
  return Aligned<T>(p);
}

// Where a block keeps its f16 scales; they must stay finite for a product to mean anything.
std::vector<std::size_t> scale_offsets(DType type) {
  switch (type) {
    case DType::Q4_1:
    case DType::Q5_1:
    case DType::Q4_K:
    case DType::Q5_K:
      return {0, 2};
    case DType::Q2_K:
      return {80, 82};
    case DType::Q3_K:
      return {108};
    case DType::Q6_K:
      return {208};
    default:
      return {0};
  }
}

enum class Fill { Random, Zeros, Ones, SignBits };

// `rows` rows of n weights; random bytes, or all bits of the quants alike; finite random scales.
std::vector<std::byte> make_rows(DType type, int rows, int n, Fill fill, std::mt19937& rng) {
  const Format& f = format(type);
  std::vector<std::byte> out(static_cast<std::size_t>(rows) *
                             row_bytes(type, static_cast<std::size_t>(n)));
  for (auto& b : out) {
    const auto r = static_cast<std::uint8_t>(rng());
    b = std::byte{fill == Fill::Random  ? r
                  : fill == Fill::Zeros ? std::uint8_t{0}
                  : fill == Fill::Ones  ? std::uint8_t{0xFF}
                                        : std::uint8_t{0x80}};
  }
  const auto step = static_cast<std::size_t>(f.block_bytes);
  for (std::size_t at = 0; at < out.size(); at += step)
    for (const std::size_t s : scale_offsets(type)) {
      std::uint16_t h = static_cast<std::uint16_t>(rng());
      if ((h & 0x7C00U) == 0x7C00U) h ^= 0x4000U;
      std::memcpy(out.data() + at + s, &h, sizeof h);
    }
  return out;
}

// One rounded activation row.
struct Rounded {
  Rounded(const KernelTable& table, const std::vector<float>& x)
      : q(aligned<std::int8_t>(x.size())), scale(x.size() / 32), sums(x.size() / 16) {
    finite = table.quantize_q8(x.data(), static_cast<int>(x.size()),
                               {q.get(), scale.data(), sums.data()});
  }
  Q8ConstRow row() const { return {q.get(), scale.data(), sums.data()}; }
  Aligned<std::int8_t> q;
  std::vector<float> scale;
  std::vector<std::int32_t> sums;
  bool finite = false;
};

// `tokens` rounded rows; row(t) makes the activations of one.
template <class Row>
std::vector<Rounded> rounded(int tokens, Row row) {
  std::vector<Rounded> out;
  out.reserve(static_cast<std::size_t>(tokens));
  for (int t = 0; t < tokens; ++t) out.emplace_back(scalar(), row(t));
  return out;
}

// Rows as a table's products read them.
struct Woven {
  Woven(const KernelTable& table, const std::vector<Rounded>& x) {
    const int n = static_cast<int>(32 * x[0].scale.size()), rows = static_cast<int>(x.size());
    bytes.resize(woven_bytes(rows, n));
    for (int t = 0; t < rows;) {
      const int tile = q8_tile(rows - t, table.tile);
      const Rounded* first = x.data() + t;
      for (int lane = 0; lane < tile; ++lane)
        weave_q8(first[lane].row(), n, tile, lane, bytes.data() + woven_bytes(t, n));
      t += tile;
    }
    tokens = {bytes.data(), woven_bytes(1, n), 0};
  }
  std::vector<std::byte> bytes;
  Q8Tokens tokens;
};

std::vector<float> random_row(int n, std::mt19937& rng, float size) {
  std::normal_distribution<float> normal(0, size);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(rng);
  return x;
}

std::vector<float> product(const KernelTable& t, DType type, const std::vector<std::byte>& w,
                           int n_rows, int n, const std::vector<Rounded>& x) {
  const auto panel = aligned<std::byte>(panel_bytes_q8(n));
  t.expand_q8(type, w.data(), row_bytes(type, static_cast<std::size_t>(n)), n_rows, 0, n,
              panel.get());
  const Woven woven(t, x);
  std::vector<float> y(x.size() * kPanelRows + 1, 12345.0F);
  t.product_q8(type, panel.get(), n, woven.tokens, static_cast<int>(x.size()), true, y.data(),
               kPanelRows);
  EXPECT_EQ(y.back(), 12345.0F) << "written beyond the outputs";
  y.pop_back();
  return y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// The contract for types without a minimum, from the dequantised integers themselves: the reader's
// float values divided by d are the products of subscale and weight.
float plain_output(DType type, const std::byte* row, int n, const Q8ConstRow& x) {
  const Format& f = format(type);
  std::vector<float> block(static_cast<std::size_t>(f.block_weights));
  float acc = 0;
  for (int k = 0; k < n; k += 32) {
    const std::byte* at = row + static_cast<std::ptrdiff_t>(k / f.block_weights) * f.block_bytes;
    std::uint16_t bits;
    std::memcpy(&bits, at + scale_offsets(type)[0], sizeof bits);
    std::vector<std::byte> unit(at, at + f.block_bytes);  // the same block with d = 1
    const std::uint16_t one = 0x3C00;
    std::memcpy(unit.data() + scale_offsets(type)[0], &one, sizeof one);
    dequantize_row(type, unit.data(), block.data(), block.size());
    const float* weights = block.data() + k % f.block_weights;
    std::int64_t sum = 0;
    for (int i = 0; i < 32; ++i) sum += std::int64_t{x.q[k + i]} * std::llround(weights[i]);
    EXPECT_LT(std::llabs(sum), 1 << 24);
    acc = std::fma(f32_from_f16(bits) * x.scale[k / 32], static_cast<float>(sum), acc);
  }
  return acc;
}

TEST(QuantScalar, ProductWithoutMinimumIsTheContractWrittenOut) {
  std::mt19937 rng(1);
  for (const DType type : {DType::Q4_0, DType::Q5_0, DType::Q8_0, DType::Q3_K, DType::Q6_K,
                           DType::IQ4_NL, DType::IQ4_XS})
    for (const Fill fill : {Fill::Random, Fill::Ones, Fill::SignBits}) {
      const int n = 1024;
      const auto w = make_rows(type, kPanelRows, n, fill, rng);
      const auto x = rounded(1, [&](int) { return random_row(n, rng, 3); });
      const auto y = product(scalar(), type, w, kPanelRows, n, x);
      for (int r = 0; r < kPanelRows; ++r) {
        const float want = plain_output(
            type, w.data() + static_cast<std::size_t>(r) * row_bytes(type, n), n, x[0].row());
        ASSERT_EQ(std::bit_cast<std::uint32_t>(want),
                  std::bit_cast<std::uint32_t>(y[static_cast<std::size_t>(r)]))
            << format(type).name << " row " << r;
      }
    }
}

TEST(QuantScalar, ProductWithMinimumIsCloseToTheDequantisedOne) {
  std::mt19937 rng(2);
  for (const DType type : {DType::Q4_1, DType::Q5_1, DType::Q2_K, DType::Q4_K, DType::Q5_K}) {
    const int n = 512;
    const auto w = make_rows(type, kPanelRows, n, Fill::Random, rng);
    const auto x = rounded(1, [&](int) { return random_row(n, rng, 1); });
    const auto y = product(scalar(), type, w, kPanelRows, n, x);
    std::vector<float> row(n);
    for (std::size_t r = 0; r < kPanelRows; ++r) {
      dequantize_row(type, w.data() + r * row_bytes(type, n), row.data(), n);
      double want = 0, mass = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double term = double{row[i]} * x[0].q[i] * x[0].scale[i / 32];
        want += term;
        mass += std::fabs(term);
      }
      EXPECT_NEAR(y[r], want, 1e-4 * mass) << format(type).name;
    }
  }
}

TEST(QuantTables, EveryProductEqualsTheScalarTablesForEveryTypeAndNumberOfTokens) {
  std::mt19937 rng(3);
  int compared = 0;
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table) || table == &scalar()) continue;
    for (const DType type : kTypes)
      for (const Fill fill :
           test::compared({Fill::Zeros, Fill::Ones, Fill::SignBits, Fill::Random}))
        for (const int n : {format(type).block_weights, 768, 4096})
          for (const int tokens : {1, 2, 3, 5, 7, 12, 20, 31}) {
            if (n == 4096 && tokens > 3) continue;
            const auto w = make_rows(type, kPanelRows, n, fill, rng);
            const auto x = rounded(
                tokens, [&](int t) { return random_row(n, rng, std::ldexp(1.0F, t % 9 - 4)); });
            ASSERT_TRUE(same_bits(product(*table, type, w, kPanelRows, n, x),
                                  product(scalar(), type, w, kPanelRows, n, x)))
                << table->name << " " << format(type).name << " n " << n << " tokens " << tokens;
            ++compared;
          }
  }
  RecordProperty("compared", compared);
  if (compared == 0) GTEST_SKIP() << "this machine runs no table but the scalar one";
}

TEST(QuantTables, LargestActivationsAndWeightsDoNotOverflow) {
  std::mt19937 rng(4);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const DType type : kTypes)
      for (const Fill fill : {Fill::Ones, Fill::SignBits, Fill::Zeros})
        for (const float sign : {1.0F, -1.0F}) {
          const int n = 512;
          const auto w = make_rows(type, kPanelRows, n, fill, rng);
          const auto x = rounded(5, [&](int) { return std::vector<float>(n, sign * 7); });
          ASSERT_EQ(x[0].q[0], sign * 127);
          ASSERT_TRUE(same_bits(product(*table, type, w, kPanelRows, n, x),
                                product(scalar(), type, w, kPanelRows, n, x)))
              << table->name << " " << format(type).name;
        }
  }
}

TEST(QuantTables, PanelsOfFewRowsReadNothingBeyondThemAndCountTheRestAsZero) {
  std::mt19937 rng(5);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const DType type : kTypes)
      for (int n_rows = 1; n_rows < kPanelRows; n_rows += 4) {
        const int n = 256;
        const auto all = make_rows(type, n_rows, n, Fill::Random, rng);
        std::vector<std::byte> exact(
            all);  // its end is the end of an allocation: sanitizers watch it
        exact.shrink_to_fit();
        const auto x = rounded(1, [&](int) { return random_row(n, rng, 1); });
        const auto y = product(*table, type, exact, n_rows, n, x);
        EXPECT_TRUE(same_bits(y, product(scalar(), type, all, n_rows, n, x)))
            << table->name << " " << format(type).name;
        for (std::size_t r = static_cast<std::size_t>(n_rows); r < kPanelRows; ++r)
          EXPECT_EQ(y[r], 0) << table->name;
      }
  }
}

TEST(QuantTables, PartsThatBeginInsideARowEqualTheScalarTables) {
  std::mt19937 rng(6);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const DType type : kTypes) {
      constexpr int n = 1024, first = 512;
      const auto w = make_rows(type, kPanelRows, n, Fill::Random, rng);
      const auto mine = aligned<std::byte>(panel_bytes_q8(n)),
                 plain = aligned<std::byte>(panel_bytes_q8(n));
      const std::size_t stride = row_bytes(type, n);
      table->expand_q8(type, w.data(), stride, kPanelRows, first, n - first, mine.get());
      scalar().expand_q8(type, w.data(), stride, kPanelRows, first, n - first, plain.get());
      const auto x = rounded(1, [&](int) { return random_row(n, rng, 1); });
      const Woven woven(*table, x);  // one token: the same on every table
      const Q8Tokens part = {woven.tokens.at, woven.tokens.token_bytes, first};
      std::vector<float> a(kPanelRows), b(kPanelRows);
      table->product_q8(type, mine.get(), n - first, part, 1, true, a.data(), kPanelRows);
      scalar().product_q8(type, plain.get(), n - first, part, 1, true, b.data(), kPanelRows);
      EXPECT_TRUE(same_bits(a, b)) << table->name << " " << format(type).name;
    }
  }
}

// Sixteen rows as pack_panel lays them out.
Aligned<std::byte> packed(DType type, const std::vector<std::byte>& rows, int n) {
  auto out = aligned<std::byte>(kPanelRows * packed_row_bytes(type, n));
  pack_panel(type, rows.data(), row_bytes(type, static_cast<std::size_t>(n)), n, out.get());
  return out;
}

TEST(QuantPacked, EveryByteOfTheFileComesBack) {
  std::mt19937 rng(8);
  int types = 0;
  for (const DType type : kTypes) {
    const PackedUnit unit = packed_unit(type);
    if (unit.inputs == 0 || !is_quantised(type)) continue;
    ++types;
    const int n = 3 * unit.inputs;
    const auto w = make_rows(type, kPanelRows, n, Fill::Random, rng);
    const auto panel = packed(type, w, n);
    const std::size_t bytes = w.size() / kPanelRows / 3;  // of a unit
    for (std::size_t row = 0; row < kPanelRows; ++row)
      for (std::size_t u = 0; u < 3; ++u) {
        std::vector<std::byte> got(bytes);
        unpack_unit(type, panel.get(), static_cast<int>(u), static_cast<int>(row), got.data());
        EXPECT_EQ(std::memcmp(got.data(), w.data() + (3 * row + u) * bytes, bytes), 0)
            << format(type).name << ", row " << row << ", unit " << u;
      }
  }
  EXPECT_EQ(types, 5);
}

TEST(QuantPacked, OnlyWholePanelsAndUnitsCanBePacked) {
  EXPECT_TRUE(can_pack(DType::Q4_0, 16, 64));
  EXPECT_FALSE(can_pack(DType::Q4_0, 17, 64));
  EXPECT_FALSE(can_pack(DType::Q4_0, 16, 96));
  EXPECT_FALSE(can_pack(DType::Q4_K, 32, 128));
  EXPECT_FALSE(can_pack(DType::Q4_1, 16, 256));
  EXPECT_TRUE(can_pack(DType::BF16, 16, 3));
  EXPECT_FALSE(can_pack(DType::F16, 17, 64));
}

TEST(QuantPacked, ProductsEqualThoseOfTheFilesRows) {
  std::mt19937 rng(9);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const DType type : kTypes)
      for (const Fill fill : {Fill::Random, Fill::Zeros, Fill::Ones})
        for (const int n : {64, 256, 1536, 4096}) {
          if (!can_pack(type, kPanelRows, n)) continue;
          const auto w = make_rows(type, kPanelRows, n, fill, rng);
          const auto panel = packed(type, w, n), expanded = aligned<std::byte>(panel_bytes_q8(n));
          table->expand_packed_q8(type, panel.get(), 0, n, expanded.get());
          std::vector<Rounded> x;
          constexpr int kMost = 12;
          ASSERT_LT(table->packed_tokens, kMost);
          for (int t = 1; t <= kMost; ++t) {
            x.emplace_back(*table, random_row(n, rng, 1));
            const Woven woven(*table, x);
            const auto want = product(*table, type, w, kPanelRows, n, x);
            std::vector<float> got(want.size());
            for (const bool ask : {false, true}) {
              if (t > table->packed_tokens) break;
              got.assign(got.size(), -1);
              table->product_packed_q8(type, panel.get(), 0, n, woven.tokens, t, ask, got.data(),
                                       kPanelRows);
              ASSERT_TRUE(same_bits(got, want))
                  << table->name << " " << format(type).name << " " << n << ", " << t << " tokens";
            }
            table->product_q8(type, expanded.get(), n, woven.tokens, t, true, got.data(),
                              kPanelRows);
            ASSERT_TRUE(same_bits(got, want))
                << table->name << " " << format(type).name << " " << n;
          }
        }
  }
}

TEST(QuantPacked, PartsMayBeginInsideARow) {
  std::mt19937 rng(10);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const DType type : kTypes) {
      constexpr int n = 1024, first = 512;
      if (!can_pack(type, kPanelRows, n)) continue;
      const auto w = make_rows(type, kPanelRows, n, Fill::Random, rng);
      const auto panel = packed(type, w, n), plain = aligned<std::byte>(panel_bytes_q8(n));
      scalar().expand_q8(type, w.data(), row_bytes(type, n), kPanelRows, first, n - first,
                         plain.get());
      const auto x = rounded(table->packed_tokens, [&](int) { return random_row(n, rng, 1); });
      const Woven mine(*table, x), plainly(scalar(), x);
      const auto from = [](const Woven& of) {
        return Q8Tokens{of.tokens.at, of.tokens.token_bytes, first};
      };
      std::vector<float> got(x.size() * kPanelRows), want(got.size());
      table->product_packed_q8(type, panel.get(), first, n - first, from(mine),
                               table->packed_tokens, false, got.data(), kPanelRows);
      scalar().product_q8(type, plain.get(), n - first, from(plainly), table->packed_tokens, true,
                          want.data(), kPanelRows);
      EXPECT_TRUE(same_bits(got, want)) << table->name << " " << format(type).name;
    }
  }
}

TEST(QuantRounding, EveryTableRoundsActivationsAsTheContractSays) {
  std::mt19937 rng(7);
  std::vector<std::vector<float>> cases;
  for (const float size : {1e-35F, 1e-20F, 1.0F, 1e20F, 1e37F})
    cases.push_back(random_row(320, rng, size));
  cases.push_back(std::vector<float>(64, 0.0F));
  cases.push_back(std::vector<float>(32, std::ldexp(1.0F, -100)));
  cases.push_back(std::vector<float>(32, std::nextafter(std::ldexp(1.0F, -100), 0.0F)));
  cases.push_back(std::vector<float>(32, std::numeric_limits<float>::denorm_min()));
  cases.push_back(std::vector<float>(32, std::numeric_limits<float>::max()));
  std::vector<float> ties(32);
  for (std::size_t i = 0; i < 32; ++i) ties[i] = static_cast<float>(i) + (i < 4 ? 0.5F : 0);
  ties[0] = 127;  // the scale is 1, which loses least: halves go to the even neighbour
  cases.push_back(ties);
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const auto& x : cases) {
      const Rounded got(*table, x), want(scalar(), x);
      EXPECT_TRUE(got.finite);
      EXPECT_EQ(std::memcmp(got.q.get(), want.q.get(), x.size()), 0) << table->name;
      EXPECT_TRUE(same_bits(got.scale, want.scale)) << table->name;
      EXPECT_EQ(got.sums, want.sums) << table->name;
      for (std::size_t b = 0; b < x.size() / 32; ++b) {
        const auto plain = written_out::round32(&x[32 * b]);
        EXPECT_EQ(got.scale[b], plain.scale) << table->name;
        EXPECT_TRUE(std::equal(plain.q.begin(), plain.q.end(), got.q.get() + 32 * b));
      }
    }
    const Rounded t(*table, ties);
    EXPECT_EQ(t.q[1], 2);
    EXPECT_EQ(t.q[2], 2);
    EXPECT_EQ(t.q[3], 4);
    EXPECT_EQ(Rounded(*table, cases[7]).scale[0], 0) << "below 2^-100 everything is zero";
    EXPECT_GT(Rounded(*table, cases[6]).scale[0], 0);
  }
}

TEST(QuantRounding, TheChosenScaleLosesATenthLessThanTheLargest) {
  std::mt19937 rng(8);
  double chosen = 0, largest = 0;
  const auto x = random_row(32 * 4000, rng, 1);
  const Rounded got(scalar(), x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto block = x.begin() + static_cast<std::ptrdiff_t>(i / 32 * 32);
    float a = 0;
    for (auto at = block; at != block + 32; ++at) a = std::max(a, std::fabs(*at));
    const double e = x[i] - double{got.scale[i / 32]} * got.q[i];
    const double plain = x[i] - double{a} / 127 * std::nearbyint(x[i] * 127.0 / double{a});
    chosen += e * e;
    largest += plain * plain;
  }
  EXPECT_LT(chosen, 0.9 * largest);
}

TEST(QuantRounding, NanAndInfinityAreReportedWhereverTheyStand) {
  for (const KernelTable* table : all_kernel_tables()) {
    if (!runs_here(*table)) continue;
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()})
      for (const std::size_t at : {0U, 1U, 31U, 32U, 95U}) {
        std::vector<float> x(96, 1.0F);
        x[at] = bad;
        EXPECT_FALSE(Rounded(*table, x).finite) << table->name << " at " << at;
      }
  }
}

}  // namespace
}  // namespace bezel
