// The ids that may come next in a constrained answer.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace bezel::constrain {

using Words = std::vector<std::uint64_t>;  // a bit for every id

inline void set_bit(Words& words, TokenId id) {
  const auto i = static_cast<std::size_t>(id);
  words[i / 64] |= std::uint64_t{1} << (i % 64);
}
inline bool has_bit(const Words& words, TokenId id) {
  const auto i = static_cast<std::size_t>(id);
  return i / 64 < words.size() && (words[i / 64] >> (i % 64) & 1U) != 0;
}

// Listed while they are few (around punctuation and keys, mostly below thirty), a bit for every id
// otherwise: writing 32 KB of bits costs more than finding what to write.
class Mask {
 public:
  static constexpr std::size_t kFew = 256;

  // Of a vocabulary of `n_words` words; none allowed yet.
  explicit Mask(std::size_t n_words) : n_words_(n_words) {}
  explicit Mask(Words words) : n_words_(words.size()), words_(std::move(words)) {}

  bool listed() const { return words_.empty(); }
  std::span<const TokenId> ids() const { return ids_; }            // when listed, in no order
  std::span<const std::uint64_t> words() const { return words_; }  // when not

  bool has(TokenId id) const {
    return listed() ? std::find(ids_.begin(), ids_.end(), id) != ids_.end() : has_bit(words_, id);
  }
  // id < 64 * n_words; not yet allowed.
  void add(TokenId id) {
    if (listed() && ids_.size() < kFew) {
      ids_.push_back(id);
      return;
    }
    if (listed()) {
      words_.resize(n_words_);
      for (const TokenId known : ids_) set_bit(words_, known);
      ids_.clear();
    }
    set_bit(words_, id);
  }
  void remove(TokenId id) {
    if (listed())
      std::erase(ids_, id);
    else if (has_bit(words_, id))
      words_[static_cast<std::size_t>(id) / 64] &= ~(std::uint64_t{1} << (id % 64));
  }
  bool operator==(const Mask&) const = default;

 private:
  std::size_t n_words_;
  std::vector<TokenId> ids_;
  Words words_;
};

}  // namespace bezel::constrain
