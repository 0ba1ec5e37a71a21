// Which tables are compiled in, what this machine has, and the choice between them.
#include <array>
#include <string>

#include "kernels/isa/tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bezel {
namespace {

#if defined(__x86_64__)
constexpr std::array<const KernelTable*, 5> kTables = {&kAvx512VnniTable, &kAvx512Table,
                                                       &kAvxVnniTable, &kAvx2Table, &kScalarTable};

// Register state that the operating system saves (XCR0).
std::uint64_t saved_state() {
  std::uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32U) | low;
}

bool bit(std::uint32_t word, int n) {
  return ((word >> static_cast<unsigned>(n)) & 1U) != 0;
}

// Bit numbers: Intel SDM volume 2A, CPUID, leaf 1 and leaf 7.
std::uint32_t detect() {
  std::uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return 0;
  const bool fma = bit(c, 12), osxsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
  if (!fma || !osxsave || !avx || !f16c) return 0;
  const std::uint64_t state = saved_state();
  const bool ymm = (state & 0x6U) == 0x6U, zmm = (state & 0xE6U) == 0xE6U;
  if (!ymm || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || !bit(b, 5)) return 0;
  std::uint32_t have = kCpuAvx2;
  const bool avx512 = zmm && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
  if (avx512) have |= kCpuAvx512;
  if (avx512 && bit(c, 11)) have |= kCpuAvx512Vnni;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && bit(a, 4)) have |= kCpuAvxVnni;
  return have;
}

bool made_by_intel() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;  // b, d, c: "Genu", "ineI", "ntel"
  return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == 0x756E6547U && d == 0x49656E69U &&
         c == 0x6C65746EU;
}
#else
constexpr std::array<const KernelTable*, 1> kTables = {&kScalarTable};

std::uint32_t detect() {
  return 0;
}
bool made_by_intel() {
  return false;
}
#endif

std::string feature_names(std::uint32_t features) {
  std::string names;
  const auto add = [&](std::uint32_t feature, const char* name) {
    if ((features & feature) == 0) return;
    if (!names.empty()) names += ", ";
    names += name;
  };
  add(kCpuAvx2, "AVX2 with FMA and F16C");
  add(kCpuAvxVnni, "AVX-VNNI");
  add(kCpuAvx512, "AVX-512 F, BW, DQ and VL");
  add(kCpuAvx512Vnni, "AVX-512 VNNI");
  return names;
}

}  // namespace

std::span<const KernelTable* const> all_kernel_tables() {
  return kTables;
}

std::uint32_t cpu_features() {
  static const std::uint32_t have = detect();
  return have;
}

const KernelTable& best_kernels() {
  for (const KernelTable* t : kTables)
    if (runs_here(*t)) return *t;
  return kScalarTable;
}

// When they ask, one token's products are 15 to 36 % slower on AMD's Zen 4, and 1.3 to 1.9 times as
// fast on an Intel Xeon (docs/speed.md).
bool asks_ahead() {
  static const bool intel = made_by_intel();
  return intel;
}

Result<const KernelTable*> find_kernels(std::string_view name) {
  if (name.empty()) return &best_kernels();
  std::string names;
  for (const KernelTable* t : kTables) {
    if (name == t->name) {
      if (runs_here(*t)) return t;
      return Error{
          Errc::Unsupported,
          "the kernels \"" + std::string(name) + "\" need " +
              feature_names(t->needs & ~cpu_features()) +
              ", which this machine does not have; leave the choice to Bezel or name others",
          "kernels"};
    }
    names += names.empty() ? t->name : std::string(", ") + t->name;
  }
  return Error{Errc::BadInput,
               "there are no kernels named \"" + std::string(name) + "\"; this build has " + names,
               "kernels"};
}

// Per 32 inputs of 16 rows: 512 bytes of weights and at most six rows of 16 floats (Q2_K: scale and
// minimum, two subscales and two subminima; quant/panel_inl.h), rounded up.
std::size_t panel_bytes_q8(int n_k) {
  return (static_cast<std::size_t>(n_k) / kQ8Block + 1) * 1024;
}

std::size_t panel_bytes_f32(int n_k) {
  return static_cast<std::size_t>(n_k) * kPanelRows * sizeof(float);
}

}  // namespace bezel
