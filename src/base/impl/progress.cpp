#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace bezel {

namespace {
constexpr std::chrono::milliseconds kRedraw{100};
constexpr int kBarWidth = 24;
}  // namespace

std::string time_text(double seconds) {
  const auto s = static_cast<long>(std::min(seconds, 359999.0));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

void draw_line(const std::string& line) {
  winsize size{};
  std::size_t most = 80;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) most = size.ws_col;
  std::size_t end = 0;  // a code point takes a column
  for (std::size_t columns = 0; end < line.size(); ++end)
    if ((static_cast<unsigned char>(line[end]) & 0xC0U) != 0x80 && ++columns >= most) break;
  std::fprintf(stderr, "\r\033[K%.*s", static_cast<int>(end), line.c_str());
  std::fflush(stderr);
}

Progress::Progress(std::string what, std::string unit, std::uint64_t total)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      on_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (drawn_) draw_line("");
}

void Progress::update(std::uint64_t done) {
  if (!on_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kRedraw) return;
  last_ = now;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done) / seconds;
  std::string line;
  if (total_ == 0) {
    line = fmt::format("{} {} {}, {:.1f} {}/s", what_, done, unit_, rate, unit_);
  } else {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    const auto full = static_cast<std::size_t>(share * kBarWidth);
    const double left = rate > 0 ? static_cast<double>(total_) * (1 - share) / rate : 0;
    line =
        fmt::format("{} [{}{}] {:3.0f} %, {:.1f} {}/s, {} left", what_, std::string(full, '#'),
                    std::string(kBarWidth - full, '.'), 100 * share, rate, unit_, time_text(left));
  }
  draw_line(line);
}

}  // namespace bezel
