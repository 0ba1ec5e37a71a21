#include "text/encode.h"

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/utf8.h"

namespace bezel {
namespace {

// One character of a text: its first symbol, or -1 when it becomes byte pieces.
struct Char {
  std::uint32_t code_point;  // a space for U+2581
  std::uint32_t bytes;
  TokenId id;
};

// Up to this many symbols the lowest rank is found by looking at all; above by a queue.
constexpr std::size_t kShort = 256;

constexpr std::uint32_t kEnd = 0xFFFFFFFFU;

// Pairs of symbols (rank of their merge, position), handed out by rank, then position: a list for
// each rank that grows at its end, and a heap of the ranks in use. A run of one period costs no
// logarithm.
//
// Pairs of one rank are pushed in ascending position. Call the phase of a symbol the highest rank
// among the merges that made it. A symbol is always made by the same merges, because those inside
// its span do not depend on the text around it. A phase runs over the text from left to right:
// each of its merges is followed at once by the lower ranks it makes possible, all of which involve
// the symbol just grown. A pair appears when the later of its two symbols does, so the pairs of one
// rank all appear in one phase, from left to right.
class PairQueue {
 public:
  void start(std::size_t n_ranks, std::size_t n_pairs) {
    lists_.resize(n_ranks, {kEnd, kEnd});  // all empty again after the last pop
    links_.reserve(n_pairs);
  }
  bool empty() const { return ranks_.empty(); }

  void push(std::uint32_t rank, std::uint32_t at) {
    const std::uint32_t link = new_link(at);
    List& list = lists_[rank];
    if (list.first == kEnd) {
      list.first = link;
      ranks_.push_back(rank);
      std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    } else {
      BEZEL_DCHECK(links_[list.last].at <= at);
      links_[list.last].next = link;
    }
    list.last = link;
  }

  struct Pair {
    std::uint32_t rank, at;
  };
  Pair pop() {
    const std::uint32_t rank = ranks_.front();
    List& list = lists_[rank];
    const std::uint32_t link = list.first;
    list.first = links_[link].next;
    links_[link].next = free_;
    free_ = link;
    if (list.first == kEnd) {
      std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
      ranks_.pop_back();
    }
    return {rank, links_[link].at};
  }

 private:
  struct Link {
    std::uint32_t at, next;
  };
  struct List {
    std::uint32_t first, last;  // links; first is kEnd when empty
  };

  std::uint32_t new_link(std::uint32_t at) {
    if (free_ == kEnd) {
      links_.push_back({at, kEnd});
      return static_cast<std::uint32_t>(links_.size() - 1);
    }
    const std::uint32_t link = free_;
    free_ = links_[link].next;
    links_[link] = {at, kEnd};
    return link;
  }

  std::vector<List> lists_;           // by rank
  std::vector<Link> links_;           // of all lists
  std::uint32_t free_ = kEnd;         // links to use again
  std::vector<std::uint32_t> ranks_;  // heap of the ranks whose list is not empty
};

// Work of one call. Text is cut where no merge can join (JoinFilter), and every segment is merged
// on its own. Segments repeat (they are mostly words), so a small table remembers where in this
// very text and output one was seen.
class Encoder {
 public:
  Encoder(const Vocab& vocab, std::string_view text) : vocab_(vocab), text_(text) {
    out_.reserve(text.size() / 4 + 16);
    if (text.size() >= kRemember) seen_.resize(kSeen);
  }

  void run(const Matcher& literal) {
    std::size_t from = 0;
    while (const auto hit = literal.next(text_, from)) {
      stretch(from, hit->at);
      out_.push_back(hit->id);
      from = hit->at + hit->length;
    }
    stretch(from, text_.size());
  }
  std::vector<TokenId> take() { return std::move(out_); }

 private:
  static constexpr std::size_t kRemember = 1024;  // shorter texts are not worth the table
  static constexpr std::size_t kSeen = 4096;
  static constexpr std::size_t kSeenBytes = 64;  // longer segments are not remembered
  struct Seen {
    std::size_t text_at = 0, out_at = 0;
    std::uint32_t bytes = 0, ids = 0;
  };

  Char char_at(std::size_t i) const {
    const auto c = static_cast<unsigned char>(text_[i]);
    if (c < 128) return {c, 1, vocab_.chars[c]};
    const std::size_t n = utf8_length_at(text_, i);
    if (n == 0) return {0, 1, -1};
    std::uint32_t cp = code_point_at(text_, i, n);
    if (cp == 0x2581) cp = ' ';
    return {cp, static_cast<std::uint32_t>(n), vocab_.chars[cp]};
  }

  // No merge joins text[begin, end) to its surroundings: these are markers or the ends of the text.
  void stretch(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end;) {
      Char c = char_at(i);
      if (c.id < 0) {
        for (const std::size_t stop = i + c.bytes; i < stop; ++i)
          out_.push_back(vocab_.byte_id[static_cast<unsigned char>(text_[i])]);
        continue;
      }
      const std::size_t start = i;
      const TokenId first = c.id;
      i += c.bytes;
      bool single = true;
      while (i < end) {
        const Char next = char_at(i);
        if (next.id < 0 || !vocab_.joins.may_join(c.code_point, next.code_point)) break;
        single = false;
        i += next.bytes;
        c = next;
      }
      if (single) {
        out_.push_back(first);
      } else {
        segment(start, i);
      }
    }
  }

  void segment(std::size_t begin, std::size_t end) {
    const std::size_t n = end - begin;
    if (seen_.empty() || n > kSeenBytes) return merge(begin, end);
    const std::string_view bytes = text_.substr(begin, n);
    Seen& seen = seen_[hash_mix(hash_on(kHashStart, bytes)) % kSeen];
    if (seen.bytes == n && text_.substr(seen.text_at, n) == bytes) {
      for (std::size_t k = 0; k < seen.ids; ++k) out_.push_back(out_[seen.out_at + k]);
      return;
    }
    const std::size_t out_at = out_.size();
    merge(begin, end);
    seen = {begin, out_at, static_cast<std::uint32_t>(n),
            static_cast<std::uint32_t>(out_.size() - out_at)};
  }

  void merge(std::size_t begin, std::size_t end) {
    ids_.clear();
    for (std::size_t i = begin; i < end;) {
      const Char c = char_at(i);
      ids_.push_back(c.id);
      i += c.bytes;
    }
    if (ids_.size() <= kShort) {
      merge_short();
    } else {
      merge_long();
    }
  }

  void merge_short() {
    std::uint32_t rank[kShort];  // of the pair (i, i + 1)
    std::size_t n = ids_.size();
    for (std::size_t i = 0; i + 1 < n; ++i) rank[i] = vocab_.merges.rank(ids_[i], ids_[i + 1]);
    while (n > 1) {
      const std::uint32_t* const best = std::min_element(rank, rank + n - 1);
      if (*best == MergeTable::kNone) break;
      const auto at = static_cast<std::size_t>(best - rank);
      ids_[at] = vocab_.result[*best];
      std::copy(ids_.begin() + static_cast<std::ptrdiff_t>(at) + 2,
                ids_.begin() + static_cast<std::ptrdiff_t>(n),
                ids_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      std::copy(rank + at + 1, rank + n - 1, rank + at);
      --n;
      if (at + 1 < n) rank[at] = vocab_.merges.rank(ids_[at], ids_[at + 1]);
      if (at > 0) rank[at - 1] = vocab_.merges.rank(ids_[at - 1], ids_[at]);
    }
    out_.insert(out_.end(), ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(n));
  }

  // A symbol in a list; `rank` is that of the pair with the next one, kNone for the last and for
  // symbols that were merged away.
  struct Node {
    TokenId id;
    std::uint32_t previous, next, rank;
  };

  void push_pair(std::uint32_t at) {
    Node& node = nodes_[at];
    node.rank =
        node.next == kEnd ? MergeTable::kNone : vocab_.merges.rank(node.id, nodes_[node.next].id);
    if (node.rank != MergeTable::kNone) queue_.push(node.rank, at);
  }

  void merge_long() {
    const std::size_t n = ids_.size();
    BEZEL_CHECK(n < kEnd);
    nodes_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::uint32_t>(i);
      nodes_[i] = {ids_[i], i == 0 ? kEnd : at - 1, i + 1 == n ? kEnd : at + 1, 0};
    }
    queue_.start(vocab_.result.size(), n);
    for (std::uint32_t at = 0; at < n; ++at) push_pair(at);
    while (!queue_.empty()) {
      const auto [rank, at] = queue_.pop();
      Node& node = nodes_[at];
      if (node.rank != rank) continue;  // the pair is no more
      Node& gone = nodes_[node.next];
      node.id = vocab_.result[rank];
      node.next = gone.next;
      gone.rank = MergeTable::kNone;
      if (node.next != kEnd) nodes_[node.next].previous = at;
      push_pair(at);
      if (node.previous != kEnd) push_pair(node.previous);
    }
    for (std::uint32_t at = 0; at != kEnd; at = nodes_[at].next) out_.push_back(nodes_[at].id);
  }

  const Vocab& vocab_;
  const std::string_view text_;
  std::vector<TokenId> out_, ids_;
  std::vector<Seen> seen_;
  std::vector<Node> nodes_;
  PairQueue queue_;
};

}  // namespace

std::vector<TokenId> encode_text(const Vocab& vocab, const Matcher& literal,
                                 std::string_view text) {
  Encoder encoder(vocab, text);
  encoder.run(literal);
  return encoder.take();
}

}  // namespace bezel
