#include "text/tokenizer.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"
#include "base/utf8.h"
#include "text/encode.h"
#include "text/vocab/load.h"
#include "text/vocab/vocab.h"

namespace bezel {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

constexpr std::array<char, 256> kBytes = [] {
  std::array<char, 256> bytes{};
  for (std::size_t i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}();

// The value of an upper-case hexadecimal digit.
constexpr std::size_t digit(char c) {
  return static_cast<std::size_t>(c <= '9' ? c - '0' : c - 'A' + 10);
}

// Whether 1 to 3 bytes are the beginning of a well-formed sequence that needs more. The second byte
// of such a sequence can always be its smallest or its largest value, 0x80 or 0xBF.
bool may_continue(std::string_view tail) {
  for (const char second : {'\x80', '\xBF'}) {
    std::string whole(tail);
    if (whole.size() == 1) whole.push_back(second);
    while (whole.size() < 4) whole.push_back('\x80');
    if (utf8_length_at(whole, 0) > tail.size()) return true;
  }
  return false;
}

// Moves what is decided from `pending` to `out`.
void flush_decided(std::string& pending, std::string& out) {
  std::size_t i = 0;
  while (i < pending.size()) {
    const std::size_t n = utf8_length_at(pending, i);
    if (n == 0 && pending.size() - i < 4 && may_continue(std::string_view(pending).substr(i)))
      break;
    if (n == 0) {
      out += kReplacement;
    } else {
      out.append(pending, i, n);
    }
    i += n == 0 ? 1 : n;
  }
  pending.erase(0, i);
}

}  // namespace

struct Tokenizer::Data {
  Vocab vocab;
};

Tokenizer::Tokenizer(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const TensorFile& file) {
  if (file.kind == FileKind::HuggingFace) {
    if (file.tokenizer_json_path.empty())
      return Error{Errc::NotFound, "the folder has no tokenizer.json; put the model's own there",
                   file.path};
    return load_json(file.tokenizer_json_path);
  }
  BEZEL_TRY(Vocab vocab, vocab_from_gguf(file));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Data>(Data{std::move(vocab)})));
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::load_json(const std::string& path) {
  BEZEL_TRY(const auto file, MappedFile::open(path));
  const auto bytes = file->bytes();
  return parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                    path);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse_json(std::string_view json,
                                                         const std::string& where) {
  BEZEL_TRY(Vocab vocab, vocab_from_json(json, where));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Data>(Data{std::move(vocab)})));
}

int Tokenizer::vocab_size() const {
  return data_->vocab.size();
}

std::vector<TokenId> Tokenizer::encode_plain(std::string_view text) const {
  return encode_text(data_->vocab, data_->vocab.added, text);
}

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  return encode_text(data_->vocab, data_->vocab.special, text);
}

std::optional<TokenId> Tokenizer::find(std::string_view piece) const {
  const TokenId id = data_->vocab.pieces.find(with_spaces(piece));
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string_view Tokenizer::bytes_of(TokenId id) const {
  const Vocab& v = data_->vocab;
  if (!v.has(id)) return {};
  const std::string_view text = v.pieces[id];
  if (v.kind_of(id) != PieceKind::Byte) return text;
  return std::string_view(&kBytes[digit(text[3]) * 16 + digit(text[4])], 1);
}

bool Tokenizer::is_marker(TokenId id) const {
  return data_->vocab.has(id) && data_->vocab.kind_of(id) == PieceKind::Marker;
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  const Vocab& v = data_->vocab;
  std::string out, run;
  const auto end_run = [&] {
    if (valid_utf8(run)) {
      out += run;
    } else {
      for (std::size_t i = 0; i < run.size(); ++i) out += kReplacement;
    }
    run.clear();
  };
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!v.has(ids[i]))
      return Error{Errc::BadInput,
                   fmt::format("ids[{}] is {}, but the vocabulary has the ids 0 to {}", i, ids[i],
                               v.size() - 1),
                   ""};
    if (skip_special && is_marker(ids[i])) continue;
    if (v.kind_of(ids[i]) == PieceKind::Byte) {
      run += bytes_of(ids[i]);
      continue;
    }
    end_run();
    out += bytes_of(ids[i]);
  }
  end_run();
  return out;
}

TokenId Tokenizer::bos() const {
  return data_->vocab.bos;
}
TokenId Tokenizer::eos() const {
  return data_->vocab.eos;
}
const std::string& Tokenizer::kind() const {
  return data_->vocab.kind;
}
std::size_t Tokenizer::n_merges() const {
  return data_->vocab.result.size();
}

std::string Detokenizer::push(TokenId id) {
  std::string out;
  if (show_special_ || !tokenizer_.is_marker(id)) {
    pending_ += tokenizer_.bytes_of(id);
    flush_decided(pending_, out);
  }
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  for (std::size_t i = 0; i < pending_.size(); ++i) out += kReplacement;
  pending_.clear();
  return out;
}

}  // namespace bezel
