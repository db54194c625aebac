#include "trainer/job/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "common/crc32c.h"
#include "tests/trainer/job/tensorboard_files.h"
#include "tests/trainer/model_io/model_files.h"

namespace tunesmith::trainer {
namespace {

v1::Event ProgressOf(int64_t step, double loss) {
  v1::Event event;
  event.mutable_progress()->set_step(step);
  event.mutable_progress()->set_loss(loss);
  event.mutable_progress()->set_learning_rate(0.25);
  event.mutable_progress()->set_gradient_norm(1.5);
  event.mutable_progress()->set_tokens_per_second(1000);
  event.mutable_progress()->set_step_seconds(0.5);
  return event;
}

TEST(TensorBoardTest, ARecordHasItsLengthAndTwoChecksums) {
  const std::string record = TensorBoardRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
  const uint32_t crc = Crc32c("abc");
  uint32_t written = 0;
  std::memcpy(&written, record.data() + 15, 4);
  EXPECT_EQ(written, (crc >> 15 | crc << 17) + 0xa282ead8u);
}

TEST(TensorBoardTest, StepsAndEvaluationsBecomeCurves) {
  const TemporaryDirectory directory;
  {
    auto writer = TensorBoardWriter::Open(directory.path());
    ASSERT_TRUE(writer.ok()) << writer.status();
    v1::Event evaluation, log;
    log.mutable_log()->set_text("nothing to draw");
    evaluation.mutable_evaluation()->set_step(7);
    evaluation.mutable_evaluation()->set_mean_loss(2.25);
    for (const v1::Event& event : {log, ProgressOf(7, 2.5), evaluation, ProgressOf(8, 2.125)})
      ASSERT_TRUE((*writer)->Write(event).ok());
  }
  const std::vector<std::string> files = TensorBoardFiles(directory.path());
  ASSERT_EQ(files.size(), 1u);
  const std::vector<v1::TensorBoardEvent> events = ReadTensorBoardFile(files[0]);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].session_log().status(), v1::TensorBoardSessionLog::SESSION_STATUS_START);
  EXPECT_EQ(events[1].step(), 7);
  EXPECT_GT(events[2].wall_time(), 1.7e9);
  EXPECT_EQ(CurveOf(events, "train/loss"), (std::map<int64_t, float>{{7, 2.5f}, {8, 2.125f}}));
  EXPECT_EQ(CurveOf(events, "train/learning_rate").at(8), 0.25f);
  EXPECT_EQ(CurveOf(events, "train/gradient_norm").at(8), 1.5f);
  EXPECT_EQ(CurveOf(events, "train/tokens_per_second").at(8), 1000.0f);
  EXPECT_EQ(CurveOf(events, "train/step_seconds").at(8), 0.5f);
  EXPECT_EQ(CurveOf(events, "evaluation/loss"), (std::map<int64_t, float>{{7, 2.25f}}));
}

TEST(TensorBoardTest, ADirectoryThatCannotBeMadeIsNamed) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(WriteFileAtomically(directory.File("run"), "").ok());
  const auto writer = TensorBoardWriter::Open(directory.File("run"));
  EXPECT_THAT(std::string(writer.status().message()), testing::HasSubstr("run/tensorboard"));
}

}  // namespace
}  // namespace tunesmith::trainer
