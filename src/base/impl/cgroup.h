// What the control groups (Linux cgroups, version 1 and 2) of this process allow.
#pragma once
#include <cstdint>
#include <limits>
#include <string>

namespace bezel {

struct CgroupLimits {
  double cpus = std::numeric_limits<double>::infinity();                 // quota / period
  std::uint64_t free_bytes = std::numeric_limits<std::uint64_t>::max();  // limit - use, see below
};
// The tightest limits of the process's groups and all their parents. Page cache that the kernel
// would drop first (inactive_file) counts as free. `root` stands before /proc and /sys, so that
// tests can show a machine of their own; "" is the real one.
CgroupLimits cgroup_limits(const std::string& root = "");

}  // namespace bezel
