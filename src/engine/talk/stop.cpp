#include "engine/talk/stop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace bezel {

namespace {

// Length of the longest suffix of `text` that is a proper prefix of `stop`.
std::size_t growing_suffix(std::string_view text, std::string_view stop) {
  for (std::size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n)
    if (stop.substr(0, n) == text.substr(text.size() - n)) return n;
  return 0;
}

}  // namespace

StopScanner::StopScanner(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& s : stops_) BEZEL_CHECK(!s.empty());
}

std::string StopScanner::push(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  std::size_t show = held_.size(), first_end = std::string::npos, keep = 0;
  for (const std::string& stop : stops_) {
    const std::size_t at = held_.find(stop);
    if (at == std::string::npos) {
      keep = std::max(keep, growing_suffix(held_, stop));
      continue;
    }
    const std::size_t end = at + stop.size();
    if (end > first_end || (end == first_end && at > show)) continue;
    first_end = end;
    show = at;
    found_ = stop;
    stopped_ = true;
  }
  if (!stopped_) show = held_.size() - keep;
  std::string out = held_.substr(0, show);
  held_.erase(0, show);
  return out;
}

std::string StopScanner::finish() {
  if (stopped_) return {};
  return std::exchange(held_, {});
}

}  // namespace bezel
