// The arithmetic environment of the numerics contract: round to nearest even, denormals kept.
#pragma once
#include <cstdint>

namespace bezel {

// Sets the environment of the current thread; restores what it found when it dies.
class FpEnv {
 public:
  FpEnv();
  ~FpEnv();
  FpEnv(const FpEnv&) = delete;
  FpEnv& operator=(const FpEnv&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace bezel
