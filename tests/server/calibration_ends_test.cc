#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "tests/server/calibration_fixture.h"

// Runs that are cancelled, whose profiler ends, or whose server is killed and started again.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

TEST_F(CalibrationTest, ACancelledRunLeavesNothingAndItsProfilerEnds) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "400"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  ASSERT_TRUE(Cancel(*server, name).ok());
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_CANCELLED);
  EXPECT_THAT(run.reason(), HasSubstr("kept for the next run"));
  EXPECT_EQ(kill(static_cast<pid_t>(run.progress().process_id()), 0), -1);
  EXPECT_EQ(CountFiles(), 0);
  const grpc::Status again = Cancel(*server, name);
  EXPECT_EQ(ReasonOf(again), "CALIBRATION_RUN_HAS_ENDED");
}

TEST_F(CalibrationTest, AKilledProfilerFailsTheRunAndLeavesNothing) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "400"}});
  const std::string name = Start(*server);
  kill(static_cast<pid_t>(WaitForProbe(*server, name).progress().process_id()), SIGKILL);
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
  EXPECT_THAT(run.reason(), HasSubstr("was killed"));
  EXPECT_EQ(CountFiles(), 0);
  EXPECT_EQ(List(*server).calibrations_size(), 0);
}

TEST_F(CalibrationTest, AProfilerThatSaysWhyItEndsIsQuoted) {
  const auto server = Serve({{"FAKE_ERROR", "the machine is too busy"}});
  const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
  EXPECT_EQ(run.reason(), "the machine is too busy");
}

TEST_F(CalibrationTest, AProfilerThatCannotBeStartedIsNamed) {
  {
    const auto server = Serve({}, "/absent/tunesmith-profiler");
    const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
    EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_FAILED);
    EXPECT_THAT(run.reason(), HasSubstr("/absent/tunesmith-profiler"));
  }
  const auto server = Serve({{"FAKE_DIES_AT_ONCE", "1"}});
  const v1::CalibrationRun run = WaitForEnd(*server, Start(*server));
  EXPECT_THAT(run.reason(), HasSubstr("ended before it measured"));
}

TEST_F(CalibrationTest, ARunGoesOnWhileTheServerIsAway) {
  auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "200"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  server->Kill();
  server = Serve();
  const v1::CalibrationRun run = WaitForEnd(*server, name);
  EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << run.reason();
  EXPECT_EQ(Starts().size(), 1u);
  EXPECT_EQ(List(*server).calibrations(0).source(), name);
}

TEST_F(CalibrationTest, ARunThatEndsWhileTheServerIsAwayIsFoundEnded) {
  auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "50"}});
  const std::string name = Start(*server);
  WaitForProbe(*server, name);
  server->Kill();
  for (int i = 0; i < 500 && CountFiles() == 0; ++i) absl::SleepFor(absl::Milliseconds(20));
  server = Serve();
  EXPECT_EQ(WaitForEnd(*server, name).state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED);
}

TEST_F(CalibrationTest, AServerKilledAroundTheStartMeasuresOnce) {
  for (const char* point : {"before_calibration", "after_calibration_start"}) {
    std::filesystem::remove_all(DataDirectory());
    auto server = Serve({{"TUNESMITH_FAIL_POINT", point}, {"FAKE_PROBE_MILLISECONDS", "100"}});
    const std::string name = Start(*server);
    for (int i = 0; i < 500 && !server->HasEnded(); ++i) absl::SleepFor(absl::Milliseconds(20));
    ASSERT_TRUE(server->HasEnded()) << point;
    server = Serve({{"FAKE_PROBE_MILLISECONDS", "100"}});
    const v1::CalibrationRun run = WaitForEnd(*server, name);
    EXPECT_EQ(run.state(), v1::CALIBRATION_RUN_STATE_SUCCEEDED) << point << ": " << run.reason();
    EXPECT_EQ(Starts().size(), 1u) << point;
    EXPECT_EQ(CountFiles(), 1) << point;
    EXPECT_FALSE(Overlapped()) << point;
  }
}

}  // namespace
}  // namespace tunesmith::server
