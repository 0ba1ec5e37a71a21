// Gemma's BPE: text to ids and back, exactly as the published tokenizer.json does it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bezel/result.h"
#include "formats/tensor_file.h"

namespace bezel {

using TokenId = std::int32_t;

// Immutable after load; all methods from any thread.
class Tokenizer {
 public:
  // From a GGUF's tokenizer.ggml.* keys (model "gemma4": merges; "llama": scores), or the folder's
  // tokenizer.json. Needs no other key of the file.
  static Result<std::unique_ptr<Tokenizer>> load(const TensorFile& file);
  static Result<std::unique_ptr<Tokenizer>> load_json(const std::string& path);
  // As load_json on text in memory; `where` names it in errors.
  static Result<std::unique_ptr<Tokenizer>> parse_json(std::string_view json,
                                                       const std::string& where);
  ~Tokenizer();

  int vocab_size() const;
  // Plain: no marker is special, whatever the text holds. This is what user text must go through.
  std::vector<TokenId> encode_plain(std::string_view text) const;
  // Marker strings in the text become their ids; between them plain. Adds no bos.
  std::vector<TokenId> encode(std::string_view text) const;
  // The id of a whole piece or marker ("<bos>", "<|turn>"), if there is one. A space and U+2581 are
  // the same.
  std::optional<TokenId> find(std::string_view piece) const;

  // The bytes an id stands for: U+2581 as a space, byte pieces as their byte, markers as their
  // text; nothing for an id out of range.
  std::string_view bytes_of(TokenId id) const;
  bool is_marker(TokenId id) const;  // one of the added special tokens
  // Whole decoding by Hugging Face's rule (fixtures README: a byte run that is not valid UTF-8
  // becomes one U+FFFD per byte). `skip_special` leaves markers out. Ids out of range are an Error.
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special) const;

  TokenId bos() const;  // -1 when the file has none
  TokenId eos() const;
  const std::string& kind() const;  // "gemma4 merges", "gemma3 scores": for display
  std::size_t n_merges() const;

 private:
  struct Data;
  explicit Tokenizer(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

// Ids of a running answer to text that is always whole UTF-8: incomplete characters wait, bytes
// that can never become valid come out as U+FFFD. Markers give nothing unless show_special.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool show_special = false)
      : tokenizer_(tokenizer), show_special_(show_special) {}
  std::string push(TokenId id);
  std::string finish();  // what was held back

 private:
  const Tokenizer& tokenizer_;
  bool show_special_;
  std::string pending_;
};

}  // namespace bezel
