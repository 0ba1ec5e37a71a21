// Text to ids: the stretches between literal hits of a matcher are merged.
#pragma once
#include <string_view>
#include <vector>

#include "text/vocab/vocab.h"

namespace bezel {

// Byte pair encoding as the published tokenizer defines it: from one symbol per character (one per
// byte for a character without a piece), always the merge of the lowest rank, leftmost at equal
// rank. Bytes that are not UTF-8 become byte pieces. Time is linear in the text, times the
// logarithm of the number of different merges in use at once. Fewer than 2^32 characters between
// two places where the text can be cut.
std::vector<TokenId> encode_text(const Vocab& vocab, const Matcher& literal, std::string_view text);

}  // namespace bezel
