// What a sound model of every variant looks like, as far as we know it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "model/config.h"
#include "text/tokenizer.h"

namespace bezel::app::doctor {

// Differences between a model's configuration and its variant's, as a sentence; empty: none.
// `known` is false for a model of no published shape.
std::string config_problem(const Config& c, bool& known);

// The text whose perplexity is taken.
std::string_view text();

// Perplexity of text() that a sound model has, for any of its types.
struct Range {
  double lo = 0, hi = 0;  // 0, 0: not measured
  std::string_view on;    // what it was measured on
};
Range perplexity_range(const Config& c, bool instructed);

// Checksums (FNV-1a, 64 bits) of a vocabulary's pieces and of the ids of text(); 0: not known.
struct TokenizerSums {
  std::uint64_t pieces = 0, ids = 0;
};
TokenizerSums expected_sums(const std::string& family);
TokenizerSums sums_of(const Tokenizer& tokenizer);

}  // namespace bezel::app::doctor
