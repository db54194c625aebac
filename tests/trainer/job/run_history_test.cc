#include "trainer/job/run_history.h"

#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

TEST(RunHistoryTest, TheLowestIsTheBestAndPatienceCountsFromTheLastImprovement) {
  RunHistory history;
  EXPECT_TRUE(history.AddEvaluation({2, 3.0}, 0));
  EXPECT_TRUE(history.AddEvaluation({4, 2.5}, 0));
  EXPECT_FALSE(history.AddEvaluation({6, 2.5}, 0));
  EXPECT_FALSE(history.AddEvaluation({8, 2.75}, 0));
  EXPECT_EQ(history.evaluations_without_improvement(), 2);
  EXPECT_EQ(history.best(), (RunHistory::Evaluation{4, 2.5}));
  EXPECT_EQ(history.last(), (RunHistory::Evaluation{8, 2.75}));
  EXPECT_TRUE(history.AddEvaluation({10, 2.0}, 0));
  EXPECT_EQ(history.evaluations_without_improvement(), 0);
}

TEST(RunHistoryTest, ASmallImprovementIsTheBestButNoReasonToGoOn) {
  RunHistory history;
  history.AddEvaluation({1, 3.0}, 0.1);
  EXPECT_EQ(history.evaluations_without_improvement(), 0);
  EXPECT_TRUE(history.AddEvaluation({2, 2.95}, 0.1));
  EXPECT_EQ(history.evaluations_without_improvement(), 1);
  EXPECT_EQ(history.best()->step, 2);
}

TEST(RunHistoryTest, TheSameStepAgainChangesNothing) {
  RunHistory history;
  history.AddEvaluation({1, 3.0}, 0);
  history.AddEvaluation({2, 4.0}, 0);
  const RunHistory before = history;
  EXPECT_FALSE(history.AddEvaluation({2, 4.0}, 0));
  EXPECT_EQ(history, before);
}

TEST(RunHistoryTest, ALossIsComparedWithTheMedianOfThoseBefore) {
  RunHistory history;
  for (size_t i = 0; i < RunHistory::kSpikeLeastCount; ++i)
    EXPECT_EQ(history.AddLoss(i == 3 ? 100.0 : 2.0), 0);
  EXPECT_EQ(history.AddLoss(5.0), 2.5);
  // Only the last ones count.
  for (size_t i = 0; i < RunHistory::kSpikeWindow; ++i) history.AddLoss(4.0);
  EXPECT_EQ(history.AddLoss(5.0), 1.25);
}

TEST(RunHistoryTest, NothingIsASpikeOverNothing) {
  RunHistory history;
  for (size_t i = 0; i < RunHistory::kSpikeLeastCount; ++i) history.AddLoss(0);
  EXPECT_EQ(history.AddLoss(0), 0);
  EXPECT_EQ(history.AddLoss(1e-9), 0);
}

TEST(RunHistoryTest, GoesThroughJsonAndBack) {
  RunHistory history;
  EXPECT_EQ(*RunHistory::FromJson(history.ToJson(), "here"), history);
  history.AddEvaluation({3, 1.0 / 3}, 0);
  history.AddEvaluation({5, 0.7}, 0);
  for (int i = 0; i < 20; ++i) history.AddLoss(1.0 / (3 + i));
  const auto read = RunHistory::FromJson(*ParseJson(history.ToJson().dump(), "here"), "here");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, history);
  auto json = history.ToJson();
  json["recent_losses"][0] = "x";
  EXPECT_EQ(RunHistory::FromJson(json, "here").status().message(),
            "here: \"recent_losses\" must hold numbers");
  EXPECT_FALSE(RunHistory::FromJson(nlohmann::json::object(), "here").ok());
}

}  // namespace
}  // namespace tunesmith::trainer
