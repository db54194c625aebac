#include "server/search_pool.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "tests/server/process_use.h"

namespace tunesmith::server {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

int64_t ResidentBytes() { return UseOf(getpid()).resident_bytes; }

TEST(SearchPoolTest, RunsWhatItTook) {
  std::atomic<int> count{0};
  SearchPool pool(2, 100, absl::Milliseconds(1));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(pool.Submit([&count] { ++count; }));
  pool.Stop();
  EXPECT_EQ(count, 50);
  EXPECT_FALSE(pool.Submit([] {}));
}

TEST(SearchPoolTest, TooMuchThatWaitsIsRefused) {
  SearchPool pool(1, 1);
  std::atomic<bool> has_begun{false}, may_end{false};
  EXPECT_TRUE(pool.Submit([&] {
    has_begun = true;
    while (!may_end) absl::SleepFor(absl::Milliseconds(1));
  }));
  while (!has_begun) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(pool.Submit([] {}));
  EXPECT_FALSE(pool.Submit([] {}));
  EXPECT_EQ(pool.waiting_count(), 1u);
  may_end = true;
}

// Small pieces, of which a few stay, as what is cached does: malloc alone would keep all that lies between them.
TEST(SearchPoolTest, MemoryOfALargeSearchGoesBack) {
  SearchPool pool(1, 10, absl::Milliseconds(20));
  const int64_t before = ResidentBytes();
  std::vector<std::unique_ptr<char[]>> kept;
  std::atomic<int64_t> most{0};
  EXPECT_TRUE(pool.Submit([&] {
    std::vector<std::unique_ptr<char[]>> pieces;
    for (int64_t i = 0; i < 64 * 1024; ++i) {
      pieces.push_back(std::make_unique_for_overwrite<char[]>(1000));
      std::memset(pieces.back().get(), 1, 1000);
    }
    most = ResidentBytes();
    for (size_t i = 0; i < pieces.size(); i += 1000) kept.push_back(std::move(pieces[i]));
  }));
  int64_t after = 0;
  for (int tries = 0; tries < 500; ++tries) {
    absl::SleepFor(absl::Milliseconds(10));
    after = ResidentBytes();
    if (most > 0 && after < before + 8 * kMiB) break;
  }
  EXPECT_GT(most, before + 48 * kMiB);
  EXPECT_LT(after, before + 8 * kMiB);
}

}  // namespace
}  // namespace tunesmith::server
