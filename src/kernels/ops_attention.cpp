// Attention: every (tile of query rows, K/V head, segment) is computed by the table, and the
// segments of a row are joined in ascending order, whichever thread computed them
// (docs/numerics.md, "Attention").
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/fp_env.h"
#include "kernels/ops.h"

namespace bezel {
namespace {

constexpr int kTileRows =
    32;  // query rows (tokens x heads of one K/V head) of a tile, if they allow
constexpr int kWavesPerThread = 8;  // segments in flight per thread when tiles are few
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}
std::size_t size(int n) {
  return static_cast<std::size_t>(n);
}

// Query rows of the widest tile.
int widest_tile(int heads_per_kv) {
  return std::max(kTileRows, heads_per_kv);
}

// What one worker needs for a tile.
struct TileBuffer {
  Mat q, o;      // [n_q, head_dim]
  float *m, *l;  // of one segment
  float *joined_m, *joined_l;
  int *first, *last;

  static TileBuffer take(Scratch& scratch, int n_q, int head_dim) {
    TileBuffer b;
    b.q = scratch.mat(n_q, head_dim);
    b.o = scratch.mat(n_q, head_dim);
    const auto floats = [&] { return scratch.mat(1, n_q).data; };
    b.m = floats(), b.l = floats(), b.joined_m = floats(), b.joined_l = floats();
    b.first = reinterpret_cast<int*>(scratch.bytes(size(n_q) * sizeof(int)));
    b.last = reinterpret_cast<int*>(scratch.bytes(size(n_q) * sizeof(int)));
    return b;
  }
  static std::size_t bytes(int n_q, int head_dim) {
    return 2 * Scratch::mat_bytes(size(n_q), size(head_dim)) + 6 * Scratch::mat_bytes(1, size(n_q));
  }
};

}  // namespace

struct Ops::AttnTask {
  Mat out;
  ConstMat q;
  std::span<const KvPages> seqs;
  std::span<const RowPos> rows;
  AttnShape shape;
  const int* tile_start = nullptr;  // [n_tiles + 1] first row of each tile; one sequence per tile
  int n_tiles = 0;

  int heads_per_kv() const { return shape.heads_q / shape.heads_kv; }
  int first_row(int tile) const { return tile_start[tile]; }
  int n_rows(int tile) const { return tile_start[tile + 1] - tile_start[tile]; }
  int n_q(int tile) const { return n_rows(tile) * heads_per_kv(); }
  int pos(int row) const { return rows[size(row)].pos; }
  int first_key(int row) const {
    return shape.window > 0 ? std::max(0, pos(row) - shape.window + 1) : 0;
  }
  int first_segment(int tile) const {
    int least = first_key(first_row(tile));
    for (int r = 0; r < n_rows(tile); ++r) least = std::min(least, first_key(first_row(tile) + r));
    return least / kSegment;
  }
  int segment_end(int tile) const {
    int most = 0;
    for (int r = 0; r < n_rows(tile); ++r) most = std::max(most, pos(first_row(tile) + r));
    return most / kSegment + 1;
  }
  // Query row i of a tile is head i % heads_per_kv() of token i / heads_per_kv().
  const float* query(int tile, int kv_head, int i) const {
    return q.row(first_row(tile) + i / heads_per_kv()) + head_offset(kv_head, i);
  }
  float* result(int tile, int kv_head, int i) const {
    return out.row(first_row(tile) + i / heads_per_kv()) + head_offset(kv_head, i);
  }

  void gather(int tile, int kv_head, const TileBuffer& b) const {
    for (int i = 0; i < n_q(tile); ++i)
      std::memcpy(b.q.row(i), query(tile, kv_head, i), size(shape.head_dim) * sizeof(float));
  }
  // Fills m, l and o of the tile's query rows; l is 0 where a row has no key in this segment.
  void attend(const KernelTable& table, int tile, int kv_head, int segment, const TileBuffer& b,
              float* m, float* l, Mat o) const {
    const int n = n_q(tile), base = segment * kSegment;
    for (int i = 0; i < n; ++i) {
      const int row = first_row(tile) + i / heads_per_kv();
      b.first[i] = std::clamp(first_key(row) - base, 0, kSegment);
      b.last[i] = std::clamp(pos(row) + 1 - base, 0, kSegment);
      l[i] = 0;
    }
    const KvPages& kv = seqs[size(rows[size(first_row(tile))].seq)];
    table.attend_segment({b.q.data, b.q.stride, n, b.first, b.last, kv.k(segment, kv_head),
                          kv.v(segment, kv_head), kv.type, shape.head_dim, m, l, o.data, o.stride});
  }
  // Out = O / L.
  void finish(const KernelTable& table, float* row, float sum) const {
    table.scale(row, 1.0F / sum, shape.head_dim);
  }

 private:
  std::ptrdiff_t head_offset(int kv_head, int i) const {
    const int head = kv_head * heads_per_kv() + i % heads_per_kv();
    return static_cast<std::ptrdiff_t>(head) * shape.head_dim;
  }
};

// Tiles are many: one worker walks all segments of a tile.
void Ops::attend_rows(const AttnTask& task) {
  const int heads = task.shape.heads_kv, n_max = widest_tile(task.heads_per_kv());
  auto* buffers =
      reinterpret_cast<TileBuffer*>(scratch_.bytes(size(pool_.n_threads()) * sizeof(TileBuffer)));
  for (int w = 0; w < pool_.n_threads(); ++w)
    std::construct_at(buffers + w, TileBuffer::take(scratch_, n_max, task.shape.head_dim));
  pool_.run(task.n_tiles * heads, [&](int item, int worker) {
    // The last tiles of a prompt have the most keys: they go first.
    const int tile = task.n_tiles - 1 - item / heads, kv_head = item % heads, n = task.n_q(tile);
    const TileBuffer& b = buffers[worker];
    task.gather(tile, kv_head, b);
    for (int i = 0; i < n; ++i) {
      b.joined_m[i] = -kInfinity;
      b.joined_l[i] = 0;
      std::fill_n(task.result(tile, kv_head, i), task.shape.head_dim, 0.0F);
    }
    for (int s = task.first_segment(tile); s < task.segment_end(tile); ++s) {
      task.attend(table_, tile, kv_head, s, b, b.m, b.l, b.o);
      for (int i = 0; i < n; ++i)
        if (b.l[i] != 0)
          table_.join_segment(b.joined_m + i, b.joined_l + i, task.result(tile, kv_head, i), b.m[i],
                              b.l[i], b.o.row(i), task.shape.head_dim);
    }
    for (int i = 0; i < n; ++i) task.finish(table_, task.result(tile, kv_head, i), b.joined_l[i]);
  });
}

// Tiles are few: the segments of a tile are shared out too, a wave at a time, and joined after each
// wave.
void Ops::attend_waves(const AttnTask& task) {
  const int threads = pool_.n_threads(), heads = task.shape.heads_kv, d = task.shape.head_dim;
  const int n_max = widest_tile(task.heads_per_kv()), pairs = task.n_tiles * heads;
  auto* buffers = reinterpret_cast<TileBuffer*>(scratch_.bytes(size(threads) * sizeof(TileBuffer)));
  for (int w = 0; w < threads; ++w)
    std::construct_at(buffers + w, TileBuffer::take(scratch_, n_max, d));
  int longest = 0;
  for (int tile = 0; tile < task.n_tiles; ++tile)
    longest = std::max(longest, task.segment_end(tile) - task.first_segment(tile));
  // Segments of a tile in one wave.
  const int wave = std::min(longest, ceil_div(kWavesPerThread * threads, pairs));
  const Mat m = mat(pairs * wave, n_max), l = mat(pairs * wave, n_max);
  const Mat o = mat(pairs * wave * n_max, d);
  const Mat joined_m = mat(pairs, n_max), joined_l = mat(pairs, n_max);
  for (int pair = 0; pair < pairs; ++pair) {
    const int tile = pair / heads;
    for (int i = 0; i < task.n_q(tile); ++i) {
      joined_m.row(pair)[i] = -kInfinity;
      joined_l.row(pair)[i] = 0;
      std::fill_n(task.result(tile, pair % heads, i), d, 0.0F);
    }
  }
  for (int start = 0; start < longest; start += wave) {
    const auto in_wave = [&](int tile) {
      return std::min(wave, task.segment_end(tile) - task.first_segment(tile) - start);
    };
    pool_.run(pairs * wave, [&](int item, int worker) {
      const int pair = item / wave, tile = pair / heads;
      if (item % wave >= in_wave(tile)) return;
      const TileBuffer& b = buffers[worker];
      task.gather(tile, pair % heads, b);
      task.attend(table_, tile, pair % heads, task.first_segment(tile) + start + item % wave, b,
                  m.row(item), l.row(item), o.row_range(item * n_max, n_max));
    });
    pool_.run(pairs * n_max, [&](int item, int) {
      const int pair = item / n_max, tile = pair / heads, i = item % n_max;
      if (i >= task.n_q(tile)) return;
      for (int s = pair * wave; s < pair * wave + in_wave(tile); ++s)
        if (l.row(s)[i] != 0)
          table_.join_segment(joined_m.row(pair) + i, joined_l.row(pair) + i,
                              task.result(tile, pair % heads, i), m.row(s)[i], l.row(s)[i],
                              o.row(s * n_max + i), d);
    });
  }
  const FpEnv env;
  for (int pair = 0; pair < pairs; ++pair)
    for (int i = 0; i < task.n_q(pair / heads); ++i)
      task.finish(table_, task.result(pair / heads, pair % heads, i), joined_l.row(pair)[i]);
}

Mat Ops::attention(ConstMat q, std::span<const KvPages> seqs, std::span<const RowPos> rows,
                   const AttnShape& shape) {
  BEZEL_CHECK(size(q.rows) == rows.size() && q.cols == shape.heads_q * shape.head_dim);
  BEZEL_CHECK(shape.heads_kv > 0 && shape.heads_q % shape.heads_kv == 0 && shape.head_dim % 8 == 0);
  for (const RowPos& row : rows) {
    BEZEL_CHECK(row.pos >= 0 && 0 <= row.seq && size(row.seq) < seqs.size());
    const KvPages& kv = seqs[size(row.seq)];
    BEZEL_CHECK(kv.n_pages > 0 && kv.heads_kv == shape.heads_kv && kv.head_dim == shape.head_dim);
  }
  const Mat out = mat(q.rows, q.cols);
  if (q.rows == 0) return out;
  const Scratch::Frame frame = scratch_.frame();
  auto* start = reinterpret_cast<int*>(scratch_.bytes((rows.size() + 1) * sizeof(int)));
  AttnTask task = {out, q, seqs, rows, shape, start, 0};
  const int most = std::max(1, kTileRows / task.heads_per_kv());
  for (int r = 0; r < q.rows; ++r) {
    const bool fresh =
        r == 0 || rows[size(r)].seq != rows[size(r - 1)].seq || r - start[task.n_tiles - 1] == most;
    if (fresh) start[task.n_tiles++] = r;
  }
  start[task.n_tiles] = q.rows;
  int longest = 0;
  for (int tile = 0; tile < task.n_tiles; ++tile)
    longest = std::max(longest, task.segment_end(tile) - task.first_segment(tile));
  if (longest > 1 && task.n_tiles * shape.heads_kv < 2 * pool_.n_threads() && pool_.n_threads() > 1)
    attend_waves(task);
  else
    attend_rows(task);
  return out;
}

std::size_t Ops::attention_scratch_bytes(int max_rows, int max_heads_q, int max_head_dim,
                                         int max_positions, int n_threads) {
  const int n_max = std::max(kTileRows, max_heads_q);
  // Segments in flight: waves of fewer than 2 n_threads tiles, never more than a context has.
  const int waves = std::min(kWavesPerThread + 2, 2 * ceil_div(max_positions, kSegment) + 2);
  const std::size_t in_flight = size(n_threads) * size(waves);
  return size(n_threads) * (TileBuffer::bytes(n_max, max_head_dim) + sizeof(TileBuffer)) +
         Scratch::mat_bytes(1, size(max_rows) + 1) + 64 +
         in_flight * (Scratch::mat_bytes(size(n_max), size(max_head_dim)) +
                      4 * Scratch::mat_bytes(1, size(n_max)));
}

}  // namespace bezel
