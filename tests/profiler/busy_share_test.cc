#include "profiler/busy_share.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tunesmith::profiler {
namespace {

TEST(BusyShareTest, WorkOfOthersIsSeen) {
  const auto processors = static_cast<int64_t>(std::thread::hardware_concurrency());
  std::atomic<bool> done{false};
  std::vector<std::thread> others;
  for (int64_t i = 0; i < 2 * processors; ++i) {
    others.emplace_back([&done] {
      while (!done) {
      }
    });
  }
  // Each of ours shares its processor with two others and so waits two thirds of the time; schedulers are fair over longer times than this.
  EXPECT_GT(BusyShare(processors), 0.33);
  EXPECT_LE(BusyShare(processors), 1);
  done = true;
  for (std::thread& other : others) other.join();
}

}  // namespace
}  // namespace tunesmith::profiler
