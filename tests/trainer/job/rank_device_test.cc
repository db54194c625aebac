#include "trainer/job/rank_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

using ::testing::HasSubstr;

TEST(RankDeviceTest, RanksOfANodeHaveOneDeviceAfterTheOther) {
  EXPECT_EQ(*DeviceOfRank("cuda:0", 0, 8), "cuda:0");
  EXPECT_EQ(*DeviceOfRank("cuda:0", 7, 8), "cuda:7");
  EXPECT_EQ(*DeviceOfRank("cuda:2", 1, 4), "cuda:3");
}

TEST(RankDeviceTest, WhereEachSeesOneItIsThatOne) {
  EXPECT_EQ(*DeviceOfRank("cuda:0", 3, 1), "cuda:0");
}

TEST(RankDeviceTest, ProcessorsAreShared) {
  EXPECT_EQ(*DeviceOfRank("cpu", 3, 0), "cpu");
  EXPECT_EQ(*DeviceOfRank("cpu", 3), "cpu") << "and nobody asks for CUDA";
}

TEST(RankDeviceTest, TooFewAreNamed) {
  const auto status = DeviceOfRank("cuda:2", 2, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("rank 2 of its node needs CUDA device 4"));
  EXPECT_THAT(status.message(), HasSubstr("sees 4"));
}

}  // namespace
}  // namespace tunesmith::trainer
