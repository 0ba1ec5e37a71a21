#include "text/vocab/vocab.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/utf8.h"

namespace bezel {

MergeTable::MergeTable(std::size_t n)
    : slots_(std::bit_ceil(n + n / 2 + 2), kEmpty), mask_(slots_.size() - 1) {}

bool MergeTable::add(TokenId left, TokenId right, std::uint32_t rank) {
  const std::uint64_t key = pack(left, right);
  std::size_t slot = hash_mix(key) & mask_;
  for (; slots_[slot] != kEmpty; slot = (slot + 1) & mask_)
    if (slots_[slot] >> kRankBits == key) return false;
  slots_[slot] = key << kRankBits | rank;
  return true;
}

void CharTable::set(std::uint32_t cp, TokenId id) {
  BEZEL_CHECK(cp < 0x110000);
  std::uint16_t& page = page_[cp >> 8U];
  if (page == 0) {
    page = static_cast<std::uint16_t>(ids_.size() / 256);
    ids_.resize(ids_.size() + 256, -1);
  }
  ids_[page * 256U + (cp & 255U)] = id;
}

void Matcher::finish() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.text < b.text; });
  entries_.erase(std::unique(entries_.begin(), entries_.end(),
                             [](const Entry& a, const Entry& b) { return a.text == b.text; }),
                 entries_.end());
  for (const Entry& e : entries_) ++first_byte_[static_cast<unsigned char>(e.text[0]) + 1U];
  for (std::size_t b = 1; b < first_byte_.size(); ++b) first_byte_[b] += first_byte_[b - 1];
}

std::optional<Matcher::Hit> Matcher::longest_at(std::string_view text, std::size_t at) const {
  const auto b = static_cast<unsigned char>(text[at]);
  auto lo = entries_.begin() + first_byte_[b];
  auto hi = entries_.begin() + first_byte_[b + 1U];
  std::optional<Hit> hit;
  // [lo, hi) are the entries that agree with the text in the first `n` bytes; the shortest is
  // first.
  for (std::size_t n = 1; lo != hi; ++n) {
    if (lo->text.size() == n) {
      hit = Hit{at, n, lo->id};
      if (++lo == hi) break;
    }
    if (at + n == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at + n]);
    const auto nth = [n](const Entry& e) { return static_cast<unsigned char>(e.text[n]); };
    lo = std::partition_point(lo, hi, [&](const Entry& e) { return nth(e) < c; });
    hi = std::partition_point(lo, hi, [&](const Entry& e) { return nth(e) == c; });
  }
  return hit;
}

std::optional<Matcher::Hit> Matcher::next(std::string_view text, std::size_t from) const {
  if (entries_.empty()) return std::nullopt;
  for (std::size_t at = from; at < text.size(); ++at) {
    const auto b = static_cast<unsigned char>(text[at]);
    if (first_byte_[b] == first_byte_[b + 1U]) continue;
    if (auto hit = longest_at(text, at)) return hit;
  }
  return std::nullopt;
}

std::string Vocab::label(TokenId id) const {
  return fmt::format("id {} (\"{}\")", id, pieces[id]);
}

bool is_marker_name(std::string_view text) {
  static constexpr std::string_view kNames[] = {"<pad>",
                                                "<eos>",
                                                "<bos>",
                                                "<unk>",
                                                "<mask>",
                                                "<|tool>",
                                                "<tool|>",
                                                "<|tool_call>",
                                                "<tool_call|>",
                                                "<|tool_response>",
                                                "<|\"|>",
                                                "<tool_response|>",
                                                "<|think|>",
                                                "<|channel>",
                                                "<channel|>",
                                                "<|turn>",
                                                "<turn|>",
                                                "<|image>",
                                                "<image|>",
                                                "<|image|>",
                                                "<|audio>",
                                                "<audio|>",
                                                "<|audio|>",
                                                "<|video|>",
                                                "<start_of_turn>",
                                                "<end_of_turn>",
                                                "<end_of_image>",
                                                "<start_of_image>",
                                                "<image_soft_token>"};
  return std::find(std::begin(kNames), std::end(kNames), text) != std::end(kNames);
}

// The byte of "<0xHH>" (upper-case digits), or -1 for any other text.
static int byte_of(std::string_view s) {
  if (s.size() != 6 || s.substr(0, 3) != "<0x" || s[5] != '>') return -1;
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  const std::size_t hi = kDigits.find(s[3]), lo = kDigits.find(s[4]);
  if (hi == std::string_view::npos || lo == std::string_view::npos) return -1;
  return static_cast<int>(hi * 16 + lo);
}

static Status check_piece(std::string_view piece, std::size_t id, const std::string& where) {
  if (piece.empty() || piece.size() > kMaxPieceBytes)
    return Error{Errc::BadFile,
                 fmt::format("the vocabulary's piece {} has {} bytes; 1 to {} are expected", id,
                             piece.size(), kMaxPieceBytes),
                 where};
  if (!valid_utf8(piece))
    return Error{Errc::BadFile, fmt::format("the vocabulary's piece {} is not valid UTF-8", id),
                 where};
  return Ok{};
}

Result<Vocab> start_vocab(const std::vector<std::string_view>& pieces, const std::string& where) {
  if (pieces.empty() || pieces.size() > kMaxPieces)
    return Error{Errc::BadFile,
                 fmt::format("the vocabulary has {} pieces; 1 to {} are expected", pieces.size(),
                             kMaxPieces),
                 where};
  Vocab v;
  v.pieces = PieceStore(pieces.size());
  v.kinds.assign(pieces.size(), PieceKind::Plain);
  v.byte_id.fill(-1);
  std::string text;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    BEZEL_DO(check_piece(pieces[i], i, where));
    text.clear();
    append_with_spaces(text, pieces[i]);
    if (const TokenId first = v.pieces.add(text); first >= 0)
      return Error{Errc::BadFile,
                   fmt::format("the vocabulary has the same piece twice, as {} and as id {}",
                               v.label(first), i),
                   where};
    if (const int byte = byte_of(text); byte >= 0) {
      v.kinds[i] = PieceKind::Byte;
      v.byte_id[static_cast<std::size_t>(byte)] = static_cast<TokenId>(i);
    } else if (is_marker_name(text)) {
      v.kinds[i] = PieceKind::Marker;
    }
  }
  const auto missing = std::find(v.byte_id.begin(), v.byte_id.end(), -1);
  if (missing != v.byte_id.end())
    return Error{Errc::BadFile,
                 fmt::format("the vocabulary has no piece <0x{:02X}>; Gemma's has one for each of "
                             "the 256 bytes",
                             missing - v.byte_id.begin()),
                 where};
  return v;
}

Result<Merge> find_merge(const Vocab& vocab, std::string_view left, std::string_view right,
                         std::size_t rank, const std::string& where) {
  if (left.size() + right.size() > kMaxPieceBytes)
    return Error{Errc::BadFile,
                 fmt::format("merge {} makes a piece of more than {} bytes", rank, kMaxPieceBytes),
                 where};
  std::string both;
  append_with_spaces(both, left);
  const std::size_t cut = both.size();
  append_with_spaces(both, right);
  const std::string_view l = std::string_view(both).substr(0, cut);
  const std::string_view r = std::string_view(both).substr(cut);
  const std::uint64_t hash_l = hash_on(kHashStart, l);
  const Merge m{vocab.pieces.find(l, hash_l), vocab.pieces.find(r),
                vocab.pieces.find(both, hash_on(hash_l, r))};
  if (m.left < 0 || m.right < 0 || m.result < 0)
    return Error{
        Errc::BadFile,
        fmt::format("merge {} joins \"{}\" and \"{}\", but \"{}\" is not in the vocabulary", rank,
                    l, r,
                    m.left < 0    ? l
                    : m.right < 0 ? r
                                  : both),
        where};
  return m;
}

// The one-character pieces that text starts from.
static void fill_chars(Vocab& v) {
  for (TokenId id = 0; id < v.size(); ++id) {
    const PieceKind kind = v.kind_of(id);
    const std::string_view piece = v.pieces[id];
    if (kind == PieceKind::Byte || kind == PieceKind::Marker) continue;
    if (utf8_length_at(piece, 0) == piece.size()) v.chars.set(first_code_point(piece), id);
  }
}

Status finish_merges(Vocab& v, const std::vector<Merge>& list, const std::string& where) {
  if (list.empty() || list.size() > kMaxMerges)
    return Error{
        Errc::BadFile,
        fmt::format("the tokenizer has {} merges; 1 to {} are expected", list.size(), kMaxMerges),
        where};
  v.merges = MergeTable(list.size());
  v.result.reserve(list.size());
  for (std::size_t rank = 0; rank < list.size(); ++rank) {
    const Merge& m = list[rank];
    for (const TokenId id : {m.left, m.right, m.result})
      if (v.kind_of(id) == PieceKind::Byte || v.kind_of(id) == PieceKind::Marker)
        return Error{Errc::BadFile,
                     fmt::format("merge {} uses {}, which text must never become; the tokenizer "
                                 "cannot be trusted",
                                 rank, v.label(id)),
                     where};
    if (!v.merges.add(m.left, m.right, static_cast<std::uint32_t>(rank)))
      return Error{Errc::BadFile,
                   fmt::format("merge {} joins {} and {}, which an earlier merge joins already",
                               rank, v.label(m.left), v.label(m.right)),
                   where};
    v.result.push_back(m.result);
    v.joins.add(last_code_point(v.pieces[m.left]), first_code_point(v.pieces[m.right]));
  }
  fill_chars(v);
  return Ok{};
}

}  // namespace bezel
