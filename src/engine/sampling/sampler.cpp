#include "engine/sampling/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/check.h"
#include "engine/sampling/random.h"
#include "kernels/math/precise.h"

namespace bezel {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// exp(x) for x <= 0, relative error below 1e-11, from IEEE + - * only; 0 below -80, where nothing
// is worth drawing. One exp per id of the vocabulary is what this must be quick for.
double weight_of(float x) {
  constexpr double kLog2E = 0x1.71547652b82fep+0, kLn2 = 0x1.62e42fefa39efp-1;
  constexpr double kRound = 0x1.8p+52;  // adding it rounds to an integer
  // 1 / k!, k = 10 .. 0; the first term left out, r^11 / 11!, is below 3e-13
  constexpr double kTerms[] = {1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                               1.0 / 720,     1.0 / 120,    1.0 / 24,    1.0 / 6,
                               0.5,           1.0,          1.0};
  const double wide = x > -80.0F ? static_cast<double>(x) : -80.0;
  const double n = (wide * kLog2E + kRound) - kRound;
  const double r = wide - n * kLn2;
  double sum = 0;
  for (const double term : kTerms) sum = sum * r + term;
  const auto exponent = static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023);
  return x > -80.0F ? sum * std::bit_cast<double>(exponent << 52U) : 0;
}

Error out_of_range(const char* rule, double found, const char* expected) {
  return {Errc::BadInput, fmt::format("{} must be {}, not {}", rule, expected, found), ""};
}

}  // namespace

Status check_sampling(const Sampling& r, int vocab) {
  const auto in = [](float x, float lo, float hi) { return x >= lo && x <= hi; };  // false for NaN
  if (r.temperature != 0 && !in(r.temperature, 0.001F, 100))
    return out_of_range("temperature", r.temperature, "0 or from 0.001 to 100");
  if (r.top_k < 0) return out_of_range("top-k", r.top_k, "0 (all) or more");
  if (!in(r.top_p, 0, 1)) return out_of_range("top-p", r.top_p, "from 0 to 1");
  if (!in(r.min_p, 0, 1)) return out_of_range("min-p", r.min_p, "from 0 to 1");
  if (!in(r.repetition_penalty, 0.01F, 100))
    return out_of_range("repetition penalty", r.repetition_penalty, "from 0.01 to 100");
  if (!in(r.presence_penalty, -100, 100))
    return out_of_range("presence penalty", r.presence_penalty, "from -100 to 100");
  if (!in(r.frequency_penalty, -100, 100))
    return out_of_range("frequency penalty", r.frequency_penalty, "from -100 to 100");
  for (const auto& [id, bias] : r.bias) {
    if (id < 0 || id >= vocab)
      return Error{Errc::BadInput,
                   fmt::format("the bias names id {}, but the vocabulary has {} ids", id, vocab),
                   ""};
    if (!in(bias, kNever, 1000)) return out_of_range("a bias", bias, "at most 1000");
  }
  return Ok{};
}

double log_sum_exp(std::span<const float> x) {
  const float max = *std::max_element(x.begin(), x.end());
  if (max == kNever) return kNever;
  double sum = 0;
  for (const float v : x) sum += weight_of(v - max);
  return static_cast<double>(max) + math::precise_log(sum);
}

TokenId argmax(std::span<const float> row) {
  return static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin());
}

std::vector<TokenLogprob> best_logprobs(std::span<const float> row, int n) {
  std::vector<TokenId> ids(row.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  const auto value = [&](TokenId id) { return row[static_cast<std::size_t>(id)]; };
  const auto keep = std::min(ids.size(), static_cast<std::size_t>(std::max(n, 0)));
  std::partial_sort(
      ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(keep), ids.end(),
      [&](TokenId a, TokenId b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
  const double total = log_sum_exp(row);
  std::vector<TokenLogprob> out;
  for (std::size_t i = 0; i < keep; ++i)
    out.push_back({ids[i], static_cast<float>(static_cast<double>(value(ids[i])) - total)});
  return out;
}

Sampler::Sampler(const Sampling& rules, std::vector<TokenId> suppress,
                 std::span<const TokenId> prompt)
    : rules_(rules), suppress_(std::move(suppress)) {
  if (rules_.repetition_penalty != 1)
    for (const TokenId id : prompt) seen_.try_emplace(id, 0);
}

// Bias, penalties, mask on row_.
void Sampler::adjust(const constrain::Mask* mask) {
  const auto at = [&](TokenId id) -> float* {
    return id >= 0 && static_cast<std::size_t>(id) < row_.size()
               ? &row_[static_cast<std::size_t>(id)]
               : nullptr;
  };
  for (const auto& [id, bias] : rules_.bias)
    if (float* x = at(id)) *x += bias;
  for (const auto& [id, times] : seen_) {  // every id on its own: the map's order does not matter
    float* x = at(id);
    if (x == nullptr) continue;
    const float r = rules_.repetition_penalty;
    *x = *x > 0 ? *x / r : *x * r;
    if (times == 0) continue;
    *x -= rules_.presence_penalty;
    *x -= rules_.frequency_penalty * static_cast<float>(times);
  }
  for (const TokenId id : suppress_)
    if (float* x = at(id)) *x = kNever;
  if (mask != nullptr) apply(*mask);
}

void Sampler::apply(const constrain::Mask& mask) {
  if (mask.listed()) {
    candidates_.clear();
    for (const TokenId id : mask.ids())
      if (static_cast<std::size_t>(id) < row_.size())
        candidates_.push_back({row_[static_cast<std::size_t>(id)], id});
    std::fill(row_.begin(), row_.end(), kNever);
    for (const Candidate& c : candidates_) row_[static_cast<std::size_t>(c.id)] = c.value;
    return;
  }
  const auto words = mask.words();
  for (std::size_t w = 0; w * 64 < row_.size(); ++w) {
    const std::uint64_t bits = w < words.size() ? words[w] : 0;
    if (bits == ~std::uint64_t{0}) continue;
    const std::size_t end = std::min(row_.size(), w * 64 + 64);
    for (std::size_t i = w * 64; i < end; ++i)
      if ((bits >> (i % 64) & 1U) == 0) row_[i] = kNever;
  }
}

Status Sampler::check_row() const {
  bool any = false;
  for (const float x : row_) {
    if (std::isnan(x) || x == -kNever)
      return Error{Errc::Numeric, "the logits hold infinity or not-a-number", ""};
    any = any || x != kNever;
  }
  if (!any)
    return Error{Errc::BadInput, "bias, suppressed ids and the constraint leave no token to choose",
                 ""};
  return Ok{};
}

// Brings the best `n` candidates into order.
void Sampler::order(std::size_t n) {
  n = std::min(n, candidates_.size());
  if (n <= ordered_) return;
  const auto begin = candidates_.begin();
  std::partial_sort(begin + static_cast<std::ptrdiff_t>(ordered_),
                    begin + static_cast<std::ptrdiff_t>(n), candidates_.end(),
                    [](const Candidate& a, const Candidate& b) {
                      return a.value != b.value ? a.value > b.value : a.id < b.id;
                    });
  ordered_ = n;
}

// top-k, top-p, min-p and the draw over candidates whose values are divided by the temperature. The
// order is found only as far as it is needed.
TokenId Sampler::draw(double unit) {
  constexpr std::size_t kFirst = 256;
  ordered_ = 0;
  std::size_t n = candidates_.size();
  if (rules_.top_k > 0) n = std::min(n, static_cast<std::size_t>(rules_.top_k));
  order(std::min(n, kFirst));
  const float max = candidates_.front().value;
  const auto weight = [&](std::size_t i) {
    if (i >= ordered_) order(std::min(n, 4 * ordered_));
    return weight_of(candidates_[i].value - max);
  };
  double total = 0;  // of what top-k kept; in the order of candidates when that is all of them
  if (rules_.top_k > 0 && static_cast<std::size_t>(rules_.top_k) < row_.size()) {
    for (std::size_t i = 0; i < n; ++i) total += weight(i);
  } else {
    for (const float x : row_) total += weight_of(x - max);
  }
  double kept = 0;
  std::size_t n_kept = 0;
  const double wanted = static_cast<double>(rules_.top_p) * total;
  const bool all = rules_.top_p >= 1 && rules_.min_p <= 0;
  if (all) {
    kept = total;
    n_kept = n;
  }
  while (!all && n_kept < n && (n_kept == 0 || rules_.top_p >= 1 || kept < wanted)) {
    const double w = weight(n_kept);
    if (w < static_cast<double>(rules_.min_p)) break;
    kept += w;
    ++n_kept;
  }
  const double target = unit * kept;
  double sum = 0;
  std::size_t last = 0;  // rounding may leave `target` just past the sum: then the last with weight
  for (std::size_t i = 0; i < n_kept; ++i) {
    const double w = weight(i);
    if (w == 0) break;  // ordered: nothing after it has any
    last = i;
    sum += w;
    if (sum > target) break;
  }
  return candidates_[last].id;
}

Result<TokenId> Sampler::choose(std::span<const float> row, std::uint64_t position,
                                const constrain::Mask* mask) {
  BEZEL_CHECK(!row.empty());
  row_.assign(row.begin(), row.end());
  adjust(mask);
  BEZEL_DO(check_row());
  TokenId id = 0;
  if (rules_.temperature == 0) {
    id = argmax(row_);
  } else {
    candidates_.clear();
    float max = kNever;
    for (std::size_t i = 0; i < row_.size(); ++i) {
      row_[i] /= rules_.temperature;
      max = row_[i] > max ? row_[i] : max;
      if (row_[i] != kNever) candidates_.push_back({row_[i], static_cast<TokenId>(i)});
    }
    if (std::isinf(max)) {  // the division overflowed: the best id has all weight
      row_.assign(row.begin(), row.end());
      adjust(mask);
      id = argmax(row_);
    } else {
      id = draw(random_unit(rules_.seed, position));
    }
  }
  ++seen_[id];
  return id;
}

}  // namespace bezel
