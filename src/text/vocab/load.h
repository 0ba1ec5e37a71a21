// The two ways a vocabulary is stored. Everything read is checked; errors name the file.
#pragma once
#include <string>
#include <string_view>

#include "bezel/result.h"
#include "formats/tensor_file.h"
#include "text/vocab/vocab.h"

namespace bezel {

// tokenizer.ggml.* keys: model "gemma4" has merges, "llama" has scores to rebuild them from.
Result<Vocab> vocab_from_gguf(const TensorFile& file);
// A Hugging Face tokenizer.json of Gemma's kind.
Result<Vocab> vocab_from_json(std::string_view json, const std::string& where);

// The merge list that scores stand for. A part or result may be any piece with `joins` set; every
// split of such a piece into two such pieces is a merge. Order: score descending, left part longer
// first, right part longer first (in characters), id ascending. Reproduces the list of Gemma's
// tokenizer.json from the scores of its SentencePiece model.
std::vector<Merge> merges_from_scores(const Vocab& vocab, const std::vector<double>& scores,
                                      const std::vector<bool>& joins);

}  // namespace bezel
