#include "bench/peer.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "text/chat/values.h"

namespace bezel::app {

namespace {

constexpr std::size_t kMaxOutput = std::size_t{1} << 20U;  // of the command; more is not kept

// Takes a number off the front.
template <class T>
bool take(std::string_view& s, T& value) {
  const auto [end, problem] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (problem != std::errc()) return false;
  s.remove_prefix(static_cast<std::size_t>(end - s.data()));
  return true;
}

// `pp512`, `tg32` or one of them and ` @ d4096`.
bool test_name(std::string_view s, PeerSpeed& speed) {
  const std::string_view kind = s.substr(0, 2);
  if (kind != "pp" && kind != "tg") return false;
  speed.reads = kind == "pp";
  s.remove_prefix(2);
  if (!take(s, speed.tokens)) return false;
  constexpr std::string_view kDepth = " @ d";
  if (s.substr(0, kDepth.size()) == kDepth) {
    s.remove_prefix(kDepth.size());
    if (!take(s, speed.depth)) return false;
  }
  return s.empty();
}

// A row of llama-batched-bench, split into cells (the first one is empty).
bool batch_row(const std::vector<std::string_view>& cells, PeerSpeed& speed) {
  if (cells.size() < 11) return false;
  std::array<double, 10> v{};
  for (std::size_t i = 0; i < v.size(); ++i) {
    std::string_view cell = chat::trim(cells[i + 1]);
    if (!take(cell, v[i]) || !cell.empty() || !(v[i] >= 0 && v[i] < 1e9)) return false;
  }
  speed.depth = static_cast<int>(v[0]);
  speed.tokens = static_cast<int>(v[1]);
  speed.batch = static_cast<int>(v[2]);
  speed.rate = v[7];
  return speed.rate > 0;
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (std::size_t end; (end = text.find(by)) != std::string_view::npos;
       text.remove_prefix(end + 1))
    parts.push_back(text.substr(0, end));
  parts.push_back(text);
  return parts;
}

}  // namespace

std::vector<PeerSpeed> peer_speeds(const std::string& text) {
  std::vector<PeerSpeed> speeds;
  for (const std::string_view line : split(text, '\n')) {
    const auto cells = split(line, '|');
    if (PeerSpeed speed; batch_row(cells, speed)) speeds.push_back(speed);
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) {
      PeerSpeed speed;
      if (!test_name(chat::trim(cells[i]), speed)) continue;
      std::string_view rate = chat::trim(cells[i + 1]);
      if (take(rate, speed.rate) && speed.rate > 0) speeds.push_back(speed);
    }
  }
  return speeds;
}

Result<std::vector<PeerSpeed>> run_peer(const std::string& command) {
  const std::string where = "--compare";
  // NOLINTNEXTLINE(bugprone-command-processor): the user's own command, by the user's own shell
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr)
    return Error{Errc::Io, fmt::format("the shell did not start: {}", std::strerror(errno)), where};
  std::string text;
  std::array<char, 4096> buffer{};
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    if (text.size() < kMaxOutput) text.append(buffer.data(), n);
  const int status = pclose(pipe);
  if (status != 0)
    return Error{Errc::BadInput,
                 WIFEXITED(status)
                     ? fmt::format("the command ended with status {}", WEXITSTATUS(status))
                     : std::string("the command was ended by a signal"),
                 where};
  auto speeds = peer_speeds(text);
  if (speeds.empty())
    return Error{Errc::BadInput,
                 "the command printed no speed; expected rows like `| pp512 | 64.6 |`, as "
                 "llama-bench prints them",
                 where};
  return speeds;
}

}  // namespace bezel::app
