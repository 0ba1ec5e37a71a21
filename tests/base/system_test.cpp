#include "base/system.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "base/impl/cgroup.h"
#include "base/temp_folder.h"
#ifdef __linux__
#include <sched.h>
#endif

namespace bezel {
namespace {

TEST(System, UsableCoresLieBetweenOneAndTheLogicalProcessors) {
  EXPECT_GE(usable_cores(), 1);
  EXPECT_LE(usable_cores(), static_cast<int>(std::thread::hardware_concurrency()));
}

#ifdef __linux__
TEST(System, UsableCoresRespectTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(i, &before)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(i, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    break;
  }
  const int cores = usable_cores();
  ::sched_setaffinity(0, sizeof before, &before);
  EXPECT_EQ(cores, 1);
}
#endif

TEST(System, ResidentMemoryGrowsByWhatIsTouched) {
  constexpr std::size_t kBytes = 64U << 20U;
  const ResidentMemory before = resident_memory();
  std::vector<char> block(kBytes);
  std::memset(block.data(), 1, block.size());
  const ResidentMemory after = resident_memory();
  EXPECT_GE(after.anonymous, before.anonymous + kBytes * 9 / 10);
  EXPECT_GT(after.mapped, 0U) << "the program itself is mapped";
}

TEST(System, FreeMemoryIsMoreThanNothing) {
  EXPECT_GT(free_memory_bytes(), 1U << 20U);
}

TEST(Cgroup, WithoutGroupsNothingIsLimited) {
  const TempFolder root;
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_TRUE(std::isinf(limits.cpus));
  EXPECT_EQ(limits.free_bytes, UINT64_MAX);
}

TEST(Cgroup, Version2TakesTheTightestLimitOfTheGroupAndItsParents) {
  const TempFolder root;
  root.put("proc/self/cgroup", "0::/outer/inner\n");
  root.put("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  root.put("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  root.put("sys/fs/cgroup/outer/memory.max", "max\n");
  root.put("sys/fs/cgroup/outer/inner/memory.max", "1000000\n");
  root.put("sys/fs/cgroup/outer/inner/memory.current", "700000\n");
  root.put("sys/fs/cgroup/outer/inner/memory.stat", "anon 5\ninactive_file 200000\nfile 9\n");
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_DOUBLE_EQ(limits.cpus, 1.5);
  EXPECT_EQ(limits.free_bytes, 500000U) << "1000000 - (700000 - 200000 of cache)";
}

TEST(Cgroup, Version1IsReadToo) {
  const TempFolder root;
  root.put("proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000\n");
  root.put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1500\n");
  root.put("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 100\n");
  const CgroupLimits limits = cgroup_limits(root.path());
  EXPECT_DOUBLE_EQ(limits.cpus, 3.0);
  EXPECT_EQ(limits.free_bytes, 0U) << "more in use than allowed leaves nothing, not 2^64";
}

TEST(Cgroup, APathThatIsNotMountedHereFallsBackToTheMount) {
  const TempFolder root;
  root.put("proc/self/cgroup", "0::/host/path/of/container\nnonsense\n::\n");
  root.put("sys/fs/cgroup/memory.max", "5000\n");
  root.put("sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(cgroup_limits(root.path()).free_bytes, 4000U);
}

}  // namespace
}  // namespace bezel
