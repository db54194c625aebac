#include "trainer/comm/thread_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/trainer/comm/delaying_communicator.h"
#include "tests/trainer/comm/exercise.h"
#include "trainer/comm/local_communicator.h"
#include "trainer/comm/rank_agreement.h"

namespace tunesmith::trainer {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;

using RankFunction = std::function<absl::Status(Communicator&)>;

// What `function` returns on each rank.
std::vector<absl::Status> RunRanks(int64_t size, const RankFunction& function,
                                   milliseconds limit = milliseconds(60'000)) {
  auto communicators = MakeThreadCommunicators(size, limit);
  std::vector<absl::Status> results(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (size_t r = 0; r < results.size(); ++r)
    threads.emplace_back([&, r] { results[r] = function(*communicators[r]); });
  for (std::thread& thread : threads) thread.join();
  return results;
}

absl::Status Sum(Communicator& c) {
  float x = 1;
  return c.AllReduce(&x, 1, DType::kF32);
}

class RanksTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, RanksTest, testing::Values(1, 2, 3, 4, 7));

TEST_P(RanksTest, EveryCallDoesWhatItSays) {
  RunRanks(GetParam(), [](Communicator& c) {
    EXPECT_THAT(Exercise(c), Not(HasSubstr("wrong")));
    return absl::OkStatus();
  });
}

TEST_P(RanksTest, DelaysChangeNothing) {
  std::vector<std::string> digests(static_cast<size_t>(GetParam())), delayed(digests);
  RunRanks(GetParam(), [&](Communicator& c) {
    digests[static_cast<size_t>(c.rank())] = Exercise(c);
    return absl::OkStatus();
  });
  auto communicators = MakeThreadCommunicators(GetParam(), milliseconds(60'000));
  std::vector<std::thread> threads;
  for (size_t r = 0; r < delayed.size(); ++r) {
    threads.emplace_back([&, r] {
      DelayingCommunicator c(std::move(communicators[r]), 5, microseconds(500));
      delayed[r] = Exercise(c);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(digests, delayed);
}

TEST(LocalCommunicatorTest, IsOneRank) {
  const auto alone = MakeLocalCommunicator();
  const std::string digest = Exercise(*alone);
  EXPECT_THAT(digest, Not(HasSubstr("wrong")));
  RunRanks(1, [&](Communicator& c) {
    EXPECT_EQ(Exercise(c), digest);
    return absl::OkStatus();
  });
  alone->Abort("the disk is full");
  EXPECT_THAT(std::string(alone->Barrier().message()),
              HasSubstr("rank 0 failed: the disk is full"));
}

TEST(ThreadCommunicatorTest, AnAbortWakesAllWithItsCause) {
  const auto results = RunRanks(4, [](Communicator& c) {
    EXPECT_TRUE(Sum(c).ok());
    if (c.rank() == 2) {
      std::this_thread::sleep_for(milliseconds(50));
      c.Abort("step 3: the loss is nan");
    }
    return Sum(c);
  });
  for (const absl::Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 2 failed: step 3: the loss is nan"));
  }
}

// As many bytes in all, in other groups.
TEST(ThreadCommunicatorTest, RanksThatDisagreeOnTheirGroupsAreTold) {
  const auto results = RunRanks(4, [](Communicator& c) {
    std::array<char, 16> in = {}, out = {};
    return c.rank() == 0 ? c.AllToAll(in.data(), out.data(), 4, 4)
                         : c.AllToAll(in.data(), out.data(), 4, 2);
  });
  for (const absl::Status& status : results) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr("in groups of"));
  }
}

// A rank that has published its memory stays until nobody reads it, even where the job ends meanwhile: for ThreadSanitizer and AddressSanitizer.
TEST(ThreadCommunicatorTest, MemoryIsNotFreedUnderAReader) {
  for (int i = 0; i < 50; ++i) {
    RunRanks(3, [&](Communicator& c) {
      std::vector<float> data(30'000, 1.0f), whole(90'000);
      for (int call = 0; call < 3; ++call) {
        if (c.rank() == i % 3 && call == 2) c.Abort("ends");
        (void)c.AllGather(data.data(), whole.data(), 120'000);
      }
      return absl::OkStatus();
    });
  }
}

TEST(ThreadCommunicatorTest, NamesTheRanksThatDoNotCome) {
  const auto results = RunRanks(
      4,
      [](Communicator& c) {
        if (c.rank() == 1 || c.rank() == 3) std::this_thread::sleep_for(milliseconds(300));
        return Sum(c);
      },
      milliseconds(50));
  for (const absl::Status& status : results) {
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("no sign of rank 1, rank 3 in 0.05 s (waiting in AllReduce)"));
  }
}

TEST(ThreadCommunicatorTest, DifferentCallsAreNamed) {
  const auto results = RunRanks(2, [](Communicator& c) {
    float x[2] = {};
    return c.AllReduce(x, 1 + c.rank(), DType::kF32);
  });
  EXPECT_THAT(std::string(results[0].message()), HasSubstr("AllReduce(4 bytes)"));
  EXPECT_THAT(std::string(results[0].message()), HasSubstr("AllReduce(8 bytes)"));
  EXPECT_EQ(results[0], results[1]);
}

TEST(ThreadCommunicatorTest, BadArgumentsAreRefused) {
  RunRanks(2, [](Communicator& c) {
    int32_t x[2] = {};
    EXPECT_EQ(c.AllReduce(x, 1, DType::kI32).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(c.ReduceScatter(x, x, 1, DType::kF16, false).code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(c.Broadcast(x, 8, 2).message()), HasSubstr("rank 2"));
    return c.Barrier();
  });
}

TEST(RankAgreementTest, NamesWhatDiffersAndWhere) {
  const auto results = RunRanks(3, [](Communicator& c) {
    const std::string digest = c.rank() == 1 ? "bbb" : "aaa";
    return CheckRanksAgree(c, {{"trainer version", "0.1"}, {"plan digest", digest}});
  });
  for (const absl::Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("different plan digests: aaa on ranks 0, 2; bbb on rank 1"));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
