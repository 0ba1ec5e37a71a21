// Chooses a token from a row of logits by the rules of Sampling. Same bits on every machine:
// float32 and double additions in a fixed order, exp and log by our own functions.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"
#include "text/constrain/mask.h"

namespace bezel {

// An Error that names the rule that is out of range, or a bias on an id outside [0, vocab).
Status check_sampling(const Sampling& rules, int vocab);

// Natural logarithm of the sum of exp(x[i]), i ascending; x[i] finite or -infinity, n >= 1.
double log_sum_exp(std::span<const float> x);

// Id of the largest value; of equals the lowest id.
TokenId argmax(std::span<const float> row);

// The n best ids of a row with their log-probabilities, best first; n is cut to the row's length.
std::vector<TokenLogprob> best_logprobs(std::span<const float> row, int n);

// One answer's choices. `rules` has been checked.
class Sampler {
 public:
  // `suppress`: ids that may never be chosen.
  Sampler(const Sampling& rules, std::vector<TokenId> suppress, std::span<const TokenId> prompt);

  // Chooses for position `position` of the sequence and counts the choice for the penalties. An
  // Error when the row holds NaN or +infinity, or when no id is left to choose.
  // `mask`: the ids that may be chosen; null: all may.
  Result<TokenId> choose(std::span<const float> row, std::uint64_t position,
                         const constrain::Mask* mask = nullptr);

 private:
  struct Candidate {
    float value;
    TokenId id;
  };
  void adjust(const constrain::Mask* mask);
  void apply(const constrain::Mask& mask);
  Status check_row() const;
  void order(std::size_t n);
  TokenId draw(double unit);

  Sampling rules_;
  std::vector<TokenId> suppress_;
  std::unordered_map<TokenId, int> seen_;  // ids of prompt and answer: times in the answer
  std::vector<float> row_;                 // the adjusted row
  std::vector<Candidate> candidates_;      // the first `ordered_` are the best, in order
  std::size_t ordered_ = 0;
};

}  // namespace bezel
