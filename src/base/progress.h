// Progress lines on standard error: a bar, the rate and the time left. Silent in a pipe.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace bezel {

std::string time_text(double seconds);  // "59 s", "4:05", "1:02:03"
// Writes over the line of a terminal on standard error, cut to its width; "" clears it.
void draw_line(const std::string& line);

class Progress {
 public:
  // `what`: "reading prompt"; `unit`: "tokens". total 0 = unknown.
  Progress(std::string what, std::string unit, std::uint64_t total);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(std::uint64_t done);  // draws at most ten times a second

 private:
  std::string what_, unit_;
  std::uint64_t total_;
  bool on_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace bezel
