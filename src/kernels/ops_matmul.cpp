// Matrix products: panels of 16 weight rows are claimed by the pool, expanded once and multiplied
// with every token. A panel's outputs depend on its rows and the token's inputs only
// (docs/numerics.md).
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/fp_env.h"
#include "kernels/ops.h"
#include "kernels/packed.h"
#include "kernels/woven.h"

namespace bezel {
namespace {

constexpr int kTokenBlock = 48;   // tokens handed to a kernel at once
constexpr int kPanelGroup = 4;    // float panels side by side when tokens are few
constexpr int kFloatChunk = 512;  // inputs of a float panel that stay in the nearest cache
constexpr int kFewChunk =
    1024;  // inputs expanded at once when tokens are few: long streams of weights
constexpr int kRoundPart = 2048;    // inputs of a tile that one thread rounds at once
constexpr int kRoundedPiece = 512;  // inputs of an int8 panel that stay in the first cache
constexpr std::size_t kItemBytes = 64U << 10U;  // weights worth claiming at once for few tokens
constexpr int kMaxHalvings = 12;                // of a strip

constexpr std::size_t align64(std::size_t n) {
  return (n + 63) / 64 * 64;
}

int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}

int panels_worth_claiming(const Linear& w) {
  const std::size_t panel = kPanelRows * w.row_bytes;
  return static_cast<int>((kItemBytes + panel - 1) / panel);
}

std::size_t worker_bytes() {
  return align64(std::max(panel_bytes_q8(kCutTerms), panel_bytes_f32(kCutTerms)));
}
static_assert(kPanelGroup * kFewChunk <= kCutTerms, "a group of chunks fits where a panel does");

// Where a kernel writes outputs [first, first + n_out) of tokens [t0, t0 + n): straight into y, or
// aside when the part is to be added, or the last panel is not full.
struct Target {
  Mat y;
  int first, n_out, t0, n;
  bool adds;
  float* aside;  // [kTokenBlock][16 * n_panels]
  int aside_width;

  bool direct() const { return !adds && n_out == aside_width; }
  float* out() const { return direct() ? y.row(t0) + first : aside; }
  std::ptrdiff_t stride() const { return direct() ? y.stride : aside_width; }
  void finish() const {
    if (direct()) return;
    for (int t = 0; t < n; ++t) {
      float* to = y.row(t0 + t) + first;
      const float* from = aside + static_cast<std::ptrdiff_t>(t) * aside_width;
      if (!adds)
        std::memcpy(to, from, sizeof(float) * static_cast<std::size_t>(n_out));
      else
        for (int i = 0; i < n_out; ++i) to[i] += from[i];
    }
  }
};

}  // namespace

struct Ops::Rounded {
  std::byte* at = nullptr;      // woven (woven.h)
  std::size_t token_bytes = 0;  // of all inputs

  // From token t, the first of a tile, and input `first` on.
  Q8Tokens from(int t, int first) const {
    return {at + static_cast<std::size_t>(t) * token_bytes, token_bytes, first};
  }
};

// One product of a group, cut into items of whole panels. Every thread has a strip of its own and
// does half of what is left of it at a time: long streams are quick, and what a panel's expansion
// asked for ahead is this thread's next. Items are in the order of rounds, so threads that run
// alike go on where they stopped, and all end together.
struct Ops::Task {
  const Linear* w;
  Mat y;
  ConstMat x;
  Rounded in;  // x for an int8 product
  int n_panels;
  int threads = 1;
  int halvings = 0;
  int step = 1;  // panels that stay together
  int first_item = 0;

  bool rounded() const { return in.at != nullptr; }
  int n_items() const { return threads * (halvings + 1); }
  int begin(int item) const { return edge(item % threads, item / threads); }
  int end(int item) const { return edge(item % threads, item / threads + 1); }
  // The last items of a strip have about `least` panels.
  void share_out(int n_threads, int least) {
    threads = n_threads;
    while (halvings < kMaxHalvings && (std::int64_t{least} << (halvings + 1)) * threads <= n_panels)
      ++halvings;
  }

 private:
  // The first panel of a strip that is not done after `rounds` of halvings + 1 rounds.
  int edge(int strip, int rounds) const {
    const std::int64_t whole = std::int64_t{1} << halvings;
    const std::int64_t done = rounds > halvings ? whole : whole - (whole >> rounds);
    const std::int64_t at = ceil_div(n_panels, step) * (strip * whole + done) / (threads * whole);
    return static_cast<int>(std::min<std::int64_t>(n_panels, at * step));
  }
};

// Float panels side by side, `bytes` apart, each with the inputs from first_k on.
struct Ops::FloatPanels {
  DType type;
  const std::byte* at;
  int first_k;
  std::size_t bytes;

  const std::byte* from(int k) const {
    return at + packed_row_bytes(type, (k - first_k) * kPanelRows);
  }
};

Ops::Rounded Ops::round_rows(ConstMat x) {
  BEZEL_CHECK(x.cols % kQ8Block == 0);
  BEZEL_CHECK(kTokenBlock % table_.tile == 0);
  const Rounded out = {scratch_.bytes(woven_bytes(x.rows, x.cols)), woven_bytes(1, x.cols)};
  const int whole = x.rows / table_.tile, rest = x.rows % table_.tile;
  const int n_tiles = whole + std::popcount(static_cast<unsigned>(rest));
  // One token is rounded before other threads would have woken up.
  const int part = x.rows == 1 ? x.cols : kRoundPart, n_parts = ceil_div(x.cols, part);
  const auto cost = 2 * static_cast<std::size_t>(std::min(table_.tile, x.rows)) *
                    static_cast<std::size_t>(std::min(part, x.cols));
  each_row(n_tiles * n_parts, cost, [&](int item) {
    const int i = item / n_parts, k = item % n_parts * part;
    int first = std::min(i, whole) * table_.tile;
    for (int j = whole; j < i; ++j) first += q8_tile(x.rows - first, table_.tile);
    const int tile = q8_tile(x.rows - first, table_.tile);
    if (!round_tile(x.row_range(first, tile), k, std::min(k + part, x.cols),
                    out.at + static_cast<std::size_t>(first) * out.token_bytes))
      non_finite_ = true;
  });
  return out;
}

bool Ops::round_tile(ConstMat x, int begin, int end, std::byte* to) const {
  constexpr int kPiece = 512;
  alignas(64) std::int8_t q[kPiece];
  float scale[kPiece / kQ8Block];
  std::int32_t half_sums[kPiece / kQ8Block * 2];
  bool finite = true;
  for (int k = begin; k < end; k += kPiece) {
    const int n = std::min(kPiece, end - k);
    for (int t = 0; t < x.rows; ++t) {
      finite &= table_.quantize_q8(x.row(t) + k, n, {q, scale, half_sums});
      weave_q8({q, scale, half_sums}, n, x.rows, t, to + woven_bytes(x.rows, k));
    }
  }
  return finite;
}

void Ops::run_q8(const Task& task, int panel, std::byte* buffer) const {
  const Linear& w = *task.w;
  const int first = panel * kPanelRows, n_out = std::min(kPanelRows, w.out - first);
  const std::byte* rows = w.data + static_cast<std::size_t>(first) * w.row_bytes;
  const bool few = task.y.rows <= kTokenBlock;
  alignas(64) float aside[kTokenBlock * kPanelRows];
  const bool straight = w.packed && task.y.rows <= table_.packed_tokens;
  // Few tokens use a panel once: pieces that stay in the first cache, and go on in one `aside`.
  const int piece = few && !straight ? kRoundedPiece : kCutTerms;
  for (int part = 0; part < w.in; part += kCutTerms) {
    const int part_end = std::min(w.in, part + kCutTerms);
    for (int k = part; k < part_end; k += piece) {
      const int n_k = std::min(piece, part_end - k);
      if (!w.packed)
        table_.expand_q8(w.type, rows, w.row_bytes, n_out, k, n_k, buffer);
      else if (!straight)
        table_.expand_packed_q8(w.type, rows, k, n_k, buffer);
      for (int t = 0; t < task.y.rows; t += kTokenBlock) {
        const int n = std::min(kTokenBlock, task.y.rows - t);
        const Target to = {task.y, first, n_out, t, n, part > 0, aside, kPanelRows};
        const Q8Tokens in = task.in.from(t, k);
        if (straight)
          table_.product_packed_q8(w.type, rows, k, n_k, in, n, asks_ahead(), to.out(),
                                   to.stride());
        else
          table_.product_q8(w.type, buffer, n_k, in, n, k == part, to.out(), to.stride());
        if (k + n_k == part_end) to.finish();
      }
    }
  }
}

// Inputs [begin, end) of the rows of n_panels panels as floats.
Ops::FloatPanels Ops::expand_floats(const Linear& w, int first_row, int n_panels, int begin,
                                    int end, std::byte* buffer) const {
  const std::size_t one = static_cast<std::size_t>(end - begin) * kPanelRows;
  float* panels = reinterpret_cast<float*>(buffer);
  for (int p = 0; p < n_panels; ++p) {
    const int row = first_row + p * kPanelRows;
    table_.expand_f32(w.type, w.data + static_cast<std::size_t>(row) * w.row_bytes, w.row_bytes,
                      std::min(kPanelRows, w.out - row), begin, end - begin,
                      panels + one * static_cast<std::size_t>(p));
  }
  return {DType::F32, buffer, begin, sizeof(float) * one};
}

void Ops::run_f32(const Task& task, int first_panel, int n_panels, std::byte* buffer) const {
  const Linear& w = *task.w;
  const int first = first_panel * kPanelRows,
            n_out = std::min(n_panels * kPanelRows, w.out - first);
  alignas(64) float aside[kTokenBlock * kPanelGroup * kPanelRows];
  std::array<const float*, kTokenBlock> in;
  const bool few = task.y.rows <= kTokenBlock;  // then a chunk is expanded just before its only use
  const int chunk = few ? kFewChunk : kFloatChunk;
  for (int part = 0; part < w.in; part += kCutTerms) {
    const int part_end = std::min(w.in, part + kCutTerms);
    FloatPanels panels = {w.type, w.data + static_cast<std::size_t>(first) * w.row_bytes, 0,
                          kPanelRows * w.row_bytes};
    if (!w.packed && !few) panels = expand_floats(w, first, n_panels, part, part_end, buffer);
    for (int t = 0; t < task.y.rows; t += kTokenBlock) {
      const int n = std::min(kTokenBlock, task.y.rows - t);
      const Target to = {task.y, first, n_out, t, n, part > 0, aside, n_panels * kPanelRows};
      for (int k = part; k < part_end; k += chunk) {
        const int n_k = std::min(chunk, part_end - k);
        if (!w.packed && few) panels = expand_floats(w, first, n_panels, k, k + n_k, buffer);
        for (int i = 0; i < n; ++i) in[static_cast<std::size_t>(i)] = task.x.row(t + i) + k;
        table_.product_f32(panels.type, panels.from(k), panels.bytes, n_panels, n_k, in.data(), n,
                           k == part, to.out(), to.stride());
      }
      to.finish();
    }
  }
}

void Ops::matmul(std::span<const ProductOf> group) {
  BEZEL_CHECK(group.size() <= kMaxGroup);
  const Scratch::Frame frame = scratch_.frame();
  std::array<Task, kMaxGroup> tasks{};
  std::size_t n_tasks = 0;
  int n_items = 0;
  const int threads = pool_.n_threads();
  for (const ProductOf& p : group) {
    const Linear& w = *p.w;
    BEZEL_CHECK(w.present() && w.in == p.x.cols && p.y.cols == w.out && p.y.rows == p.x.rows);
    BEZEL_CHECK(!w.packed || !is_quantised(w.type) || act_ == Act::Int8);
    const Task* before = n_tasks > 0 ? &tasks[n_tasks - 1] : nullptr;
    Task& task = tasks[n_tasks++];
    task = {.w = &w,
            .y = p.y,
            .x = p.x,
            .in = {},
            .n_panels = ceil_div(w.out, kPanelRows),
            .first_item = n_items};
    if (is_quantised(w.type) && act_ == Act::Int8) {
      const bool same = before != nullptr && before->rounded() && before->x.data == p.x.data &&
                        before->x.rows == p.x.rows && before->x.cols == p.x.cols &&
                        before->x.stride == p.x.stride;
      task.in = same ? before->in : round_rows(p.x);
    }
    if (!task.rounded() && p.x.rows <= kTokenBlock) task.step = kPanelGroup;
    task.share_out(threads, p.x.rows > kTokenBlock ? 1 : panels_worth_claiming(w));
    n_items += task.n_items();
  }
  const std::size_t buffer_bytes = worker_bytes();
  std::byte* buffers = scratch_.bytes(buffer_bytes * static_cast<std::size_t>(threads));
  pool_.run(n_items, [&](int item, int worker) {
    std::size_t i = n_tasks - 1;
    while (tasks[i].first_item > item) --i;
    const Task& task = tasks[i];
    std::byte* buffer = buffers + buffer_bytes * static_cast<std::size_t>(worker);
    const int begin = task.begin(item - task.first_item), end = task.end(item - task.first_item);
    for (int p = begin; p < end; p += task.step)
      if (task.rounded())
        run_q8(task, p, buffer);
      else
        run_f32(task, p, std::min(task.step, end - p), buffer);
  });
}

void Ops::matmul(std::initializer_list<Product> group, ConstMat x) {
  if (x.rows == 0) return;
  std::array<ProductOf, kMaxGroup> products{};
  BEZEL_CHECK(group.size() <= kMaxGroup);
  std::size_t n = 0;
  for (const Product& p : group) products[n++] = {p.y, p.w, x};
  matmul(std::span(products).first(n));
}

Mat Ops::matmul(const Linear& w, ConstMat x) {
  const Mat y = mat(x.rows, w.out);
  matmul({{y, &w}}, x);
  return y;
}

std::size_t Ops::scratch_bytes(int max_rows, int max_in, int max_heads_q, int max_head_dim,
                               int max_positions, int n_threads) {
  const auto threads = static_cast<std::size_t>(n_threads);
  const std::size_t products =
      woven_bytes(max_rows, max_in) + (kMaxGroup + 4) * std::size_t{64} + threads * worker_bytes();
  return std::max(products, attention_scratch_bytes(max_rows, max_heads_q, max_head_dim,
                                                    max_positions, n_threads));
}

}  // namespace bezel
