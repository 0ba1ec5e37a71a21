#include "base/impl/cgroup.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace bezel {

namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The number a file consists of; nothing for "max", -1 or a missing file.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::istringstream in(first_line(path));
  long long value = -1;
  if (!(in >> value) || value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

// The value of a line "key value" in a file of such lines, 0 when there is none.
std::uint64_t value_of(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string name;
  std::uint64_t value = 0;
  while (in >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

// A group's folder and those of its parents up to the mount. In a container the path may be one of
// the host that is not mounted here; folders that do not exist are harmless, nothing is read there.
std::vector<std::string> folders(const std::string& mount, std::string path) {
  std::vector<std::string> all;
  while (path.size() > 1) {
    all.push_back(mount + path);
    path.resize(path.rfind('/'));
  }
  all.push_back(mount);
  return all;
}

void use_cpu(CgroupLimits& limits, double quota, double period) {
  if (quota > 0 && period > 0) limits.cpus = std::min(limits.cpus, quota / period);
}

void use_memory(CgroupLimits& limits, std::optional<std::uint64_t> limit,
                std::optional<std::uint64_t> used, std::uint64_t cache) {
  if (!limit || !used) return;
  const std::uint64_t held = *used - std::min(*used, cache);
  limits.free_bytes = std::min(limits.free_bytes, *limit - std::min(*limit, held));
}

void read_v2(CgroupLimits& limits, const std::string& folder) {
  std::istringstream cpu(first_line(folder + "/cpu.max"));
  double quota = 0, period = 0;
  if (cpu >> quota >> period) use_cpu(limits, quota, period);
  const std::uint64_t cache = value_of(folder + "/memory.stat", "inactive_file");
  const auto used = number_in(folder + "/memory.current");
  use_memory(limits, number_in(folder + "/memory.max"), used, cache);
  use_memory(limits, number_in(folder + "/memory.high"), used, cache);
}

void read_v1(CgroupLimits& limits, const std::string& folder) {
  const auto quota = number_in(folder + "/cpu.cfs_quota_us");
  const auto period = number_in(folder + "/cpu.cfs_period_us");
  if (quota && period) use_cpu(limits, static_cast<double>(*quota), static_cast<double>(*period));
  use_memory(limits, number_in(folder + "/memory.limit_in_bytes"),
             number_in(folder + "/memory.usage_in_bytes"),
             value_of(folder + "/memory.stat", "total_inactive_file"));
}

}  // namespace

CgroupLimits cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream in(root + "/proc/self/cgroup");
  // Lines "number:controllers:path"; number 0 without controllers is version 2.
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (names.empty()) {
      for (const std::string& f : folders(mount, path)) read_v2(limits, f);
    } else if (names == "memory" || ("," + names + ",").find(",cpu,") != std::string::npos) {
      for (const std::string& f : folders(mount + "/" + names, path)) read_v1(limits, f);
    }
  }
  return limits;
}

}  // namespace bezel
