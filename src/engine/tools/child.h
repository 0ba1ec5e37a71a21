// A program that is spoken to in lines.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "bezel/result.h"

namespace bezel {

// Started by the shell in a process group of its own, so that Ctrl-C at the terminal does not reach
// it. Ends with this object: its input is closed, then it is asked to end, then killed.
class Child {
 public:
  // `show_errors`: its standard error is ours; otherwise it is dropped.
  static Result<std::unique_ptr<Child>> start(const std::string& command, bool show_errors);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Status write_line(std::string_view line);
  // The next line, without its end; at most 16 MB. An Error when the program has ended, nothing
  // came in time, or `cancel` (may be null) became true.
  Result<std::string> read_line(std::chrono::milliseconds patience,
                                const std::atomic<bool>* cancel);

 private:
  Child(pid_t pid, int to, int from) : pid_(pid), to_(to), from_(from) {}
  bool ended_within(std::chrono::milliseconds time) const;

  pid_t pid_;
  int to_, from_;
  std::string held_;
};

}  // namespace bezel
