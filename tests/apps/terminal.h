// Runs the program on a terminal of its own.
#pragma once
#include <pty.h>
#include <termios.h>

#include <stdexcept>

#include "apps/program.h"

namespace bezel::test {

// Without echo, so that everything on the screen was written by the program.
class Terminal {
 public:
  explicit Terminal(const Words& words) {
    pid_ = ::forkpty(&fd_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      termios mode{};
      ::tcgetattr(STDIN_FILENO, &mode);
      mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOCTL);
      mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &mode);
      become(BEZEL_PROGRAM, words);
    }
    EXPECT_GT(pid_, 0);
  }
  ~Terminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait_for_end(pid_);
    }
    if (fd_ >= 0) ::close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view text) const {
    EXPECT_EQ(::write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void ctrl_c() const { type("\x03"); }
  void ctrl_d() const { type("\x04"); }

  const std::string& screen() const { return screen_; }

  // Reads up to `text`, past what earlier calls found; gives what came before it. Throws, and so
  // ends the test, when the program ends without it.
  std::string until(std::string_view text) {
    std::size_t at = std::string::npos;
    while ((at = screen_.find(text, seen_)) == std::string::npos)
      if (!read_more()) {
        throw std::runtime_error("the screen never showed \"" + std::string(text) + "\":\n" +
                                 screen_.substr(seen_));
      }
    const std::string before = screen_.substr(seen_, at - seen_);
    seen_ = at + text.size();
    return before;
  }

  Ending finish() {
    while (read_more()) {
    }
    if (pid_ <= 0) return {};
    const Ending end = wait_for_end(pid_);
    pid_ = -1;
    return end;
  }

 private:
  bool read_more() {
    while (!closed_) {
      if (std::chrono::steady_clock::now() > deadline_) {
        ADD_FAILURE() << "the program takes too long";
        ::kill(pid_, SIGKILL);
        closed_ = true;
        break;
      }
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 1000) <= 0) continue;
      std::array<char, 65536> bytes{};
      const ssize_t n = ::read(fd_, bytes.data(), bytes.size());
      if (n > 0) {
        screen_.append(bytes.data(), static_cast<std::size_t>(n));
        return true;
      }
      closed_ = n == 0 || errno != EINTR;
    }
    return false;
  }

  pid_t pid_ = -1;
  int fd_ = -1;
  bool closed_ = false;
  std::string screen_;
  std::size_t seen_ = 0;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + kPatience;
};

}  // namespace bezel::test
