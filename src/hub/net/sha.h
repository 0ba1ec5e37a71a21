// The two checksums that the hub publishes.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "bezel/result.h"

namespace bezel::hub {

class Digest {
 public:
  enum class Kind { Sha256, Sha1 };
  explicit Digest(Kind kind);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  void add(const void* data, std::size_t n);
  std::string hex();  // lower case; once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a file's contents: 64 digits of SHA-256, or (`git`) the 40 of a git blob. `tick(bytes)` now
// and then; false cancels.
Result<std::string> file_digest(const std::string& path, bool git,
                                const std::function<bool(std::uint64_t)>& tick);

}  // namespace bezel::hub
