#include "model/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace bezel {

namespace {

constexpr int pages_for(int positions) {
  return (positions + kSegment - 1) / kSegment;
}
constexpr std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

// Pages that `rows` new rows, the window behind the first of them and shape.back more can touch:
// neither end need fall on a page's edge.
int KvCache::window_pages(const Group& group, const KvShape& shape, int rows) {
  const int all = pages_for(shape.context);
  if (group.window == 0) return all;
  const std::int64_t span = std::int64_t{group.window} - 1 + shape.back + rows;
  return static_cast<int>(std::min<std::int64_t>(all, (span + kSegment - 1) / kSegment + 1));
}

std::vector<KvCache::Group> KvCache::groups_of(const Config& config, const KvShape& shape) {
  std::vector<Group> groups;
  for (int i = 0; i < config.n_layers(); ++i) {
    const LayerConfig& l = config.layers[at(i)];
    if (l.kv_from != i) continue;
    const int window = l.attn.window < shape.context ? l.attn.window : 0;
    auto g = std::find_if(groups.begin(), groups.end(),
                          [window](const Group& group) { return group.window == window; });
    if (g == groups.end()) {
      groups.emplace_back().window = window;
      g = groups.end() - 1;
    }
    Layer layer;
    layer.index = i;
    layer.offset = g->page_bytes;
    layer.shape.type = shape.type;
    layer.shape.heads_kv = l.attn.heads_kv;
    layer.shape.head_dim = l.attn.head_dim;
    g->page_bytes += layer.shape.page_bytes();
    g->layers.push_back(std::move(layer));
  }
  for (Group& g : groups) g.table = window_pages(g, shape, shape.chunk);
  return groups;
}

KvCost KvCache::cost(const Config& config, const KvShape& shape) {
  KvCost cost;
  for (const Group& g : groups_of(config, shape)) {
    cost.sequence += g.page_bytes * at(g.table);
    if (g.window > 0) cost.window += g.page_bytes * at(window_pages(g, shape, 0));
  }
  return cost;
}

KvCache::KvCache(const Config& config, const KvShape& shape)
    : shape_(shape), length_(at(shape.sequences), 0), groups_(groups_of(config, shape)) {
  BEZEL_CHECK(shape.type == DType::F32 || shape.type == DType::F16 || shape.type == DType::BF16);
  std::uint64_t full = 0;
  for (Group& g : groups_) {
    g.held.resize(at(shape.sequences));
    for (Layer& l : g.layers)
      l.tables.assign(at(shape.sequences), std::vector<std::byte*>(at(g.table), nullptr));
    full += g.page_bytes * at(g.table) * at(shape.sequences);
  }
  pool_ = std::make_shared<KvPool>(shape.limit > 0 ? shape.limit : full);
}

std::uint64_t KvCache::bytes_for(int length) const {
  std::uint64_t sum = 0;
  for (const Group& g : groups_) sum += g.page_bytes * at(std::min(g.table, pages_for(length)));
  return sum;
}

// The first page that a query at position `length` reads, and the first that is kept for it.
int KvCache::first_read(const Group& group, int length) const {
  return group.window == 0 ? 0 : std::max(0, length - group.window + 1) / kSegment;
}
int KvCache::first_kept(const Group& group, int length) const {
  return group.window == 0 ? 0 : std::max(0, length - group.window + 1 - shape_.back) / kSegment;
}

void KvCache::point(Group& group, int seq, int page, std::byte* bytes) {
  for (Layer& l : group.layers)
    l.tables[at(seq)][at(page % group.table)] = bytes == nullptr ? nullptr : bytes + l.offset;
}

// The sequence holds its pages [from, to) no longer: its first or its last ones.
void KvCache::let_go(Group& group, int seq, int from, int to) {
  Checkpoint::Part& held = group.held[at(seq)];
  const int end = held.first + static_cast<int>(held.pages.size());
  from = std::max(from, held.first);
  to = std::min(to, end);
  if (from >= to) return;
  for (int p = from; p < to; ++p) {
    KvPage& page = *held.pages[at(p - held.first)];
    if (page.writer == seq) page.writer = KvPage::kNobody;
    point(group, seq, p, nullptr);
  }
  held.pages.erase(held.pages.begin() + (from - held.first),
                   held.pages.begin() + (to - held.first));
  if (from == held.first) held.first = to;
}

Result<KvPagePtr> KvCache::new_page(std::size_t group) {
  const std::size_t n = groups_[group].page_bytes;
  BEZEL_TRY(auto* bytes, pool_->take(n));
  try {
    return std::make_shared<KvPage>(pool_, bytes, n);
  } catch (const std::bad_alloc&) {
    pool_->give_back(bytes, n);
    throw;
  }
}

// The page of position `length` - 1 is copied unless the sequence may write behind that position.
Status KvCache::make_last_writable(std::size_t i, int seq, int length) {
  if (length % kSegment == 0) return Ok{};
  Group& group = groups_[i];
  Checkpoint::Part& held = group.held[at(seq)];
  KvPagePtr& last = held.pages[at(length / kSegment - held.first)];
  if (last.use_count() == 1) last->frozen = 0;
  const bool free = last->writer == seq || last->writer == KvPage::kNobody;
  if (!free || last->frozen > length % kSegment) {
    BEZEL_TRY(KvPagePtr copy, new_page(i));
    std::memcpy(copy->bytes, last->bytes, group.page_bytes);
    if (last->writer == seq) last->writer = KvPage::kNobody;
    last = std::move(copy);
    point(group, seq, length / kSegment, last->bytes);
  }
  last->writer = seq;
  return Ok{};
}

Status KvCache::reserve(int seq, int length) {
  if (length > shape_.context)
    return Error{
        Errc::TooLarge,
        fmt::format("{} positions do not fit the context of {}; raise --ctx or shorten the text",
                    length, shape_.context),
        ""};
  const int now = this->length(seq);
  if (length <= now) return Ok{};
  BEZEL_CHECK(length - now <= shape_.chunk);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    Checkpoint::Part& held = g.held[at(seq)];
    let_go(g, seq, 0, first_kept(g, now));
    BEZEL_DO(make_last_writable(i, seq, now));
    if (held.pages.empty()) held.first = now / kSegment;
    for (int p = held.first + static_cast<int>(held.pages.size()); p < pages_for(length); ++p) {
      BEZEL_TRY(KvPagePtr page, new_page(i));
      page->writer = seq;
      std::byte* bytes = page->bytes;
      held.pages.push_back(std::move(page));
      point(g, seq, p, bytes);
    }
  }
  return Ok{};
}

void KvCache::set_length(int seq, int length) {
  BEZEL_CHECK(length >= 0 && length <= shape_.context);
  int& now = length_[at(seq)];
  if (length < now)
    for (Group& g : groups_) let_go(g, seq, pages_for(length), pages_for(shape_.context));
  now = length;
}

bool KvCache::can_rewind(int seq, int length) const {
  if (length > this->length(seq)) return false;
  return std::all_of(groups_.begin(), groups_.end(), [&](const Group& g) {
    return g.held[at(seq)].first <= first_read(g, length);
  });
}

void KvCache::clear(int seq) {
  for (Group& g : groups_) {
    let_go(g, seq, 0, pages_for(shape_.context));
    g.held[at(seq)].first = 0;
  }
  length_[at(seq)] = 0;
}

KvCache::Checkpoint KvCache::share(int seq, int length) const {
  BEZEL_CHECK(length > 0 && can_rewind(seq, length));
  Checkpoint c;
  c.length_ = length;
  for (const Group& g : groups_) {
    const Checkpoint::Part& held = g.held[at(seq)];
    Checkpoint::Part& part = c.parts_.emplace_back();
    part.first = std::max(held.first, first_kept(g, length));
    part.pages.assign(held.pages.begin() + (part.first - held.first),
                      held.pages.begin() + (pages_for(length) - held.first));
    for (int p = part.first; p < pages_for(length); ++p) {
      KvPage& page = *part.pages[at(p - part.first)];
      page.frozen = std::max(page.frozen, std::min(kSegment, length - p * kSegment));
    }
  }
  return c;
}

bool KvCache::reaches(const Checkpoint& from, int length) const {
  if (length > from.length()) return false;
  for (std::size_t i = 0; i < groups_.size(); ++i)
    if (from.parts_[i].first > first_read(groups_[i], length)) return false;
  return true;
}

void KvCache::restore(int seq, const Checkpoint& from, int length) {
  BEZEL_CHECK(length > 0 && reaches(from, length));
  clear(seq);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    const Checkpoint::Part& part = from.parts_[i];
    Checkpoint::Part& held = g.held[at(seq)];
    held.first = std::max(part.first, first_kept(g, length));
    held.pages.assign(part.pages.begin() + (held.first - part.first),
                      part.pages.begin() + (pages_for(length) - part.first));
    for (int p = held.first; p < pages_for(length); ++p)
      point(g, seq, p, held.pages[at(p - held.first)]->bytes);
  }
  length_[at(seq)] = length;
}

Result<KvCache::Checkpoint> KvCache::assemble(int length,
                                              std::vector<Checkpoint::Part> parts) const {
  const Error wrong{Errc::BadFile, "stored pages are not those of a prefix of this model", ""};
  if (length < 1 || length > shape_.context || parts.size() != groups_.size()) return wrong;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Checkpoint::Part& part = parts[i];
    const Group& g = groups_[i];
    const bool whole = part.first + static_cast<int>(part.pages.size()) == pages_for(length);
    if (part.first < first_kept(g, length) || part.first > first_read(g, length) || !whole)
      return wrong;
    for (int p = part.first; p < pages_for(length); ++p) {
      KvPage& page = *part.pages[at(p - part.first)];
      if (page.n_bytes != g.page_bytes) return wrong;
      page.frozen = std::max(page.frozen, std::min(kSegment, length - p * kSegment));
    }
  }
  Checkpoint c;
  c.length_ = length;
  c.parts_ = std::move(parts);
  return c;
}

std::uint64_t KvCache::Checkpoint::own_bytes() const {
  std::uint64_t sum = 0;
  for (const Part& part : parts_)
    for (const KvPagePtr& page : part.pages) sum += page.use_count() == 1 ? page->n_bytes : 0;
  return sum;
}

std::vector<std::size_t> KvCache::page_bytes() const {
  std::vector<std::size_t> out;
  for (const Group& g : groups_) out.push_back(g.page_bytes);
  return out;
}

std::vector<KvPages> KvCache::pages(int layer) const {
  for (const Group& g : groups_)
    for (const Layer& l : g.layers) {
      if (l.index != layer) continue;
      std::vector<KvPages> out(at(shape_.sequences), l.shape);
      for (std::size_t s = 0; s < out.size(); ++s) {
        out[s].pages = l.tables[s].data();
        out[s].n_pages = g.table;
      }
      return out;
    }
  BEZEL_CHECK(false);
  return {};
}

}  // namespace bezel
