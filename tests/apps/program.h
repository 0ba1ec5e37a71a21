// Runs the program as a child and collects what it writes.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "robust/sanitized.h"

namespace bezel::test {

// Nothing here takes so long, even with sanitizers on a busy machine.
constexpr std::chrono::seconds kPatience{kSanitized ? 240 : 60};

using Words = std::vector<std::string>;

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// How a child ended: its exit status, or the signal that ended it.
struct Ending {
  int status = -1;
  int signal = 0;
};
inline Ending wait_for_end(pid_t pid) {
  int state = 0;
  while (::waitpid(pid, &state, 0) < 0)
    if (errno != EINTR) return {};
  if (WIFEXITED(state)) return {WEXITSTATUS(state), 0};
  return {-1, WIFSIGNALED(state) ? WTERMSIG(state) : 0};
}

// Replaces this process; only for a child just forked.
[[noreturn]] inline void become(const std::string& program, const Words& words) {
  ::signal(SIGPIPE, SIG_DFL);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  ::execvp(program.c_str(), argv.data());
  ::_exit(127);
}

struct Ran : Ending {
  std::string out, err;
};

inline void PrintTo(const Ran& r, std::ostream* os) {
  *os << "status " << r.status << ", signal " << r.signal << "\nout: " << r.out.substr(0, 2000)
      << "\nerr: " << r.err.substr(0, 2000);
}

struct ChildOptions {
  std::string input = {};  // what it reads on standard input
  std::string program = BEZEL_PROGRAM;
  std::string stdin_path = {};   // a file or folder in place of `input`
  std::string stdout_path = {};  // a file or device in place of a pipe
  void (*in_child)() = nullptr;  // called between fork and exec
};

class Child {
 public:
  explicit Child(const Words& words, ChildOptions options = {}) : options_(std::move(options)) {
    ::signal(SIGPIPE, SIG_IGN);
    std::array<int, 2> in{}, out{}, err{};
    EXPECT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(err.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(opened(options_.stdin_path, O_RDONLY, in[0]), STDIN_FILENO);
      ::dup2(opened(options_.stdout_path, O_WRONLY, out[1]), STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      if (options_.in_child != nullptr) options_.in_child();
      become(options_.program, words);
    }
    EXPECT_GT(pid_, 0);
    ::close(in[0]);
    ::close(out[1]);
    ::close(err[1]);
    ::fcntl(in[1], F_SETFL, O_NONBLOCK);
    in_ = in[1];
    out_ = out[0];
    err_ = err[0];
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait_for_end(pid_);
    }
    for (int* fd : {&in_, &out_, &err_}) shut(*fd);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  const Ran& so_far() const { return ran_; }
  void signal(int number) const { ::kill(pid_, number); }
  void close_output() { shut(out_); }

  // Until standard output (or error) holds `text`; false when the child ends before.
  bool wait_for_output(std::string_view text, bool on_error = false) {
    while ((on_error ? ran_.err : ran_.out).find(text) == std::string::npos)
      if (!pump()) return false;
    return true;
  }

  // Moves what is there to move; false when the child has closed both outputs.
  bool pump(int milliseconds = 1000) {
    if (out_ < 0 && err_ < 0) return false;
    if (std::chrono::steady_clock::now() > deadline_) {
      ADD_FAILURE() << "the program takes too long";
      ::kill(pid_, SIGKILL);
      return false;
    }
    if (in_ >= 0 && options_.input.empty()) shut(in_);
    std::array<pollfd, 3> fds{{{in_, POLLOUT, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), milliseconds) <= 0) return true;
    if (fds[0].revents != 0) feed();
    if (fds[1].revents != 0) take(out_, ran_.out);
    if (fds[2].revents != 0) take(err_, ran_.err);
    return true;
  }

  Ran finish() {
    while (pump()) {
    }
    if (pid_ > 0) static_cast<Ending&>(ran_) = wait_for_end(pid_);
    pid_ = -1;
    return ran_;
  }

 private:
  static int opened(const std::string& path, int flags, int otherwise) {
    return path.empty() ? otherwise : ::open(path.c_str(), flags | O_CLOEXEC);
  }
  static void shut(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  void feed() {
    const ssize_t n = ::write(in_, options_.input.data(), options_.input.size());
    if (n >= 0) {
      options_.input.erase(0, static_cast<std::size_t>(n));
    } else if (errno != EAGAIN && errno != EINTR) {
      shut(in_);  // the child reads no more
    }
  }
  static void take(int& fd, std::string& into) {
    std::array<char, 65536> bytes{};
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n > 0) {
      into.append(bytes.data(), static_cast<std::size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      shut(fd);
    }
  }

  ChildOptions options_;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  Ran ran_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + kPatience;
};

inline Ran bezel(const Words& words, const std::string& input = "") {
  return Child(words, {.input = input}).finish();
}

// The output of a call that must end well.
inline std::string output_of(const Words& words, const std::string& input = "") {
  const Ran ran = bezel(words, input);
  EXPECT_EQ(ran.status, 0) << testing::PrintToString(words) << testing::PrintToString(ran);
  return ran.out;
}

// The sentence of a call that must fail: one line that starts with "bezel: ", nothing else on
// standard error, nothing on standard output.
inline std::string complaint(const Ran& ran) {
  EXPECT_GT(ran.status, 0) << testing::PrintToString(ran);
  EXPECT_EQ(ran.signal, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err.rfind("bezel: ", 0), 0U) << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  EXPECT_GT(ran.err.size(), std::string("bezel: xxxx\n").size());
  EXPECT_EQ(ran.err.find("Sanitizer"), std::string::npos) << ran.err;
  return ran.err;
}
inline std::string complaint(const Words& words, const std::string& input = "") {
  SCOPED_TRACE(testing::PrintToString(words));
  return complaint(bezel(words, input));
}

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace bezel::test
