// A loaded vocabulary: pieces, merges, and the tables that make encoding fast. Built once by the
// loaders, read-only afterwards.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bezel/result.h"
#include "text/vocab/pieces.h"

namespace bezel {

// Limits on what a file may state; Gemma has 262,144 pieces and 514,906 merges.
inline constexpr std::size_t kMaxPieces = (1U << 20U) - 1;
inline constexpr std::size_t kMaxMerges = 1U << 22U;
inline constexpr std::size_t kMaxPieceBytes = 1024;

enum class PieceKind : std::uint8_t {
  Plain,   // made by merges
  Byte,    // "<0xHH>": one byte of a character that has no piece
  Marker,  // special: in plain text it is only characters
  Added,   // found in any raw text before merging (Gemma 3: runs of white space, HTML tags)
};

// left + right become result; the rank is the place in the list.
struct Merge {
  TokenId left, right, result;
};

// (left id, right id) to rank, open addressing. A slot packs left, right (20 bits each) and rank.
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  explicit MergeTable(std::size_t n = 0);
  // False when the pair is there already.
  bool add(TokenId left, TokenId right, std::uint32_t rank);
  std::uint32_t rank(TokenId left, TokenId right) const {
    const std::uint64_t key = pack(left, right);
    for (std::size_t slot = hash_mix(key) & mask_;; slot = (slot + 1) & mask_) {
      const std::uint64_t s = slots_[slot];
      if (s == kEmpty) return kNone;
      if (s >> kRankBits == key) return static_cast<std::uint32_t>(s & ((1U << kRankBits) - 1));
    }
  }

 private:
  static constexpr unsigned kIdBits = 20, kRankBits = 23;
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  static_assert(kMaxPieces < (1U << kIdBits) && kMaxMerges < (1U << kRankBits));
  static std::uint64_t pack(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << kIdBits |
           static_cast<std::uint32_t>(right);
  }
  std::vector<std::uint64_t> slots_;
  std::size_t mask_;
};

// Which neighbouring code points a merge may ever join. A merge that spans the border between a and
// b has a left part that ends in a and a right part that begins with b; so where no merge has such
// parts, text can be cut and encoded piecewise with the same result. `true` may be wrong (a few
// per cent of the non-ASCII pairs share a bit with another), `false` never is.
class JoinFilter {
 public:
  JoinFilter() : hashed_((std::size_t{1} << kBits) / 64) {}
  void add(std::uint32_t a, std::uint32_t b) {
    if ((a | b) < 128) {
      ascii_.set(a * 128 + b);
    } else {
      const std::size_t h = bit(a, b);
      hashed_[h / 64] |= std::uint64_t{1} << (h % 64);
    }
  }
  bool may_join(std::uint32_t a, std::uint32_t b) const {
    if ((a | b) < 128) return ascii_[a * 128 + b];
    const std::size_t h = bit(a, b);
    return ((hashed_[h / 64] >> (h % 64)) & 1U) != 0;
  }

 private:
  static constexpr unsigned kBits = 20;
  static std::size_t bit(std::uint32_t a, std::uint32_t b) {
    return (std::uint64_t{a} << 32U | b) * 0x9E3779B97F4A7C15ULL >> (64U - kBits);
  }
  std::bitset<128 * 128> ascii_;
  std::vector<std::uint64_t> hashed_;
};

// Code point to the id of its one-character piece, -1 when there is none.
class CharTable {
 public:
  CharTable() : ids_(256, -1) {}
  void set(std::uint32_t cp, TokenId id);
  TokenId operator[](std::uint32_t cp) const { return ids_[page_[cp >> 8U] * 256U + (cp & 255U)]; }

 private:
  std::array<std::uint16_t, 0x1100> page_{};  // page 0 is empty
  std::vector<TokenId> ids_;
};

// Literal strings found in raw text: leftmost first, the longest at one place.
class Matcher {
 public:
  struct Hit {
    std::size_t at, length;
    TokenId id;
  };
  void add(std::string text, TokenId id) { entries_.push_back({std::move(text), id}); }
  void finish();  // after the last add
  // The first hit at or after `from`.
  std::optional<Hit> next(std::string_view text, std::size_t from) const;

 private:
  struct Entry {
    std::string text;
    TokenId id;
  };
  std::optional<Hit> longest_at(std::string_view text, std::size_t at) const;
  std::vector<Entry> entries_;                   // sorted by text
  std::array<std::uint32_t, 257> first_byte_{};  // entries that begin with byte b: [b], [b + 1]
};

struct Vocab {
  PieceStore pieces;                 // texts with spaces for U+2581
  std::vector<PieceKind> kinds;      // [n]
  std::array<TokenId, 256> byte_id;  // of the byte pieces
  CharTable chars;
  MergeTable merges;
  std::vector<TokenId> result;  // of a merge, by rank
  JoinFilter joins;
  Matcher special;  // markers and added pieces: for encode()
  Matcher added;    // added pieces only: for encode_plain()
  TokenId bos = -1, eos = -1;
  std::string kind;  // for display

  int size() const { return pieces.size(); }
  bool has(TokenId id) const { return id >= 0 && id < size(); }
  PieceKind kind_of(TokenId id) const { return kinds[static_cast<std::size_t>(id)]; }
  std::string label(TokenId id) const;  // id 7 ("<unused1>"), for errors
};

// Whether Gemma 3 or 4 uses this text as a marker, whatever a file says of its type.
bool is_marker_name(std::string_view text);

// The steps of loading, in order. `where` names the file in errors.
// Pieces in id order, as the file writes them: valid UTF-8, 1 to kMaxPieceBytes, all different, and
// every byte piece among them. Kinds: Byte by text, Marker by name, all others Plain.
Result<Vocab> start_vocab(const std::vector<std::string_view>& pieces, const std::string& where);
// A merge of the file: both parts and the result must be pieces that merging may make.
Result<Merge> find_merge(const Vocab& vocab, std::string_view left, std::string_view right,
                         std::size_t rank, const std::string& where);
// Kinds must be final for Byte and Marker pieces. Fills merges, result, joins and chars.
Status finish_merges(Vocab& vocab, const std::vector<Merge>& list, const std::string& where);

}  // namespace bezel
