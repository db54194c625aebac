#include "profiler/wait_seconds.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace tunesmith::profiler {
namespace {

TEST(WaitSecondsTest, ReadsTheQueueOfAThread) {
  EXPECT_DOUBLE_EQ(QueuedSeconds("2500000000 1500000000 17\n"), 1.5);
  EXPECT_EQ(QueuedSeconds(""), 0);
  EXPECT_EQ(QueuedSeconds("2500000000"), 0) << "a kernel that does not count";
}

TEST(WaitSecondsTest, ReadsWhatAHypervisorTook) {
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(
      StolenSeconds("cpu  71508 0 10243 20355 773 0 147 373 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"),
      373 / ticks);
  EXPECT_EQ(StolenSeconds("cpu  71508 0 10243 20355"), 0) << "an old kernel";
  EXPECT_EQ(StolenSeconds(""), 0);
}

TEST(WaitSecondsTest, GrowsWhereThreadsWaitForProcessors) {
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i)
    threads.emplace_back([&done] {
      while (!done) {
      }
    });
  const double before = WaitedSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const double waited = WaitedSeconds() - before;
  done = true;
  for (std::thread& thread : threads) thread.join();
  if (before == 0 && waited == 0)
    GTEST_SKIP() << "this kernel does not count how long threads wait";
  // Half of the threads wait at any time.
  EXPECT_GT(waited, 0.1 * std::thread::hardware_concurrency());
}

}  // namespace
}  // namespace tunesmith::profiler
