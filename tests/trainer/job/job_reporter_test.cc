#include "trainer/job/job_reporter.h"

#include <gtest/gtest.h>

#include "common/file.h"
#include "proto/convert/json.h"
#include "tests/common/temporary_directory.h"

namespace tunesmith::trainer {
namespace {

TEST(JobReporterTest, AHeartbeatOfTheSameStepIsNotWrittenAtOnceAgain) {
  const TemporaryDirectory run;
  const auto reporter = JobReporter::Open(run.path());
  ASSERT_TRUE(reporter.ok()) << reporter.status();
  const std::string path = convert::InDirectory(run.path(), convert::kHeartbeatFile);
  ASSERT_TRUE((*reporter)->Beat(3).ok());
  ASSERT_TRUE(std::filesystem::remove(path));
  ASSERT_TRUE((*reporter)->Beat(3).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE((*reporter)->Beat(4).ok());
  v1::Heartbeat heartbeat;
  ASSERT_TRUE(convert::ReadJsonFile(path, &heartbeat).ok());
  EXPECT_EQ(heartbeat.step(), 4);
}

}  // namespace
}  // namespace tunesmith::trainer
