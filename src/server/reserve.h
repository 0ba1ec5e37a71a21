// Memory kept back for when there is none. The library that builds our JSON ends the program when
// one of its small allocations fails half-way, and a refusal needs memory too. So an allocation
// that fails anywhere is tried again with memory from a reserve; only what may become large, and is
// written to survive it, fails at once.
#pragma once

namespace bezel {

// Keeps 4 MB for this process, or takes back what was used of it if there is memory again. Any
// thread.
void keep_reserve() noexcept;

// While one lives, allocations of its thread that fail throw std::bad_alloc at once.
class MayFail {
 public:
  MayFail();
  ~MayFail();
  MayFail(const MayFail&) = delete;
  MayFail& operator=(const MayFail&) = delete;
};

}  // namespace bezel
