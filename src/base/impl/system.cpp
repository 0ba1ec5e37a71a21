#include "base/system.h"

#include <unistd.h>

#include "base/impl/cgroup.h"
#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bezel {

namespace {

// Numbers of the logical CPUs that the affinity mask allows.
std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
#ifdef __linux__
  for (int most = 1024; most <= 1 << 20; most *= 4) {  // EINVAL: the machine has more than `most`
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(most));
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(most));
    const bool ok = ::sched_getaffinity(0, bytes, set) == 0;
    for (int i = 0; ok && i < most; ++i) {
      if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set)) cpus.push_back(i);
    }
    CPU_FREE(set);
    if (ok) return cpus;
  }
#endif
  const int n = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int i = 0; i < n; ++i) cpus.push_back(i);
  return cpus;
}

int number_in(const std::string& path, int fallback) {
  std::ifstream in(path);
  int value = fallback;
  return in >> value && value >= 0 ? value : fallback;
}

// The value of a line "key: value kB", in bytes; 0 when there is none.
std::uint64_t kilobytes_of(const char* path, std::string_view key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ':') {
      return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
    }
  }
  return 0;
}

}  // namespace

int usable_cores() {
  // Two logical CPUs of one core share package and core number; where the system does not say,
  // each is its own core.
  std::set<std::pair<int, int>> cores;
  for (const int cpu : allowed_cpus()) {
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const int core = number_in(topology + "core_id", -1);
    const int package = number_in(topology + "physical_package_id", 0);
    cores.insert(core < 0 ? std::pair(-1, cpu) : std::pair(package, core));
  }
  const double quota = std::max(1.0, cgroup_limits().cpus);
  const auto n = static_cast<double>(std::max<std::size_t>(1, cores.size()));
  return static_cast<int>(std::min(n, quota));
}

std::uint64_t free_memory_bytes() {
  std::uint64_t machine = kilobytes_of("/proc/meminfo", "MemAvailable");
  if (machine == 0) {
    machine = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES))) *
              static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  }
  return std::min(machine, cgroup_limits().free_bytes);
}

ResidentMemory resident_memory() {
  constexpr const char* kStatus = "/proc/self/status";
  return {kilobytes_of(kStatus, "RssAnon"),
          kilobytes_of(kStatus, "RssFile") + kilobytes_of(kStatus, "RssShmem")};
}

}  // namespace bezel
