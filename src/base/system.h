// What this machine has: cores, memory, limits of control groups.
#pragma once
#include <cstdint>

namespace bezel {

// Physical cores this process may use: affinity mask, cgroup quota and hyper-threads considered;
// at least 1.
int usable_cores();
// Bytes this process could still take without swapping: free memory of the machine, or what the
// cgroup leaves, whichever is less.
std::uint64_t free_memory_bytes();
// Resident memory of this process, bytes: anonymous and file-backed (mapped) parts.
struct ResidentMemory {
  std::uint64_t anonymous, mapped;
};
ResidentMemory resident_memory();

}  // namespace bezel
