// Every table gives the bits of the scalar table, entry by entry.
#include <cstring>
#include <functional>

#include "base/fp_env.h"
#include "kernels/packed.h"
#include "kernels/support.h"

namespace bezel::test {
namespace {

constexpr int kMaxTail = 70;  // covers every tail of 8 and 16 lanes several times
const std::vector<int> kLongRows = {127, 256, 640, 1152, 4096, 5376};

std::vector<int> row_lengths() {
  std::vector<int> lengths;
  for (int n = 1; n <= kMaxTail; ++n) lengths.push_back(n);
  lengths.insert(lengths.end(), kLongRows.begin(), kLongRows.end());
  return lengths;
}

class Tables : public EveryTable {
 protected:
  // Runs fn(table, row, other, n) on equal inputs with both tables: the rows must be equal after
  // it, and what lies right behind them untouched.
  static void expect_rows_equal(
      const std::function<void(const KernelTable&, float*, const float*, int)>& fn) {
    const FpEnv env;
    Random random(7);
    for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
      for (const int n : row_lengths())
        for (const int skew : {0, 1, 3}) {
          auto ours = values(random, n + 16, kind, skew);
          auto plain = ours;
          const auto other = values(random, n, kind, skew);
          fn(table(), ours.data() + skew, other.data() + skew, n);
          fn(scalar_table(), plain.data() + skew, other.data() + skew, n);
          ASSERT_EQ(difference(ours, plain), "")
              << name(kind) << ", n = " << n << ", skew " << skew;
        }
  }
};

TEST_P(Tables, GiveTheScalarSumOfSquares) {
  const FpEnv env;
  Random random(1);
  for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
    for (const int n : row_lengths()) {
      const auto x = values(random, n, kind, 1);
      const float ours = table().sum_squares(x.data() + 1, n);
      const float plain = scalar_table().sum_squares(x.data() + 1, n);
      ASSERT_EQ(bits(ours), bits(plain)) << name(kind) << ", n = " << n;
    }
}

TEST_P(Tables, ScaleAndWeightRowsAsTheScalarTable) {
  expect_rows_equal([](const KernelTable& t, float* y, const float* x, int n) {
    t.scale_weight(y, x, 0.37F, y, n);
  });
  expect_rows_equal([](const KernelTable& t, float* y, const float*, int n) {
    t.scale_weight(y, y, 1.7F, nullptr, n);
  });
}

TEST_P(Tables, AddScaleAndAccumulateRowsAsTheScalarTable) {
  expect_rows_equal([](const KernelTable& t, float* y, const float* x, int n) { t.add(y, x, n); });
  expect_rows_equal(
      [](const KernelTable& t, float* y, const float*, int n) { t.scale(y, 0.77F, n); });
  expect_rows_equal(
      [](const KernelTable& t, float* y, const float* x, int n) { t.fma_row(y, -1.3F, x, n); });
}

TEST_P(Tables, GiveTheScalarGelu) {
  expect_rows_equal(
      [](const KernelTable& t, float* y, const float* x, int n) { t.gelu_mul(y, x, n); });
}

TEST_P(Tables, GiveTheScalarSoftCap) {
  expect_rows_equal(
      [](const KernelTable& t, float* y, const float*, int n) { t.soft_cap(y, 30.0F, n); });
}

TEST_P(Tables, GiveTheScalarSoftmax) {
  expect_rows_equal([](const KernelTable& t, float* y, const float*, int n) { t.softmax(y, n); });
}

TEST_P(Tables, RotateAsTheScalarTable) {
  expect_rows_equal([](const KernelTable& t, float* y, const float* x, int n) {
    const int half = n / 2;
    for (const int pairs : {half, half / 4}) t.rope(y, x, x + half, pairs, half);
  });
}

TEST_P(Tables, PassNotANumberOnAsTheScalarTable) {
  const FpEnv env;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, inf, -inf})
    for (const int at : {0, 5, 17, 33}) {
      Random random(3);
      const auto x = values(random, 35, Kind::Ordinary);
      const auto run = [&](const KernelTable& t) {
        std::vector<float> all;
        auto y = x;
        y[static_cast<std::size_t>(at)] = bad;
        all.push_back(t.sum_squares(y.data(), 35));
        auto soft = y, gelu = y, cap = y;
        t.softmax(soft.data(), 35);
        t.gelu_mul(gelu.data(), x.data(), 35);
        t.soft_cap(cap.data(), 30, 35);
        for (const auto& row : {soft, gelu, cap}) all.insert(all.end(), row.begin(), row.end());
        return all;
      };
      ASSERT_EQ(difference(run(table()), run(scalar_table())), "") << bad << " at " << at;
    }
}

// ---- float products

std::vector<std::byte> rows_of(DType type, int n_rows, int n, Kind kind, Random& random) {
  const std::size_t size = type == DType::F32 ? 4 : 2;
  std::vector<std::byte> data(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n) *
                              size);
  for (std::size_t i = 0; i < data.size(); i += size) {
    const float x = value(random, kind);
    const std::uint16_t half = type == DType::F16 ? f16_from_f32(x) : bf16_from_f32(x);
    if (size == 4)
      std::memcpy(data.data() + i, &x, 4);
    else
      std::memcpy(data.data() + i, &half, 2);
  }
  return data;
}

TEST_P(Tables, ExpandFloatRowsAsTheScalarTable) {
  const FpEnv env;
  Random random(11);
  for (const DType type : {DType::F32, DType::F16, DType::BF16})
    for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
      for (const int n_rows : {1, 7, 8, 9, 15, 16})
        for (const int n_k : {1, 3, 8, 13, 16, 31, 256, 300}) {
          const int first = 5, n = first + n_k;
          const auto data = rows_of(type, n_rows, n, kind, random);
          const std::size_t stride = data.size() / static_cast<std::size_t>(n_rows);
          std::vector<float> ours(static_cast<std::size_t>(n_k) * 16, -1), plain(ours);
          table().expand_f32(type, data.data(), stride, n_rows, first, n_k, ours.data());
          scalar_table().expand_f32(type, data.data(), stride, n_rows, first, n_k, plain.data());
          ASSERT_EQ(difference(ours, plain), "")
              << format(type).name << ' ' << n_rows << " rows of " << n_k << ", " << name(kind);
        }
}

TEST_P(Tables, ExpandQuantisedRowsToTheReferenceValues) {
  const FpEnv env;
  Random random(13);
  for (int t = static_cast<int>(DType::Q4_0); t <= static_cast<int>(DType::IQ4_XS); ++t) {
    const auto type = static_cast<DType>(t);
    const int first = 256, n_k = 512, n = first + n_k + 256;
    const std::size_t stride = row_bytes(type, static_cast<std::size_t>(n));
    for (const int n_rows : {1, 11, 16}) {
      std::vector<std::byte> data(stride * static_cast<std::size_t>(n_rows));
      for (std::byte& b : data) b = static_cast<std::byte>(random.next() & 0xFFU);
      std::vector<float> panel(static_cast<std::size_t>(n_k) * 16, -1), want(panel);
      for (int r = 0; r < 16; ++r) {
        std::vector<float> row(static_cast<std::size_t>(n), 0.0F);
        if (r < n_rows)
          dequantize_row(type, data.data() + stride * static_cast<std::size_t>(r), row.data(),
                         row.size());
        for (int k = 0; k < n_k; ++k)
          want[static_cast<std::size_t>(k * 16 + r)] = row[static_cast<std::size_t>(first + k)];
      }
      for (const KernelTable* kernels : {&table(), &scalar_table()}) {
        kernels->expand_f32(type, data.data(), stride, n_rows, first, n_k, panel.data());
        ASSERT_EQ(difference(panel, want), "") << format(type).name << " by " << kernels->name;
      }
    }
  }
}

// Values as a float type stores them.
std::vector<std::byte> stored(DType type, const std::vector<float>& from) {
  std::vector<std::byte> to(row_bytes(type, from.size()));
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::uint16_t bits = type == DType::F16 ? f16_from_f32(from[i]) : bf16_from_f32(from[i]);
    if (type == DType::F32)
      std::memcpy(&to[4 * i], &from[i], 4);
    else
      std::memcpy(&to[2 * i], &bits, 2);
  }
  return to;
}

TEST_P(Tables, GiveTheScalarFloatProduct) {
  const FpEnv env;
  Random random(17);
  const auto compare = [&](DType type, Kind kind, int n_panels, int n_tokens, int n_k) {
    const int apart = (n_k + 1) * 16;  // values from panel to panel
    const auto panels = stored(type, values(random, apart * n_panels, kind));
    const std::size_t bytes = row_bytes(type, static_cast<std::size_t>(apart));
    const auto x = values(random, n_k * n_tokens, kind, 1);
    std::vector<const float*> rows;
    for (int t = 0; t < n_tokens; ++t) rows.push_back(x.data() + 1 + t * n_k);
    const std::ptrdiff_t y_stride = n_panels * 16 + 3;
    auto ours = values(random, static_cast<int>(y_stride) * n_tokens, kind);
    auto plain = ours;
    for (const bool first : {false, true}) {
      table().product_f32(type, panels.data(), bytes, n_panels, n_k, rows.data(), n_tokens, first,
                          ours.data(), y_stride);
      scalar_table().product_f32(type, panels.data(), bytes, n_panels, n_k, rows.data(), n_tokens,
                                 first, plain.data(), y_stride);
      ASSERT_EQ(difference(ours, plain), "")
          << format(type).name << ", " << name(kind) << ", " << n_panels << " panels, " << n_tokens
          << " tokens, " << n_k << " inputs";
    }
  };
  for (const DType type : {DType::F32, DType::F16, DType::BF16})
    for (const Kind kind : {Kind::Ordinary, Kind::Extreme})
      for (const int n_panels : {1, 2, 3, 4, 5})
        for (const int n_tokens : {1, 2, 3, 4, 5, 7, 8, 9, 13})
          for (const int n_k : {1, 2, 33, 256}) compare(type, kind, n_panels, n_tokens, n_k);
}

TEST_P(Tables, MultiplyPackedFloatRowsAsTheFilesRows) {
  const FpEnv env;
  Random random(18);
  for (const DType type : {DType::F32, DType::F16, DType::BF16})
    for (const int n : {1, 63, 64, 65, 300}) {
      ASSERT_TRUE(can_pack(type, 16, n));
      const auto rows = stored(type, values(random, 16 * n, Kind::Ordinary));
      const auto x = values(random, n, Kind::Ordinary);
      const float* const in = x.data();
      const std::size_t bytes = row_bytes(type, static_cast<std::size_t>(n));
      std::vector<std::byte> packed(16 * bytes);
      pack_panel(type, rows.data(), bytes, n, packed.data());
      std::vector<float> panel(static_cast<std::size_t>(16 * n)), want(16), got(16);
      scalar_table().expand_f32(type, rows.data(), bytes, 16, 0, n, panel.data());
      scalar_table().product_f32(DType::F32, reinterpret_cast<const std::byte*>(panel.data()), 0, 1,
                                 n, &in, 1, true, want.data(), 16);
      table().product_f32(type, packed.data(), 0, 1, n, &in, 1, true, got.data(), 16);
      EXPECT_EQ(difference(got, want), "") << format(type).name << ", " << n << " inputs";
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Tables,
                         ::testing::ValuesIn(all_kernel_tables().begin(),
                                             all_kernel_tables().end() - 1),
                         table_name);

}  // namespace
}  // namespace bezel::test
