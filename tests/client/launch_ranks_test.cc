// From a mix of several ranks to a fine-tuned model, with the trainer itself: the commands as users have them.
#include <gtest/gtest.h>

#include "tests/client/ranked_launch.h"

namespace tunesmith::client {
namespace {

// Of the same rows, each by both ranks.
constexpr char kSequenceMix[] =
    "method=full precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=3 "
    "sequence_parallel=2 batch=1x4";

class LaunchRanksTest : public ::testing::Test {
 protected:
  trainer::JobFiles files_{kRankedMix};
};

TEST_F(LaunchRanksTest, ProcessesAndThreadsLearnTheSame) {
  const auto threads =
      LossesOf(files_, {.name = "threads", .environment = {{"TUNESMITH_MPI_PLUGIN", "/nowhere"}}});
  ASSERT_EQ(threads.size(), 6u);
  EXPECT_LT(threads.at(6), threads.at(1));
  // Under mpirun where it is; else threads again.
  EXPECT_EQ(LossesOf(files_, {.name = "processes"}), threads);
}

TEST_F(LaunchRanksTest, RanksOfOneRowLearnWhatRanksOfTheirOwnRowsLearn) {
  const auto rows = LossesOf(files_, {.name = "rows"}),
             shared = LossesOf(files_, {.name = "shared", .mix = kSequenceMix});
  ASSERT_EQ(shared.size(), 6u);
  for (const auto& [step, loss] : rows) EXPECT_NEAR(shared.at(step), loss, 2e-5 * loss) << step;
}

}  // namespace
}  // namespace tunesmith::client
