#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "text/vocab/load.h"

namespace bezel {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kMaxDepth = 64;

Error bad(const std::string& where, std::string what) {
  return Error{Errc::BadFile, std::move(what), where};
}

// A member of an object; the null element's type when it is absent or null.
struct Field {
  dom::element value;
  bool present = false;
};
Field field(dom::object object, const char* key) {
  Field f;
  f.present = object.at_key(key).get(f.value) == simdjson::SUCCESS && !f.value.is_null();
  return f;
}

Result<dom::object> object_at(dom::object parent, const char* key, const std::string& where) {
  dom::object object;
  const Field f = field(parent, key);
  if (!f.present || f.value.get(object) != simdjson::SUCCESS)
    return bad(where, fmt::format("\"{}\" must be an object, as in Gemma's tokenizer.json", key));
  return object;
}

Result<dom::array> array_at(dom::object parent, const char* key, const std::string& where) {
  dom::array array;
  const Field f = field(parent, key);
  if (!f.present || f.value.get(array) != simdjson::SUCCESS)
    return bad(where, fmt::format("\"{}\" must be an array, as in Gemma's tokenizer.json", key));
  return array;
}

bool is_text(dom::object object, const char* key, std::string_view expected) {
  std::string_view text;
  const Field f = field(object, key);
  return f.present && f.value.get(text) == simdjson::SUCCESS && text == expected;
}

// An optional flag of an object; anything but true counts as false.
bool is_true(dom::object object, const char* key) {
  bool value = false;
  const Field f = field(object, key);
  return f.present && f.value.get(value) == simdjson::SUCCESS && value;
}

bool is_absent_or_empty(dom::object object, const char* key) {
  return !field(object, key).present || is_text(object, key, "");
}

// {"type": ..., "pattern": {"String": " "}}
bool works_on_spaces(dom::object step, std::string_view type) {
  dom::object pattern;
  const Field f = field(step, "pattern");
  return is_text(step, "type", type) && f.present && f.value.get(pattern) == simdjson::SUCCESS &&
         is_text(pattern, "String", " ");
}

// The encoder does exactly one kind of tokenizer; anything else would give wrong ids in silence.
Status check_kind(dom::object root, dom::object model, const std::string& where) {
  if (!is_text(model, "type", "BPE") || !is_true(model, "byte_fallback") ||
      is_true(model, "ignore_merges") || !is_absent_or_empty(model, "continuing_subword_prefix") ||
      !is_absent_or_empty(model, "end_of_word_suffix"))
    return Error{
        Errc::Unsupported,
        "the tokenizer's model is not Gemma's (BPE with byte fallback and no prefix, suffix "
        "or whole-word rule)",
        where};
  BEZEL_TRY(const dom::object normalizer, object_at(root, "normalizer", where));
  if (!works_on_spaces(normalizer, "Replace") || !is_text(normalizer, "content", kSpaceMark))
    return Error{Errc::Unsupported,
                 "the tokenizer's normalizer is not Gemma's (a space becomes U+2581)", where};
  const Field pre = field(root, "pre_tokenizer");
  dom::object split;
  if (pre.present &&
      (pre.value.get(split) != simdjson::SUCCESS || !works_on_spaces(split, "Split")))
    return Error{Errc::Unsupported,
                 "the tokenizer's pre_tokenizer is not Gemma's (a split at spaces, which never "
                 "happens)",
                 where};
  return Ok{};
}

// One entry of "added_tokens".
struct Addition {
  std::string_view text;
  std::size_t id;
  bool special;
};

Result<std::vector<Addition>> read_additions(dom::object root, const std::string& where) {
  std::vector<Addition> list;
  if (!field(root, "added_tokens").present) return list;
  BEZEL_TRY(const dom::array array, array_at(root, "added_tokens", where));
  for (const dom::element item : array) {
    dom::object object;
    Addition a{};
    std::uint64_t id = 0;
    if (item.get(object) != simdjson::SUCCESS ||
        object.at_key("content").get(a.text) != simdjson::SUCCESS || a.text.empty() ||
        object.at_key("id").get(id) != simdjson::SUCCESS || id >= kMaxPieces)
      return bad(where,
                 fmt::format("added_tokens[{}] must be an object with a text \"content\" and "
                             "an \"id\" below {}",
                             list.size(), kMaxPieces));
    a.id = static_cast<std::size_t>(id);
    if (is_true(object, "lstrip") || is_true(object, "rstrip") || is_true(object, "single_word"))
      return Error{Errc::Unsupported,
                   fmt::format("added token \"{}\" asks for lstrip, rstrip or single_word, which "
                               "Gemma's tokens never do",
                               a.text),
                   where};
    a.special = is_true(object, "special");
    list.push_back(a);
  }
  return list;
}

Status place(std::vector<std::string_view>& pieces, std::size_t id, std::string_view text,
             const std::string& where) {
  if (id >= kMaxPieces)
    return bad(where, fmt::format("piece \"{}\" has the id {}; ids below {} are expected", text, id,
                                  kMaxPieces));
  if (id >= pieces.size()) pieces.resize(id + 1);
  if (!pieces[id].empty() && pieces[id] != text)
    return bad(where, fmt::format("id {} is given to two pieces, \"{}\" and \"{}\"", id, pieces[id],
                                  text));
  pieces[id] = text;
  return Ok{};
}

// All pieces by id, from "vocab" and "added_tokens" together.
Result<std::vector<std::string_view>> read_pieces(dom::object model,
                                                  const std::vector<Addition>& additions,
                                                  const std::string& where) {
  BEZEL_TRY(const dom::object vocab, object_at(model, "vocab", where));
  std::vector<std::string_view> pieces;
  pieces.reserve(std::min(vocab.size(), kMaxPieces));
  for (const auto [text, value] : vocab) {
    std::uint64_t id = 0;
    if (value.get(id) != simdjson::SUCCESS || text.empty())
      return bad(where,
                 fmt::format("piece \"{}\" of the vocabulary must be a text with an id", text));
    BEZEL_DO(place(pieces, id, text, where));
  }
  for (const Addition& a : additions) BEZEL_DO(place(pieces, a.id, a.text, where));
  const auto hole = std::find_if(pieces.begin(), pieces.end(),
                                 [](std::string_view piece) { return piece.empty(); });
  if (hole != pieces.end())
    return bad(where, fmt::format("the vocabulary has {} ids, but none of its pieces has id {}",
                                  pieces.size(), hole - pieces.begin()));
  return pieces;
}

// A merge is ["left", "right"] or "left right".
bool read_merge(dom::element item, std::string_view& left, std::string_view& right) {
  std::string_view line;
  if (item.get(line) == simdjson::SUCCESS) {
    const std::size_t cut = line.find(' ', 1);
    if (cut == std::string_view::npos) return false;
    left = line.substr(0, cut);
    right = line.substr(cut + 1);
    return !right.empty();
  }
  dom::array pair;
  if (item.get(pair) != simdjson::SUCCESS || pair.size() != 2) return false;
  return pair.at(0).get(left) == simdjson::SUCCESS && pair.at(1).get(right) == simdjson::SUCCESS &&
         !left.empty() && !right.empty();
}

Result<std::vector<Merge>> read_merges(dom::object model, const Vocab& vocab,
                                       const std::string& where) {
  BEZEL_TRY(const dom::array array, array_at(model, "merges", where));
  std::vector<Merge> list;
  list.reserve(std::min(array.size(), kMaxMerges));
  for (const dom::element item : array) {
    std::string_view left, right;
    if (!read_merge(item, left, right))
      return bad(where, fmt::format("merge {} must be \"left right\" or [\"left\", \"right\"]",
                                    list.size()));
    if (list.size() > kMaxMerges) break;  // finish_merges() refuses it
    BEZEL_TRY(const Merge m, find_merge(vocab, left, right, list.size(), where));
    list.push_back(m);
  }
  return list;
}

// <unusedN>: reserved names, which Gemma 3's file lists as added but not special.
bool is_reserved_name(std::string_view text) {
  constexpr std::string_view kBegin = "<unused";
  return text.size() > kBegin.size() + 1 && text.substr(0, kBegin.size()) == kBegin &&
         text.back() == '>' &&
         text.find_first_not_of("0123456789", kBegin.size()) == text.size() - 1;
}

void apply_additions(Vocab& v, const std::vector<Addition>& additions) {
  for (const Addition& a : additions) {
    PieceKind& kind = v.kinds[a.id];
    if (kind == PieceKind::Byte) continue;
    const bool marker = a.special || kind == PieceKind::Marker || is_reserved_name(a.text);
    kind = marker ? PieceKind::Marker : PieceKind::Added;
    v.special.add(std::string(a.text), static_cast<TokenId>(a.id));
    if (!marker) v.added.add(std::string(a.text), static_cast<TokenId>(a.id));
  }
  v.special.finish();
  v.added.finish();
}

}  // namespace

Result<Vocab> vocab_from_json(std::string_view json, const std::string& where) {
  dom::parser parser;
  dom::element document;
  auto error = parser.allocate(json.size(), kMaxDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(json.data(), json.size()).get(document);
  if (error == simdjson::MEMALLOC)
    return Error{Errc::NoMemory, "there is not enough memory to read the tokenizer", where};
  if (error != simdjson::SUCCESS)
    return bad(where,
               fmt::format("the tokenizer is not valid JSON: {}", simdjson::error_message(error)));
  dom::object root;
  if (document.get(root) != simdjson::SUCCESS)
    return bad(where, "the tokenizer must be a JSON object");
  BEZEL_TRY(const dom::object model, object_at(root, "model", where));
  BEZEL_DO(check_kind(root, model, where));
  BEZEL_TRY(const auto additions, read_additions(root, where));
  BEZEL_TRY(const auto pieces, read_pieces(model, additions, where));
  BEZEL_TRY(Vocab v, start_vocab(pieces, where));
  apply_additions(v, additions);
  BEZEL_TRY(const auto merges, read_merges(model, v, where));
  BEZEL_DO(finish_merges(v, merges, where));
  v.bos = v.pieces.find("<bos>");
  v.eos = v.pieces.find("<eos>");
  v.kind = v.pieces.find("<|turn>") >= 0 ? "gemma4 merges" : "gemma3 merges";
  return v;
}

}  // namespace bezel
