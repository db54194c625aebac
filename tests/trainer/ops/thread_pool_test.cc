#include "trainer/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <vector>

namespace tunesmith::trainer {
namespace {

TEST(ThreadPool, VisitsEveryItemOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.thread_count(), threads);
    for (int64_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> visits(count);
      pool.ForEach(count, threads, [&](int64_t item, int) { ++visits[item]; });
      for (const auto& visit : visits) ASSERT_EQ(visit, 1);
    }
  }
}

TEST(ThreadPool, RangesCoverTheCount) {
  ThreadPool pool(3);
  std::vector<int> visits(103);
  pool.ForRanges(103, 10, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(begin % 10, 0);
    for (int64_t i = begin; i < end; ++i) ++visits[i];
  });
  EXPECT_EQ(visits, std::vector<int>(103, 1));
}

TEST(ThreadPool, WorkersAreDistinctAndLimited) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  pool.ForEach(2000, 2, [&](int64_t, int worker) {
    ASSERT_GE(worker, 0);
    ASSERT_LT(worker, 2);
    EXPECT_EQ(inside[worker].fetch_add(1), 0);
    inside[worker].fetch_sub(1);
  });
}

// Short loops in a row: where a thread that wakes late would take part in the wrong one.
TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(4);
  for (int64_t loop = 0; loop < 20000; ++loop) {
    std::atomic<int64_t> sum = 0;
    pool.ForEach(3, 4, [&](int64_t item, int) { sum += item + loop; });
    ASSERT_EQ(sum, 3 + 3 * loop);
  }
}

}  // namespace
}  // namespace tunesmith::trainer
