#include "model/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace bezel {

namespace {

constexpr int pages_for(int positions) {
  return (positions + kSegment - 1) / kSegment;
}

// Pages of a sliding layer's ring: a chunk's first row still sees window - 1 positions behind it,
// and neither end need fall on a page's edge.
int ring_pages(const AttnShape& a, int context, int max_chunk) {
  const int all = pages_for(context);
  if (a.window == 0 || a.window >= context) return all;
  const std::int64_t span = std::int64_t{a.window} + max_chunk - 1;
  const std::int64_t ring = (span + kSegment - 1) / kSegment + 1;
  return static_cast<int>(std::min<std::int64_t>(all, ring));
}

KvPages shape_of(const AttnShape& a, DType type) {
  return {
      .pages = nullptr, .n_pages = 0, .type = type, .heads_kv = a.heads_kv, .head_dim = a.head_dim};
}

struct FreePage {
  void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

}  // namespace

struct KvCache::LayerStore {
  KvPages shape;
  int n_pages = 0;                              // ring length
  std::vector<std::vector<std::byte*>> tables;  // [seq][n_pages], null until taken
  std::vector<std::unique_ptr<std::byte[], FreePage>> owned;
};

KvCache::KvCache(const Config& config, int n_seqs, int context, int max_chunk, DType type)
    : config_(config),
      n_seqs_(n_seqs),
      context_(context),
      max_chunk_(max_chunk),
      length_(static_cast<std::size_t>(n_seqs), 0),
      high_(static_cast<std::size_t>(n_seqs), 0) {
  BEZEL_CHECK(type == DType::F32 || type == DType::F16 || type == DType::BF16);
  for (int i = 0; i < config.n_layers(); ++i) {
    const LayerConfig& l = config.layers[static_cast<std::size_t>(i)];
    auto& store = layers_.emplace_back();
    if (l.kv_from != i) continue;
    store = std::make_unique<LayerStore>();
    store->shape = shape_of(l.attn, type);
    store->n_pages = ring_pages(l.attn, context, max_chunk);
    store->tables.assign(
        static_cast<std::size_t>(n_seqs),
        std::vector<std::byte*>(static_cast<std::size_t>(store->n_pages), nullptr));
  }
}

KvCache::~KvCache() = default;

std::uint64_t KvCache::plan_bytes(const Config& config, int n_seqs, int context, int max_chunk,
                                  DType type) {
  std::uint64_t sum = 0;
  for (int i = 0; i < config.n_layers(); ++i) {
    const LayerConfig& l = config.layers[static_cast<std::size_t>(i)];
    if (l.kv_from != i) continue;
    sum += static_cast<std::uint64_t>(ring_pages(l.attn, context, max_chunk)) *
           shape_of(l.attn, type).page_bytes();
  }
  return sum * static_cast<std::uint64_t>(n_seqs);
}

int KvCache::length(int seq) const {
  return length_[static_cast<std::size_t>(seq)];
}

Status KvCache::reserve(int seq, int length) {
  if (length > context_)
    return Error{
        Errc::TooLarge,
        fmt::format("{} positions do not fit the context of {}; raise --ctx or shorten the text",
                    length, context_),
        ""};
  BEZEL_CHECK(length - this->length(seq) <= max_chunk_ || length <= this->length(seq));
  const int first = this->length(seq) / kSegment;
  for (const auto& store : layers_) {
    if (!store) continue;
    for (int p = first; p < pages_for(length); ++p) BEZEL_DO(take_page(*store, seq, p));
  }
  return Ok{};
}

// Memory for page `page` of the sequence, unless its place in the ring has some.
Status KvCache::take_page(LayerStore& store, int seq, int page) {
  auto& slot =
      store.tables[static_cast<std::size_t>(seq)][static_cast<std::size_t>(page % store.n_pages)];
  if (slot != nullptr) return Ok{};
  const std::size_t n = store.shape.page_bytes();
  auto* bytes = static_cast<std::byte*>(::operator new[](n, std::align_val_t{64}, std::nothrow));
  if (bytes == nullptr)
    return Error{Errc::NoMemory, fmt::format("no memory for {} more bytes of K/V cache", n), ""};
  store.owned.emplace_back(bytes);
  std::memset(bytes, 0, n);
  used_bytes_ += n;
  slot = bytes;
  return Ok{};
}

Status KvCache::copy(int from, int to, int length) {
  BEZEL_CHECK(from != to && can_rewind(from, length));
  const int newest = (high_[static_cast<std::size_t>(from)] - 1) / kSegment;
  for (const auto& store : layers_) {
    if (!store) continue;
    const auto& source = store->tables[static_cast<std::size_t>(from)];
    const auto& target = store->tables[static_cast<std::size_t>(to)];
    for (int p = std::max(0, newest - store->n_pages + 1); p < pages_for(length); ++p) {
      BEZEL_DO(take_page(*store, to, p));
      const auto at = static_cast<std::size_t>(p % store->n_pages);
      std::memcpy(target[at], source[at], store->shape.page_bytes());
    }
  }
  length_[static_cast<std::size_t>(to)] = length;
  high_[static_cast<std::size_t>(to)] = high_[static_cast<std::size_t>(from)];
  return Ok{};
}

void KvCache::set_length(int seq, int length) {
  BEZEL_CHECK(length >= 0 && length <= context_);
  auto& now = length_[static_cast<std::size_t>(seq)];
  auto& high = high_[static_cast<std::size_t>(seq)];
  now = length;
  high = std::max(high, length);
}

bool KvCache::can_rewind(int seq, int length) const {
  const int newest = (high_[static_cast<std::size_t>(seq)] - 1) / kSegment;
  if (length > this->length(seq)) return false;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (!layers_[i]) continue;
    const int window = config_.layers[i].attn.window;
    const int oldest_needed = window == 0 ? 0 : std::max(0, length - window + 1) / kSegment;
    if (oldest_needed <= newest - layers_[i]->n_pages) return false;
  }
  return true;
}

void KvCache::clear(int seq) {
  length_[static_cast<std::size_t>(seq)] = 0;
  high_[static_cast<std::size_t>(seq)] = 0;
}

std::vector<KvPages> KvCache::pages(int layer) const {
  const auto& store = layers_[static_cast<std::size_t>(layer)];
  BEZEL_CHECK(store != nullptr);
  std::vector<KvPages> out;
  for (int s = 0; s < n_seqs_; ++s) {
    KvPages p = store->shape;
    p.pages = store->tables[static_cast<std::size_t>(s)].data();
    p.n_pages = store->n_pages;
    out.push_back(p);
  }
  return out;
}

std::uint64_t KvCache::used_bytes() const {
  return used_bytes_;
}

}  // namespace bezel
