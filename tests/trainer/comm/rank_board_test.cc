// Who is absent when ranks give up one after another, and when a job is started again in its folder.

#include "trainer/comm/rank_board.h"

#include <gtest/gtest.h>

#include "tests/common/temporary_directory.h"

namespace tunesmith::trainer {
namespace {

RankPlace Place(int64_t rank) { return {.rank = rank, .size = 3}; }

TEST(RankBoardTest, ARankThatHasGivenUpIsNotCalledAbsent) {
  const TemporaryDirectory folder;
  const RankBoard zero(folder.path(), {}, Place(0));
  { const RankBoard two(folder.path(), {}, Place(2)); }
  EXPECT_EQ(zero.Absent(), "rank 1");
}

TEST(RankBoardTest, NamesThatWereTakenDownAreAbsent) {
  const TemporaryDirectory folder;
  const RankBoard zero(folder.path(), {}, Place(0));
  zero.TakeDown();
  EXPECT_EQ(zero.Absent(), "rank 0, rank 1, rank 2");
}

TEST(RankBoardTest, NamesOfAnEarlierAttemptCountForNothing) {
  const TemporaryDirectory folder;
  const Environment first = {{"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"}};
  Environment requeued = first;
  requeued["SLURM_RESTART_COUNT"] = "1";
  const RankBoard before(folder.path(), first, Place(1));
  const RankBoard after(folder.path(), requeued, Place(0));
  EXPECT_EQ(after.Absent(), "rank 1, rank 2");
}

TEST(RankBoardTest, WithoutAFolderNobodyIsNamed) {
  EXPECT_EQ(RankBoard("", {}, Place(0)).Absent(), "all 3 ranks");
}

}  // namespace
}  // namespace tunesmith::trainer
