#include "engine/tools/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

namespace bezel {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxLine = std::size_t{16} << 20U;

Error system_error(const char* what) {
  return {Errc::Io, fmt::format("{}: {}", what, std::strerror(errno)), ""};
}

// While one lives, writing to a pipe that nobody reads gives an error and no signal to this thread.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec now{};
    while (::sigtimedwait(&pipe_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

[[noreturn]] void become_shell(const char* command, int in, int out, bool show_errors) {
  ::setpgid(0, 0);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  if (!show_errors) {
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
  }
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  ::execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(const std::string& command, bool show_errors) {
  std::array<int, 2> in{}, out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0) return system_error("no pipe for the program");
  if (::pipe2(out.data(), O_CLOEXEC) != 0) {
    const Error error = system_error("no pipe for the program");
    for (const int fd : in) ::close(fd);
    return error;
  }
  const pid_t pid = ::fork();
  if (pid == 0) become_shell(command.c_str(), in[0], out[1], show_errors);
  const Error error = system_error("the program did not start");
  ::close(in[0]);
  ::close(out[1]);
  if (pid > 0) return std::unique_ptr<Child>(new Child(pid, in[1], out[0]));
  ::close(in[1]);
  ::close(out[0]);
  return error;
}

bool Child::ended_within(milliseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    if (::waitpid(pid_, nullptr, WNOHANG) != 0) return true;
    std::this_thread::sleep_for(milliseconds(5));
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

Child::~Child() {
  ::close(to_);
  ::close(from_);
  if (ended_within(milliseconds(500))) return;
  ::kill(-pid_, SIGTERM);
  if (ended_within(milliseconds(1000))) return;
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Status Child::write_line(std::string_view line) {
  std::string all(line);
  all += '\n';
  const NoPipeSignal quiet;
  for (std::size_t at = 0; at < all.size();) {
    const ssize_t n = ::write(to_, all.data() + at, all.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error("the program does not read any more");
    at += static_cast<std::size_t>(n);
  }
  return Ok{};
}

Result<std::string> Child::read_line(milliseconds patience, const std::atomic<bool>* cancel) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (std::size_t seen = 0;;) {
    if (const std::size_t at = held_.find('\n', seen); at != std::string::npos) {
      std::string line = held_.substr(0, at);
      held_.erase(0, at + 1);
      return line;
    }
    seen = held_.size();
    if (seen > kMaxLine) return Error{Errc::TooLarge, "the program wrote a line above 16 MB", ""};
    if (cancel != nullptr && cancel->load()) return Error{Errc::Cancelled, "interrupted", ""};
    const auto left =
        std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      return Error{Errc::Io, fmt::format("no answer came within {} s", patience.count() / 1000),
                   ""};
    pollfd ready{from_, POLLIN, 0};
    const auto slice = static_cast<int>(std::min<std::int64_t>(left.count() + 1, 100));
    if (::poll(&ready, 1, slice) <= 0) continue;
    std::array<char, 65536> bytes{};
    const ssize_t n = ::read(from_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error{Errc::Io, "the program has ended", ""};
    held_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace bezel
