#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>

#include "client/exit_codes.h"
#include "common/file.h"
#include "common/host_fingerprint.h"
#include "proto/convert/json.h"
#include "tests/client/command.h"
#include "tunesmith/v1/calibration.pb.h"

// `tunesmith calibrate` and `calibration`, on this host and on a server.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ServerProcess;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CalibrationCliTest : public ::testing::Test {
 protected:
  std::unique_ptr<ServerProcess> Serve(const std::map<std::string, std::string>& environment = {}) {
    return std::make_unique<ServerProcess>(
        scratch_.path() + "/data", environment,
        std::vector<std::string>{"--profiler", server::FakeProfilerPath()});
  }
  ProcessResult Run(std::vector<std::string> arguments,
                    std::map<std::string, std::string> environment = {}) const {
    environment["XDG_STATE_HOME"] = scratch_.path();
    environment["TUNESMITH_CONFIG"] = config_;
    return Tunesmith(std::move(arguments), environment);
  }
  // A file that import takes.
  std::string File(const std::string& id, double rate = 1e9) const {
    v1::Calibration calibration;
    calibration.set_id(id);
    calibration.set_device_name("cpu");
    calibration.set_fingerprint(HostFingerprint());
    calibration.set_measured_at("2026-03-01T10:15:00Z");
    calibration.set_step_factor(1);
    calibration.set_precision(v1::PRECISION_FP32);
    calibration.set_relative_error(0.12);
    v1::OpRate& point = *calibration.add_rates();
    point.set_op_kind("rms_norm");
    point.set_bytes(4096);
    point.set_bytes_per_second(rate);
    return scratch_.File(id + ".json", convert::ToJson(calibration));
  }

  server::ScratchDirectory scratch_;
  const std::string config_ = scratch_.File("config.yaml", "");
};

TEST_F(CalibrationCliTest, OfThisHostCalibrationsAreFiles) {
  ProcessResult result = Run({"calibration", "import", File("cpu-mine")});
  EXPECT_EQ(result.status, kExitOk) << result.errors;
  EXPECT_TRUE(std::filesystem::exists(scratch_.path() + "/tunesmith/calibrations/cpu-mine.json"));
  EXPECT_THAT(Run({"calibration", "list"}).output,
              AllOf(HasSubstr("cpu-mine"), HasSubstr("12 %"), HasSubstr("in use")));
  EXPECT_EQ(Run({"calibration", "list", "-o", "name"}).output, "cpu-mine\n");
  result = Run({"calibration", "show", "cpu-mine"});
  EXPECT_THAT(result.output, AllOf(HasSubstr("rms_norm"), HasSubstr("GB/s")));
  EXPECT_EQ(Run({"calibration", "show", "cpu-mine", "-o", "json"}).output,
            ReadFile(scratch_.path() + "/cpu-mine.json").value())
      << "what show prints, import takes";
  const std::vector<std::string> question = {"--offline", "recommend", "--model",    "SmolLM2-135M",
                                             "--context", "64",        "--batch",    "1",
                                             "--top",     "1",         "--precision"};
  const auto ask = [&](const std::string& precision) {
    std::vector<std::string> arguments = question;
    arguments.push_back(precision);
    return Run(arguments).output;
  };
  EXPECT_THAT(ask("fp32"), HasSubstr("measured here"));
  EXPECT_THAT(ask("bf16"), AllOf(HasSubstr("datasheet"), HasSubstr("was calibrated in fp32"),
                                 HasSubstr("tunesmith calibrate --precision bf16")));
  EXPECT_EQ(Run({"calibration", "import", File("cpu-mine", 2e9)}).status, kExitError);
  EXPECT_THAT(Run({"calibration", "import", File("cpu-none", -1)}).errors,
              HasSubstr("rates[0].bytes_per_second (rms_norm) is -1"));
  EXPECT_EQ(Run({"calibration", "delete", "cpu-mine"}).status, kExitOk);
  EXPECT_EQ(Run({"calibration", "delete", "cpu-mine"}).status, kExitNotFound);
  EXPECT_THAT(Run({"calibration", "list"}).output, Not(HasSubstr("cpu-mine")));
}

TEST_F(CalibrationCliTest, AServerThatIsNamedMeasuresItsHost) {
  const auto server = Serve();
  ProcessResult result = Run({"--server", server->address(), "calibrate", "--context", "64"});
  EXPECT_EQ(result.status, kExitOk) << result.errors;
  EXPECT_THAT(result.output, StartsWith("calibrations/cpu-"));
  EXPECT_THAT(result.errors, HasSubstr("calibration cancel calibrationRuns/1"));
  const std::map<std::string, std::string> named = {{"TUNESMITH_SERVER", server->address()}};
  EXPECT_THAT(Run({"calibration", "list"}, named).output, HasSubstr("calibrationRuns/1"));
  EXPECT_THAT(Run({"calibration", "list", "--offline"}, named).output,
              Not(HasSubstr("calibrationRuns/1")));
  EXPECT_THAT(Run({"calibration", "runs"}, named).output,
              AllOf(HasSubstr("succeeded"), HasSubstr("SmolLM2-135M")));
  EXPECT_EQ(Run({"calibration", "import", File("cpu-mine")}, named).status, kExitOk);
  EXPECT_THAT(Run({"calibration", "show", "cpu-mine"}, named).output, HasSubstr("imported"));
  EXPECT_EQ(Run({"calibration", "delete", "calibrations/cpu-mine"}, named).status, kExitOk);
  EXPECT_THAT(Run({"calibration", "list", "--deleted"}, named).output, HasSubstr("deleted"));
  EXPECT_EQ(Run({"calibrate", "--out", "x.json"}, named).status, kExitUsage);
}

TEST_F(CalibrationCliTest, RunsAreLeftAndCancelled) {
  const auto server = Serve({{"FAKE_PROBE_MILLISECONDS", "20000"}});
  const std::map<std::string, std::string> named = {{"TUNESMITH_SERVER", server->address()}};
  EXPECT_EQ(Run({"calibrate", "--detach"}, named).output, "calibrationRuns/1\n");
  const ProcessResult second = Run({"calibrate"}, named);
  EXPECT_EQ(second.status, kExitError);
  EXPECT_THAT(second.errors, HasSubstr("calibrationRuns/1 of cpu is"));
  EXPECT_THAT(Run({"calibration", "cancel", "1"}, named).output, HasSubstr("cancelled"));
  EXPECT_EQ(Run({"calibration", "cancel", "2"}, named).status, kExitNotFound);
}

TEST_F(CalibrationCliTest, WhatJobsTookIsReportedFromTheirRunDirectories) {
  EXPECT_EQ(Run({"calibration", "report", "--local"}).status, kExitNotFound) << "no jobs";
  {
    ServerProcess server(scratch_.path() + "/tunesmith", {{"FAKE_MEASURED_STEP_SECONDS", "3"}});
    v1::CreateJobRequest request = server::TestJob(scratch_, 2);
    request.mutable_plan()->mutable_prediction()->mutable_time()->set_step_seconds(2);
    request.mutable_plan()->mutable_prediction()->mutable_time()->set_high_seconds(2.5);
    v1::CreateJobResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(server.jobs().CreateJob(&context, request, &response).ok());
    server.WaitFor(response.job().name());
  }
  const std::string svg = scratch_.path() + "/steps.svg";
  const ProcessResult result = Run({"calibration", "report", "--local", "--svg", svg});
  EXPECT_EQ(result.status, kExitOk) << result.errors;
  EXPECT_THAT(result.output, AllOf(HasSubstr("50.0 %"), HasSubstr("lora")));
  EXPECT_THAT(ReadFile(svg).value(), AllOf(StartsWith("<svg"), HasSubstr("cpu, lora")));
}

TEST_F(CalibrationCliTest, ARunThatFailsSaysWhy) {
  const auto server = Serve({{"FAKE_ERROR", "the machine is too busy"}});
  const ProcessResult result = Run({"--server", server->address(), "calibrate"});
  EXPECT_EQ(result.status, kExitJobFailed);
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(result.errors, HasSubstr("the machine is too busy"));
}

}  // namespace
}  // namespace tunesmith::client
