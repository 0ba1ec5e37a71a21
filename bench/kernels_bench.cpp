// What each kernel of the table in use reaches on one thread, beside the peaks measured here: the
// int8 dot on registers alone, the fused multiply-add on registers alone, and a plain walk through
// memory. BEZEL_ISA names another table. bench/roofline.py draws the result. "threads/N" is a job
// of one empty item for each of N threads that are awake: what handing out work and waiting cost.
//   GOP/s   10^9 operations a second; a multiply-add counts two
//   GB/s    10^9 bytes of weights (or keys and values, or inputs) a second, as they are stored
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/huge.h"
#include "base/pool.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "kernels/woven.h"

namespace {

using namespace bezel;

constexpr int kIn = 2048;                               // inputs of a row
constexpr std::size_t kMemory = std::size_t{1} << 29U;  // far more than any cache

const KernelTable& table() {
  static const KernelTable* const chosen = [] {
    const char* name = std::getenv("BEZEL_ISA");
    const auto found = find_kernels(name != nullptr ? name : "");
    if (!found) std::abort();
    return *found;
  }();
  return *chosen;
}

HugeBuffer filled(std::size_t bytes) {
  auto taken = HugeBuffer::take(bytes);
  if (!taken) std::abort();
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const std::uint64_t x = random() & 0x3BFF3BFF3BFF3BFFULL;  // no f16 is infinite
    std::memcpy(taken->data() + i, &x, sizeof x);
  }
  return *std::move(taken);
}

// Tokens of kIn int8 inputs.
struct Tokens {
  explicit Tokens(int n)
      : bytes(filled(woven_bytes(n, kIn))), woven{bytes.data(), woven_bytes(1, kIn), 0} {}
  HugeBuffer bytes;  // scales are floats like any other: f16 patterns are small ones
  Q8Tokens woven;
};

void rate(benchmark::State& state, const char* name, double of_one) {
  state.counters[name] = benchmark::Counter(of_one * static_cast<double>(state.iterations()) * 1e-9,
                                            benchmark::Counter::kIsRate);
}

// ---- peaks

#if defined(__x86_64__)
#define BEZEL_DOT_PEAK(NAME, TARGET, TYPE, ZERO, ONE, STEP, LANES)                           \
  __attribute__((target(TARGET))) void NAME(benchmark::State& state) {                       \
    TYPE acc[12], w = ONE(1), x = ONE(2);                                                    \
    _Pragma("GCC unroll 12") for (int k = 0; k < 12; ++k) acc[k] = ZERO();                   \
    for (auto _ : state) {                                                                   \
      for (int i = 0; i < 100; ++i) {                                                        \
        asm volatile("" : "+v"(x)); /* not known, still in its register */                   \
        _Pragma("GCC unroll 12") for (int k = 0; k < 12; ++k) {                              \
          TYPE& a = acc[k];                                                                  \
          a = STEP;                                                                          \
        }                                                                                    \
      }                                                                                      \
      _Pragma("GCC unroll 12") for (int k = 0; k < 12; ++k) asm volatile("" : "+v"(acc[k])); \
    }                                                                                        \
    rate(state, "GOP/s", 2.0 * 12 * 100 * (LANES));                                          \
  }
BEZEL_DOT_PEAK(dot_avx2, "avx2", __m256i, _mm256_setzero_si256, _mm256_set1_epi8,
               _mm256_add_epi16(a, _mm256_maddubs_epi16(w, x)), 32)
BEZEL_DOT_PEAK(dot_avx512, "avx512bw", __m512i, _mm512_setzero_si512, _mm512_set1_epi8,
               _mm512_add_epi16(a, _mm512_maddubs_epi16(w, x)), 64)
BEZEL_DOT_PEAK(dot_vnni, "avx512vnni", __m512i, _mm512_setzero_si512, _mm512_set1_epi8,
               _mm512_dpbusd_epi32(a, w, x), 64)
BEZEL_DOT_PEAK(fma_avx2, "fma", __m256, _mm256_setzero_ps, _mm256_set1_ps, _mm256_fmadd_ps(w, x, a),
               8)
BEZEL_DOT_PEAK(fma_avx512, "avx512f", __m512, _mm512_setzero_ps, _mm512_set1_ps,
               _mm512_fmadd_ps(w, x, a), 16)

void add_peaks() {
  const auto has = [](std::uint32_t need) { return (cpu_features() & need) == need; };
  const std::string isa = table().name;
  if (isa == "avx512vnni" && has(kCpuAvx512Vnni))
    benchmark::RegisterBenchmark("peak/int8", dot_vnni);
  else if (isa == "avx512" && has(kCpuAvx512))
    benchmark::RegisterBenchmark("peak/int8", dot_avx512);
  else if (has(kCpuAvx2))
    benchmark::RegisterBenchmark("peak/int8", dot_avx2);
  if (isa.rfind("avx512", 0) == 0 && has(kCpuAvx512))
    benchmark::RegisterBenchmark("peak/float", fma_avx512);
  else if (has(kCpuAvx2))
    benchmark::RegisterBenchmark("peak/float", fma_avx2);
}
#else
void add_peaks() {}
#endif

void walk(benchmark::State& state) {
  const HugeBuffer memory = filled(kMemory);
  for (auto _ : state) {
    std::uint64_t sum[8] = {};
    const auto* at = reinterpret_cast<const std::uint64_t*>(memory.data());
    for (std::size_t i = 0; i < kMemory / 8; i += 8)
      for (std::size_t k = 0; k < 8; ++k) sum[k] += at[i + k];
    for (auto& s : sum) benchmark::DoNotOptimize(s);
  }
  rate(state, "GB/s", static_cast<double>(kMemory));
}

// ---- kernels

double stored_bytes(DType type) {  // of a panel in the file
  return static_cast<double>(kPanelRows) * static_cast<double>(row_bytes(type, kIn));
}

// A prompt: one panel with 48 tokens.
void product(benchmark::State& state, DType type) {
  const HugeBuffer rows = filled(kPanelRows * row_bytes(type, kIn)),
                   panel = filled(panel_bytes_q8(kIn));
  table().expand_q8(type, rows.data(), row_bytes(type, kIn), kPanelRows, 0, kIn, panel.data());
  const Tokens x(48);
  std::vector<float> y(48 * kPanelRows);
  for (auto _ : state) {
    table().product_q8(type, panel.data(), kIn, x.woven, 48, true, y.data(), kPanelRows);
    benchmark::DoNotOptimize(y.data());
  }
  rate(state, "GOP/s", 2.0 * 48 * kPanelRows * kIn);
}

void expand(benchmark::State& state, DType type) {
  const HugeBuffer rows = filled(2 * kPanelRows * row_bytes(type, kIn)),
                   panel = filled(panel_bytes_q8(kIn));
  for (auto _ : state) {
    table().expand_q8(type, rows.data(), row_bytes(type, kIn), kPanelRows, 0, kIn, panel.data());
    benchmark::DoNotOptimize(panel.data());
  }
  rate(state, "GB/s", stored_bytes(type));
}

void few_tokens(DType type, const std::byte* packed, Q8Tokens x, int n, std::byte* panel,
                float* y) {
  constexpr int kPiece = 512;
  if (n <= table().packed_tokens)
    return table().product_packed_q8(type, packed, 0, kIn, x, n, asks_ahead(), y, kPanelRows);
  for (int k = 0; k < kIn; k += kPiece) {
    table().expand_packed_q8(type, packed, k, kPiece, panel);
    table().product_q8(type, panel, kPiece, {x.at, x.token_bytes, k}, n, k == 0, y, kPanelRows);
  }
}

// Answers: `n` tokens at once from packed weights that lie in the cache or come from memory. As
// Ops does, expanded first, by pieces, where the table takes fewer tokens.
void packed(benchmark::State& state, DType type, int n, bool cached) {
  const std::size_t one = kPanelRows * packed_row_bytes(type, kIn);
  const std::size_t panels = cached ? 4 : kMemory / one;
  const HugeBuffer weights = filled(panels * one), panel = filled(panel_bytes_q8(kIn));
  const Tokens x(n);
  std::vector<float> y(static_cast<std::size_t>(n) * kPanelRows);
  for (auto _ : state) {
    for (std::size_t p = 0; p < panels; ++p)
      few_tokens(type, weights.data() + p * one, x.woven, n, panel.data(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  rate(state, "GB/s", static_cast<double>(panels * one));
  rate(state, "GOP/s", 2.0 * n * kPanelRows * kIn * static_cast<double>(panels));
}

// Answers from packed floats: one token, four panels at a time.
void packed_floats(benchmark::State& state, DType type) {
  const std::size_t one = kPanelRows * packed_row_bytes(type, kIn);
  const std::size_t panels = kMemory / one;
  const HugeBuffer weights = filled(panels * one);
  const std::vector<float> x(kIn, 0.5F);
  const float* in = x.data();
  std::vector<float> y(4 * kPanelRows);
  for (auto _ : state) {
    for (std::size_t p = 0; p < panels; p += 4)
      table().product_f32(type, weights.data() + p * one, one, 4, kIn, &in, 1, true, y.data(), 0);
    benchmark::DoNotOptimize(y.data());
  }
  rate(state, "GB/s", static_cast<double>(panels * one));
  rate(state, "GOP/s", 2.0 * kPanelRows * kIn * static_cast<double>(panels));
}

// Activations to int8: inputs that lie in the cache.
void rounding(benchmark::State& state) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(kIn), scale(kIn / kQ8Block);
  for (float& v : x) v = normal(random);
  std::vector<std::int8_t> q(kIn);
  std::vector<std::int32_t> half_sums(2 * scale.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        table().quantize_q8(x.data(), kIn, {q.data(), scale.data(), half_sums.data()}));
    benchmark::ClobberMemory();
  }
  rate(state, "GB/s", 4.0 * kIn);
}

// Segments of 256 keys for n_q queries, head_dim 256 or 512, f16; in the cache or from memory.
void attention(benchmark::State& state, int n_q, int head_dim, bool cached) {
  const std::size_t side = std::size_t{2} * kSegment * static_cast<std::size_t>(head_dim);
  const std::size_t segments = cached ? 1 : kMemory / (2 * side);
  const HugeBuffer kv = filled(2 * side * segments);
  const auto n = static_cast<std::size_t>(n_q), dim = static_cast<std::size_t>(head_dim);
  std::vector<float> q(n * dim, 0.01F), m(n), l(n), o(n * dim);
  const std::vector<int> first(n, 0), last(n, kSegment);
  SegmentArgs args = {.q = q.data(),
                      .q_stride = head_dim,
                      .n_q = n_q,
                      .first = first.data(),
                      .last = last.data(),
                      .k = nullptr,
                      .v = nullptr,
                      .kv_type = DType::F16,
                      .head_dim = head_dim,
                      .m = m.data(),
                      .l = l.data(),
                      .o = o.data(),
                      .o_stride = head_dim};
  for (auto _ : state) {
    for (std::size_t s = 0; s < segments; ++s) {
      args.k = kv.data() + 2 * side * s;
      args.v = args.k + side;
      table().attend_segment(args);
    }
    benchmark::DoNotOptimize(o.data());
  }
  rate(state, "GB/s", static_cast<double>(2 * side * segments));
  rate(state, "GOP/s", 4.0 * n_q * kSegment * head_dim * static_cast<double>(segments));
}

void hand_out(benchmark::State& state, int threads) {
  ThreadPool pool(threads);
  std::atomic<int> done{0};
  for (auto _ : state) pool.run(threads, [&done](int, int) { ++done; });
  if (done.load() == 0) std::abort();
}

void add_kernels() {
  using benchmark::RegisterBenchmark;
  for (const DType type : {DType::Q4_0, DType::Q5_0, DType::Q8_0, DType::Q4_K, DType::Q6_K}) {
    const std::string name = format(type).name;
    RegisterBenchmark(("prompt/" + name).c_str(), product, type);
    RegisterBenchmark(("expand/" + name).c_str(), expand, type);
    RegisterBenchmark(("answer/" + name + "/cache").c_str(), packed, type, 1, true);
    RegisterBenchmark(("answer/" + name + "/memory").c_str(), packed, type, 1, false);
    RegisterBenchmark(("answer8/" + name + "/cache").c_str(), packed, type, 8, true);
    RegisterBenchmark(("answer8/" + name + "/memory").c_str(), packed, type, 8, false);
  }
  for (const DType type : {DType::F32, DType::F16, DType::BF16})
    RegisterBenchmark(("answer/" + std::string(format(type).name) + "/memory").c_str(),
                      packed_floats, type);
  RegisterBenchmark("rounding", rounding);
  RegisterBenchmark("attention/64/cache", attention, 64, 256, true);
  for (const int n_q : {1, 2, 8})
    RegisterBenchmark(("attention/" + std::to_string(n_q) + "/memory").c_str(), attention, n_q, 512,
                      false);
  const auto cpus = static_cast<int>(std::thread::hardware_concurrency());
  for (int threads = 2; threads <= cpus; threads *= 2)
    RegisterBenchmark(("threads/" + std::to_string(threads)).c_str(), hand_out, threads)
        ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("table", table().name);
  add_peaks();
  benchmark::RegisterBenchmark("peak/memory", walk);
  add_kernels();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
