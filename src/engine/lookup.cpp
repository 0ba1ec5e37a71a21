#include "engine/lookup.h"

#include <algorithm>

namespace bezel {

std::uint64_t Lookup::key(const TokenId* ids) {
  std::uint64_t k = 0;
  for (std::size_t i = 0; i < kMatch; ++i) k = (k << 21U) ^ static_cast<std::uint32_t>(ids[i]);
  return k;
}

void Lookup::push(TokenId id) {
  ids_.push_back(id);
  if (ids_.size() > kMatch) after_[key(&ids_[ids_.size() - 1 - kMatch])] = ids_.size() - 1;
}

std::vector<TokenId> Lookup::draft(int n) const {
  std::vector<TokenId> out;
  if (ids_.size() <= kMatch || n <= 0) return out;
  const TokenId* last = &ids_[ids_.size() - kMatch];
  const auto found = after_.find(key(last));
  // Keys of large ids may meet: then it is no match.
  if (found == after_.end() || !std::equal(last, last + kMatch, &ids_[found->second - kMatch]))
    return out;
  const std::size_t period = ids_.size() - found->second;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
    out.push_back(i < period ? ids_[found->second + i] : out[i - period]);
  return out;
}

namespace {
constexpr int kShort = 3, kLongestPause = 512;
constexpr double kNew = 0.25;  // weight of the newest measurement in a running mean
}  // namespace

int Pace::wanted() {
  if (pause_ > 0) {
    --pause_;
    return 0;
  }
  return plain_seconds_ > 0 ? length_ : 0;
}

void Pace::plain(double seconds) {
  plain_seconds_ =
      plain_seconds_ > 0 ? plain_seconds_ + kNew * (seconds - plain_seconds_) : seconds;
}

void Pace::tried(int drafted, int accepted, double seconds) {
  const double gain = (1 + accepted) * plain_seconds_ / std::max(seconds, 1e-9);
  gain_ += kNew * (gain - gain_);
  length_ = accepted == drafted ? kLongest : kShort;
  if (gain_ >= 1) {
    next_pause_ = 16;
    return;
  }
  pause_ = next_pause_;
  next_pause_ = std::min(2 * next_pause_, kLongestPause);
  gain_ = 1;
}

}  // namespace bezel
