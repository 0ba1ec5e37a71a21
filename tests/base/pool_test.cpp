#include "base/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include "base/fp_env.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace bezel {
namespace {

TEST(ThreadPool, DoesEachItemExactlyOnceForAnyNumberOfThreadsAndItems) {
  for (const int threads : {1, 2, 3, 8, 33}) {
    ThreadPool pool(threads);
    for (const int items : {0, 1, 2, 7, 64, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(items));
      std::atomic<bool> worker_in_range{true};
      pool.run(items, [&](int item, int worker) {
        ++done[static_cast<std::size_t>(item)];
        if (worker < 0 || worker >= pool.n_threads()) worker_in_range = false;
      });
      for (const auto& n : done) EXPECT_EQ(n, 1) << threads << " threads, " << items << " items";
      EXPECT_TRUE(worker_in_range);
    }
  }
}

TEST(ThreadPool, EveryJobSeesTheFunctionAndDataOfItsOwnRun) {
  ThreadPool pool(4);
  std::vector<int> out(5);
  for (int round = 0; round < 20000; ++round) {
    const int items = 1 + round % 5;
    pool.run(items, [&out, round](int item, int) { out[static_cast<std::size_t>(item)] = round; });
    for (int i = 0; i < items; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], round);
  }
}

TEST(ThreadPool, WakesWorkersThatFellAsleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> present{0};
    // Each item waits for all three: this ends only when three threads work.
    pool.run(3, [&](int, int) {
      ++present;
      while (present < 3) std::this_thread::yield();
    });
    EXPECT_EQ(present, 3);
  }
}

TEST(ThreadPool, AWorkerNumberBelongsToOneThreadAtATime) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> shared{false};
  pool.run(2000, [&](int, int worker) {
    if (++inside[static_cast<std::size_t>(worker)] != 1) shared = true;
    --inside[static_cast<std::size_t>(worker)];
  });
  EXPECT_FALSE(shared);
}

TEST(ThreadPool, CallersSleepUntilASlowWorkerIsDone) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  pool.run(2, [&](int, int worker) {
    if (worker != 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++done;
  });
  EXPECT_EQ(done, 2);
}

// The smallest normal number halved: a denormal, or zero where denormals are flushed.
bool keeps_denormals() {
  volatile float x = std::numeric_limits<float>::min();
  x = x * 0.5F;
  volatile float y = x;
  return y * 2.0F == std::numeric_limits<float>::min();
}

bool rounds_to_nearest() {
  volatile float one = 1.0F, tiny = 1e-10F;
  return one + tiny == 1.0F && one - tiny == 1.0F && -one - tiny == -1.0F;
}

TEST(FpEnv, JobsRoundToNearestOnEveryThreadAndTheCallersRoundingComesBack) {
  for (const int threads : {1, 3}) {
    ASSERT_EQ(std::fesetround(FE_UPWARD), 0);
    ThreadPool pool(threads);
    std::atomic<int> bad{0};
    for (const int items : {1, 50}) {
      pool.run(items, [&](int, int) {
        if (!rounds_to_nearest()) ++bad;
      });
    }
    EXPECT_EQ(std::fegetround(), FE_UPWARD);
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(bad, 0);
  }
}

#if defined(__x86_64__)
TEST(FpEnv, FlushToZeroSetByTheCallerReachesNoJobAndComesBackAfter) {
  const unsigned before = _mm_getcsr();
  constexpr unsigned kFlush = 0x8040;  // FTZ and DAZ
  for (const int threads : {1, 3}) {
    _mm_setcsr(before | kFlush);
    const bool flushes = !keeps_denormals();
    {
      ThreadPool pool(threads);
      std::atomic<int> flushed{0};
      for (const int items : {1, 50}) {
        pool.run(items, [&](int, int) {
          if (!keeps_denormals()) ++flushed;
        });
        EXPECT_EQ(_mm_getcsr() & kFlush, kFlush);
      }
      EXPECT_EQ(flushed, 0);
    }
    _mm_setcsr(before);
    EXPECT_TRUE(flushes) << "the test would prove nothing";
  }
}
#endif

TEST(FpEnv, RestoresWhatItFoundWhenItDies) {
  ASSERT_EQ(std::fesetround(FE_DOWNWARD), 0);
  {
    const FpEnv env;
    EXPECT_TRUE(rounds_to_nearest());
    EXPECT_TRUE(keeps_denormals());
  }
  EXPECT_EQ(std::fegetround(), FE_DOWNWARD);
  std::fesetround(FE_TONEAREST);
}

}  // namespace
}  // namespace bezel
