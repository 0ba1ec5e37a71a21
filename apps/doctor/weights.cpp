// What the weights themselves show, without a pass of the model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "doctor/checks.h"

namespace bezel::app::doctor {

namespace {

constexpr std::int64_t kMostRows = 64;  // of a matrix, spread over it

struct Stats {
  double rms = 0, mean = 0;
  bool finite = true;
};

// Of a norm's or a scale's every value, of a matrix's some rows.
Stats stats_of(const Tensor& t) {
  const auto cols = static_cast<std::size_t>(t.shape.back());
  const std::int64_t rows = t.n_values() / t.shape.back();
  const std::size_t row_bytes = t.data.size() / static_cast<std::size_t>(rows);
  const std::int64_t taken = std::min(rows, kMostRows);
  std::vector<float> values(cols);
  Stats out;
  double squares = 0, sum = 0;
  for (std::int64_t i = 0; i < taken; ++i) {
    const auto row = static_cast<std::size_t>(i * rows / taken);
    dequantize_row(t.type, t.data.data() + row * row_bytes, values.data(), cols);
    for (const float x : values) {
      if (!std::isfinite(x)) out.finite = false;
      squares += static_cast<double>(x) * x;
      sum += x;
    }
  }
  const double n = static_cast<double>(taken) * static_cast<double>(cols);
  out.rms = std::sqrt(squares / n);
  out.mean = sum / n;
  return out;
}

// "blk.3.attn_norm.weight" -> "attn_norm.weight": what all layers have.
std::string role_of(const std::string& name) {
  const std::size_t digit = name.find_first_of("0123456789");
  if (digit == std::string::npos || digit == 0 || name[digit - 1] != '.') return name;
  const std::size_t end = name.find('.', digit);
  return end == std::string::npos ? name : name.substr(end + 1);
}

}  // namespace

Finding weights_finding(const TensorFile& file) {
  Finding out{"weights", Verdict::Wrong, ""};
  std::map<std::string, std::vector<std::pair<double, std::string>>> roles;
  for (const Tensor& t : file.tensors) {
    if (t.type == DType::I32 || t.n_values() == 0) continue;
    if (t.name == "rope_freqs.weight") continue;
    const Stats s = stats_of(t);
    if (!s.finite) {
      out.text = fmt::format("{} holds NaN or infinity", t.name);
      return out;
    }
    if (s.rms == 0) {
      out.text = fmt::format("{} is zero", t.name);
      return out;
    }
    if (t.n_values() >= t.shape.back() && t.n_values() > 1)
      roles[role_of(t.name)].emplace_back(s.rms, t.name);
  }
  // A tensor far from its twins of all other layers: 1,000 times their median is no training's
  // work.
  constexpr double kFar = 1000;
  for (auto& [role, all] : roles) {
    if (all.size() < 4) continue;
    std::sort(all.begin(), all.end());
    const double median = all[all.size() / 2].first;
    for (const auto& [rms, name] : {all.front(), all.back()})
      if (rms > median * kFar || rms < median / kFar) {
        out.text = fmt::format("{} has a size of {:.3g}, that of other layers is {:.3g}", name, rms,
                               median);
        return out;
      }
  }
  out.verdict = Verdict::Ok;
  out.text =
      fmt::format("{} tensors, at most {} rows of each: finite, none dead, none out of proportion",
                  file.tensors.size(), kMostRows);
  return out;
}

}  // namespace bezel::app::doctor
