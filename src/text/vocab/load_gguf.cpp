#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/vocab/load.h"

namespace bezel {
namespace {

// GGUF token types.
enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

// An array of the metadata, or an Error that says what is missing.
template <class T>
Result<const std::vector<T>*> array_of(const TensorFile& file, std::string_view key,
                                       std::string_view what) {
  const auto it = file.meta.find(key);
  if (it == file.meta.end())
    return Error{
        Errc::BadFile,
        fmt::format("the file has no {}; a model file with its tokenizer is expected", key),
        file.path};
  const auto* array = std::get_if<MetaArray>(&it->second);
  const auto* values = array != nullptr ? std::get_if<std::vector<T>>(array) : nullptr;
  if (values == nullptr)
    return Error{Errc::BadFile, fmt::format("{} must be an array of {}", key, what), file.path};
  return values;
}

template <class T>
Status same_length(const TensorFile& file, std::string_view key, const std::vector<T>& values,
                   std::size_t n) {
  if (values.size() == n) return Ok{};
  return Error{
      Errc::BadFile,
      fmt::format("{} has {} entries, but the vocabulary has {} pieces", key, values.size(), n),
      file.path};
}

// tokenizer.ggml.token_type, one per piece.
Result<std::vector<std::int64_t>> token_types(const TensorFile& file, std::size_t n) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  BEZEL_TRY(const auto* types, array_of<std::int64_t>(file, kKey, "integers"));
  BEZEL_DO(same_length(file, kKey, *types, n));
  return *types;
}

Result<std::vector<Merge>> listed_merges(const TensorFile& file, const Vocab& vocab) {
  constexpr std::string_view kKey = "tokenizer.ggml.merges";
  BEZEL_TRY(const auto* lines, array_of<std::string_view>(file, kKey, "strings"));
  std::vector<Merge> list;
  list.reserve(std::min(lines->size(), kMaxMerges + 1));
  for (const std::string_view line : *lines) {
    if (list.size() > kMaxMerges) break;
    const std::size_t cut = line.find(' ', 1);
    if (cut == std::string_view::npos)
      return Error{Errc::BadFile,
                   fmt::format("merge {} of {} has no space between its parts", list.size(), kKey),
                   file.path};
    BEZEL_TRY(const Merge m,
              find_merge(vocab, line.substr(0, cut), line.substr(cut + 1), list.size(), file.path));
    list.push_back(m);
  }
  return list;
}

// Gemma 4: markers go by their names first, because converters disagree on the types. Other pieces
// of a special type are markers too, unless merges make them.
Status load_gemma4(const TensorFile& file, Vocab& v) {
  const auto n = static_cast<std::size_t>(v.size());
  std::vector<std::int64_t> types(n, kNormal);
  if (file.has("tokenizer.ggml.token_type")) {
    BEZEL_TRY(types, token_types(file, n));
  }
  for (std::size_t i = 0; i < n; ++i)
    if (types[i] == kControl || types[i] == kUnknown) v.kinds[i] = PieceKind::Marker;
  BEZEL_TRY(const auto list, listed_merges(file, v));
  std::vector<bool> made(n, false);
  for (const Merge& m : list) made[static_cast<std::size_t>(m.result)] = true;
  for (std::size_t i = 0; i < n; ++i) {
    const bool one_char = utf8_length_at(v.pieces[static_cast<TokenId>(i)], 0) ==
                          v.pieces[static_cast<TokenId>(i)].size();
    if (types[i] == kUserDefined && v.kinds[i] == PieceKind::Plain && !made[i] && !one_char)
      v.kinds[i] = PieceKind::Marker;
  }
  v.kind = "gemma4 merges";
  return finish_merges(v, list, file.path);
}

// Gemma 3: control pieces are markers, user-defined ones are found in raw text, scores give the
// merges (a user-defined piece counts as 0, whatever the file says).
Status load_gemma3(const TensorFile& file, Vocab& v) {
  const auto n = static_cast<std::size_t>(v.size());
  constexpr std::string_view kScores = "tokenizer.ggml.scores";
  BEZEL_TRY(const auto types, token_types(file, n));
  BEZEL_TRY(const auto* stated, array_of<double>(file, kScores, "numbers"));
  BEZEL_DO(same_length(file, kScores, *stated, n));
  std::vector<double> scores = *stated;
  std::vector<bool> joins(n, false);
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isfinite(scores[i]))
      return Error{Errc::BadFile, fmt::format("{}[{}] is not a finite number", kScores, i),
                   file.path};
    if (types[i] == kControl || types[i] == kUnknown) v.kinds[i] = PieceKind::Marker;
    if (types[i] == kUserDefined && v.kinds[i] == PieceKind::Plain) {
      v.kinds[i] = PieceKind::Added;
      scores[i] = 0;
    }
    joins[i] =
        v.kinds[i] == PieceKind::Added || (v.kinds[i] == PieceKind::Plain && types[i] == kNormal);
  }
  v.kind = "gemma3 scores";
  return finish_merges(v, merges_from_scores(v, scores, joins), file.path);
}

void fill_matchers(Vocab& v) {
  for (TokenId id = 0; id < v.size(); ++id) {
    const PieceKind kind = v.kind_of(id);
    if (kind != PieceKind::Marker && kind != PieceKind::Added) continue;
    const std::string text = with_space_marks(v.pieces[id]);
    v.special.add(text, id);
    if (kind == PieceKind::Added) v.added.add(text, id);
  }
  v.special.finish();
  v.added.finish();
}

// The id a key states, else the id of `name`, else -1.
Result<TokenId> stated_id(const TensorFile& file, const Vocab& v, std::string_view key,
                          std::string_view name) {
  BEZEL_TRY(const std::int64_t id,
            file.meta_int(key, v.pieces.find(name), -1, std::int64_t{v.size()} - 1));
  return static_cast<TokenId>(id);
}

}  // namespace

std::vector<Merge> merges_from_scores(const Vocab& vocab, const std::vector<double>& scores,
                                      const std::vector<bool>& joins) {
  struct Split {
    double score;
    std::uint32_t n_left, n_right;  // characters
    Merge merge;
  };
  std::vector<Split> splits;
  std::vector<std::uint64_t> hash;  // of each prefix
  const auto piece_with = [&](std::string_view text, std::uint64_t h) {
    const TokenId id = vocab.pieces.find(text, h);
    return id >= 0 && joins[static_cast<std::size_t>(id)] ? id : -1;
  };
  for (TokenId id = 0; id < vocab.size(); ++id) {
    if (!joins[static_cast<std::size_t>(id)]) continue;
    const std::string_view piece = vocab.pieces[id];
    std::uint32_t n_chars = 0, n_left = 0;
    for (std::size_t i = 0; i < piece.size(); i += utf8_length_at(piece, i)) ++n_chars;
    std::uint64_t h = kHashStart;
    for (std::size_t i = 0; i < piece.size();) {
      const std::size_t next = i + utf8_length_at(piece, i);
      h = hash_on(h, piece.substr(i, next - i));
      i = next;
      if (++n_left == n_chars) break;
      const TokenId left = piece_with(piece.substr(0, i), h);
      if (left < 0) continue;
      const std::string_view rest = piece.substr(i);
      const TokenId right = piece_with(rest, hash_on(kHashStart, rest));
      if (right < 0) continue;
      splits.push_back(
          {scores[static_cast<std::size_t>(id)], n_left, n_chars - n_left, {left, right, id}});
    }
    if (splits.size() > kMaxMerges) break;  // finish_merges() refuses it
  }
  std::sort(splits.begin(), splits.end(), [](const Split& a, const Split& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.n_left != b.n_left) return a.n_left > b.n_left;
    if (a.n_right != b.n_right) return a.n_right > b.n_right;
    return a.merge.result < b.merge.result;
  });
  std::vector<Merge> list;
  list.reserve(splits.size());
  for (const Split& s : splits) list.push_back(s.merge);
  return list;
}

Result<Vocab> vocab_from_gguf(const TensorFile& file) {
  BEZEL_TRY(const std::string model, file.meta_text("tokenizer.ggml.model", ""));
  if (model != "gemma4" && model != "llama")
    return Error{Errc::Unsupported,
                 fmt::format("tokenizer.ggml.model is \"{}\"; \"gemma4\" or Gemma 3's \"llama\" is "
                             "expected",
                             model),
                 file.path};
  BEZEL_TRY(const auto* pieces,
            array_of<std::string_view>(file, "tokenizer.ggml.tokens", "strings"));
  BEZEL_TRY(Vocab v, start_vocab(*pieces, file.path));
  if (model == "gemma4") {
    BEZEL_DO(load_gemma4(file, v));
  } else {
    BEZEL_DO(load_gemma3(file, v));
  }
  fill_matchers(v);
  BEZEL_TRY(v.bos, stated_id(file, v, "tokenizer.ggml.bos_token_id", "<bos>"));
  BEZEL_TRY(v.eos, stated_id(file, v, "tokenizer.ggml.eos_token_id", "<eos>"));
  return v;
}

}  // namespace bezel
