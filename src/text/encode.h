// Text to ids: the stretches between literal hits of a matcher are merged.
#pragma once
#include <string_view>
#include <vector>

#include "text/vocab/vocab.h"

namespace bezel {

// Byte pair encoding as the published tokenizer defines it: from one symbol per character (one per
// byte for a character without a piece), always the merge of the lowest rank, leftmost at equal
// rank. Time is O(n log n) at worst and close to linear on ordinary text. Bytes that are not UTF-8
// become byte pieces.
std::vector<TokenId> encode_text(const Vocab& vocab, const Matcher& literal, std::string_view text);

}  // namespace bezel
