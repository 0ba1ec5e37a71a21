// The file, little-endian: magic, key, version, number of pages and of checkpoints, bytes of what
// follows up to the pages, its checksum; for every page its group and checksum; for every
// checkpoint its ids and, for each group, its first page and the numbers of its pages; then the
// pages.
#include "engine/batch/prefix_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>

#include "base/file.h"
#include "engine/plan.h"

namespace bezel {

namespace {

constexpr std::uint64_t kMagic = 0x31564B4C455A4542;  // "BEZELKV1"
// Raised when the file or the layout of a page changes.
constexpr std::uint64_t kVersion = 1;

// Four words at a time; order and every bit count.
std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t start = 0) {
  constexpr std::uint64_t kPrime = 0x100000001B3, kOffset = 0xCBF29CE484222325;
  std::uint64_t lane[4] = {start ^ kOffset, kOffset + 1, kOffset + 2, kOffset + 3};
  const auto mix = [](std::uint64_t h, std::uint64_t word) {
    h = (h ^ word) * kPrime;
    return h ^ (h >> 29U);
  };
  std::size_t at = 0;
  std::uint64_t words[4];
  for (; at + sizeof words <= bytes.size(); at += sizeof words) {
    std::memcpy(words, bytes.data() + at, sizeof words);
    for (int i = 0; i < 4; ++i) lane[i] = mix(lane[i], words[i]);
  }
  std::uint64_t h = bytes.size();
  for (; at < bytes.size(); ++at) h = mix(h, static_cast<std::uint64_t>(bytes[at]));
  for (const std::uint64_t l : lane) h = mix(h, l);
  return h;
}

template <class T>
std::span<const std::byte> bytes_of(const T& x) {
  return std::as_bytes(std::span(&x, 1));
}

struct Head {
  std::uint64_t magic = kMagic, key = 0, version = kVersion;
  std::uint64_t pages = 0, checkpoints = 0, index_bytes = 0, index_sum = 0;
};

class Writer {
 public:
  template <class T>
  void put(T value) {
    const auto bytes = bytes_of(value);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> out;
};

// Reads past the end give nothing, and are remembered.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T>
  T get() {
    T value{};
    good = good && bytes_.size() - at_ >= sizeof value;
    if (good) std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += good ? sizeof value : 0;
    return value;
  }
  // A count of things of `size` bytes each that still lie ahead.
  std::size_t count(std::size_t size) {
    const auto n = get<std::uint32_t>();
    good = good && n <= (bytes_.size() - at_) / size;
    return good ? n : 0;
  }
  bool at_end() const { return at_ == bytes_.size(); }
  bool good = true;

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

// What will be written: pages are numbered as they are met.
struct Collected {
  Writer checkpoints;
  std::map<const KvPage*, std::uint32_t> numbers;
  std::vector<std::pair<std::size_t, const KvPage*>> pages;  // with their groups
  std::uint64_t page_bytes = 0, n_checkpoints = 0;

  void add(std::span<const TokenId> ids, const KvCache::Checkpoint& c, std::uint64_t limit) {
    std::uint64_t more = 0;
    for (const auto& part : c.parts())
      for (const auto& page : part.pages) more += numbers.count(page.get()) > 0 ? 0 : page->n_bytes;
    if (page_bytes + more > limit) return;
    page_bytes += more;
    ++n_checkpoints;
    checkpoints.put(static_cast<std::uint32_t>(ids.size()));
    for (const TokenId id : ids) checkpoints.put(id);
    for (std::size_t g = 0; g < c.parts().size(); ++g) {
      const auto& part = c.parts()[g];
      checkpoints.put(static_cast<std::uint32_t>(part.first));
      checkpoints.put(static_cast<std::uint32_t>(part.pages.size()));
      for (const auto& page : part.pages) {
        const auto [at, fresh] =
            numbers.try_emplace(page.get(), static_cast<std::uint32_t>(pages.size()));
        if (fresh) pages.emplace_back(g, page.get());
        checkpoints.put(at->second);
      }
    }
  }
};

struct PageEntry {
  std::uint64_t group = 0, sum = 0;
  std::size_t offset = 0;
  KvPagePtr page;  // once it is needed
};

Error damaged(const std::string& path, const char* what) {
  return {Errc::BadFile,
          fmt::format("the stored prefixes are not used: {}; the file may be deleted", what), path};
}

// Loads the pages of one checkpoint. No value: memory is full.
Result<std::optional<KvCache::Checkpoint>> read_checkpoint(Reader& in,
                                                           std::span<const std::byte> file,
                                                           std::vector<PageEntry>& pages,
                                                           KvCache& cache, int length,
                                                           const std::string& path) {
  const auto sizes = cache.page_bytes();
  std::vector<KvCache::Checkpoint::Part> parts;
  bool room = true;
  for (std::size_t g = 0; g < sizes.size(); ++g) {
    auto& part = parts.emplace_back();
    part.first = static_cast<int>(in.get<std::uint32_t>() & 0x7FFFFFFFU);
    for (std::size_t left = in.count(sizeof(std::uint32_t)); left > 0; --left) {
      const auto number = in.get<std::uint32_t>();
      if (number >= pages.size() || pages[number].group != g)
        return damaged(path, "it names a page that is not there");
      PageEntry& entry = pages[number];
      if (!room) continue;
      if (entry.page == nullptr) {
        const auto bytes = file.subspan(entry.offset, sizes[g]);
        if (checksum(bytes) != entry.sum) return damaged(path, "a page is damaged");
        auto page = cache.new_page(g);
        room = static_cast<bool>(page);
        if (!room) continue;
        std::memcpy((*page)->bytes, bytes.data(), bytes.size());
        entry.page = *std::move(page);
      }
      part.pages.push_back(entry.page);
    }
  }
  if (!in.good) return damaged(path, "it ends too early");
  if (!room) return std::optional<KvCache::Checkpoint>();
  BEZEL_TRY(auto checkpoint, cache.assemble(length, std::move(parts)));
  return std::optional(std::move(checkpoint));
}

// Where the pages lie. An Error when the file is too short for them.
Result<std::vector<PageEntry>> read_pages(Reader& in, const Head& head, const KvCache& cache,
                                          std::size_t file_bytes, const std::string& path) {
  const auto sizes = cache.page_bytes();
  std::vector<PageEntry> pages;
  std::size_t offset = sizeof(Head) + head.index_bytes;
  for (std::uint64_t n = 0; n < head.pages && in.good; ++n) {
    PageEntry& entry = pages.emplace_back();
    entry.group = in.get<std::uint64_t>();
    entry.sum = in.get<std::uint64_t>();
    entry.offset = offset;
    if (entry.group >= sizes.size() || sizes[entry.group] > file_bytes - offset)
      return damaged(path, "it ends too early");
    offset += sizes[entry.group];
  }
  if (!in.good || offset != file_bytes) return damaged(path, "its length is not right");
  return pages;
}

Result<Head> read_head(std::span<const std::byte> file, std::uint64_t key,
                       const std::string& path) {
  Head head;
  if (file.size() < sizeof head) return damaged(path, "it ends too early");
  std::memcpy(&head, file.data(), sizeof head);
  if (head.magic != kMagic || head.version != kVersion)
    return damaged(path, "it is no file of this version");
  if (head.key != key) return damaged(path, "it belongs to another model");
  if (head.index_bytes > file.size() - sizeof head) return damaged(path, "it ends too early");
  if (checksum(file.subspan(sizeof head, head.index_bytes)) != head.index_sum)
    return damaged(path, "its list of prefixes is damaged");
  return head;
}

}  // namespace

namespace {

// What a configuration says of keys and values, number by number: bytes between members mean
// nothing.
std::vector<double> numbers_of(const Config& c) {
  std::vector<double> all = {double{kVersion},     kNumericsVersion,   double(c.width),
                             double(c.ple_dim),    double(c.experts),  double(c.experts_used),
                             double(c.expert_dim), double{c.norm_eps}, double{c.norm_offset},
                             c.v_norm ? 1.0 : 0.0, double{c.q_scale},  double(c.last_append)};
  for (const LayerConfig& l : c.layers)
    for (const double x : {double(l.attn.heads_q), double(l.attn.heads_kv), double(l.attn.head_dim),
                           double(l.attn.window), double(l.rope.head_dim), double(l.rope.pairs),
                           l.rope.base, l.rope.scale, l.sliding ? 1.0 : 0.0, l.v_is_k ? 1.0 : 0.0,
                           double(l.kv_from), double(l.ffn_dim)})
      all.push_back(x);
  return all;
}

}  // namespace

std::uint64_t prefix_key(const Model& model, const EngineOptions& options) {
  constexpr std::size_t kSample = 4096;
  const std::vector<double> numbers = numbers_of(model.config());
  std::uint64_t sum = checksum(std::as_bytes(std::span(numbers)));
  const auto add = [&sum](std::span<const std::byte> bytes) { sum = checksum(bytes, sum); };
  for (const Tensor& t : model.file().tensors) {
    add(std::as_bytes(std::span(t.name)));
    add(std::as_bytes(std::span(t.shape)));
    add(bytes_of(t.type));
    const std::size_t n = std::min(kSample, t.data.size());
    for (const std::size_t at : {std::size_t{0}, (t.data.size() - n) / 2, t.data.size() - n})
      add(t.data.subspan(at, n));
  }
  const std::uint64_t how[] = {static_cast<std::uint64_t>(options.act),
                               static_cast<std::uint64_t>(options.kv),
                               options.weights == WeightKind::Q8_0 ? 1U : 0U};
  add(bytes_of(how));
  return sum;
}

std::string prefix_file(const std::string& folder, std::uint64_t key) {
  return fmt::format("{}/prefixes-{:016x}.kv", folder, key);
}

Status store_prefixes(PrefixTree& tree, const KvCache& cache, std::uint64_t key,
                      const std::string& folder, std::uint64_t limit) {
  Collected all;
  tree.visit(
      [&](std::span<const TokenId> ids, const KvCache::Checkpoint& c) { all.add(ids, c, limit); });
  if (all.n_checkpoints == 0) return Ok{};
  std::error_code error;
  // What people wrote is nobody else's business.
  if (std::filesystem::create_directories(folder, error) && !error)
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (error)
    return Error{Errc::Io, fmt::format("cannot make the folder: {}", error.message()), folder};
  const auto sizes = cache.page_bytes();
  Writer index;
  for (const auto& [group, page] : all.pages) {
    index.put(static_cast<std::uint64_t>(group));
    index.put(checksum({page->bytes, sizes[group]}));
  }
  index.out.insert(index.out.end(), all.checkpoints.out.begin(), all.checkpoints.out.end());
  Head head;
  head.key = key;
  head.pages = all.pages.size();
  head.checkpoints = all.n_checkpoints;
  head.index_bytes = index.out.size();
  head.index_sum = checksum(index.out);
  BEZEL_TRY(const auto file, AtomicFile::create(prefix_file(folder, key)));
  file->write(&head, sizeof head);
  file->write(index.out.data(), index.out.size());
  for (const auto& [group, page] : all.pages) file->write(page->bytes, sizes[group]);
  return file->commit();
}

Result<std::string> load_prefixes(PrefixTree& tree, KvCache& cache, std::uint64_t key, int vocab,
                                  const std::string& folder) {
  const std::string path = prefix_file(folder, key);
  if (!is_file(path)) return std::string();
  BEZEL_TRY(const auto map, MappedFile::open(path));
  const auto file = map->bytes();
  BEZEL_TRY(const Head head, read_head(file, key, path));
  Reader in(file.subspan(sizeof head, head.index_bytes));
  BEZEL_TRY(auto pages, read_pages(in, head, cache, file.size(), path));
  std::vector<std::pair<std::vector<TokenId>, KvCache::Checkpoint>> found;
  for (std::uint64_t n = 0; n < head.checkpoints; ++n) {
    std::vector<TokenId> ids(in.count(sizeof(TokenId)));
    for (TokenId& id : ids) id = in.get<TokenId>();
    const auto known = [vocab](TokenId id) { return id >= 0 && id < vocab; };
    if (!std::all_of(ids.begin(), ids.end(), known))
      return damaged(path, "it holds ids that the vocabulary has not");
    const int length = static_cast<int>(ids.size());
    BEZEL_TRY(auto checkpoint, read_checkpoint(in, file, pages, cache, length, path));
    if (checkpoint) {
      found.emplace_back(std::move(ids), *std::move(checkpoint));
    } else {  // its pages leave their room to checkpoints that fit
      for (PageEntry& entry : pages)
        if (entry.page.use_count() == 1) entry.page.reset();
    }
  }
  if (!in.good || !in.at_end()) return damaged(path, "its list of prefixes has no end");
  pages.clear();
  // The latest used come last, and so stay longest.
  for (auto f = found.rbegin(); f != found.rend(); ++f) {
    tree.find(f->first);
    tree.insert(f->first, std::move(f->second));
  }
  return fmt::format("{} stored prefixes, {}", tree.size(), size_text(cache.used_bytes()));
}

}  // namespace bezel
