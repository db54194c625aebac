#include "trainer/job/run_limits.h"

#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

TEST(RunLimitsTest, RowsAreNamedWithWhoseTheyAre) {
  std::vector<Batch> batches(2);
  batches[0].documents = {3, 17};
  batches[1].documents = {40};
  EXPECT_EQ(RowsOf(batches, "/data/train.jsonl", {}), "lines 3, 17, 40 of train.jsonl");
  EXPECT_EQ(RowsOf(batches, "train.jsonl", {.rank = 0, .size = 2}),
            "lines 3, 17, 40 of train.jsonl, the share of rank 0");
  batches[1].documents.assign(13, 5);
  EXPECT_TRUE(RowsOf(batches, "t", {}).ends_with(" and 3 more of t"));
}

}  // namespace
}  // namespace tunesmith::trainer
