#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tests/server/api_calls.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {

// A server with a profiler, a stand-in unless told, and its calibrations and their runs. Where a call fails that should not, the test does.
class CalibrationTest : public ::testing::Test {
 protected:
  using Stub = v1::CalibrationService::Stub;

  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  std::unique_ptr<ServerProcess> Serve(const std::map<std::string, std::string>& environment = {},
                                       const std::string& profiler = FakeProfilerPath());

  static grpc::Status TryStart(ServerProcess& server, const v1::StartCalibrationRequest& request,
                               v1::CalibrationRun* run = nullptr);
  // The run's name.
  static std::string Start(ServerProcess& server, const v1::StartCalibrationRequest& request = {});
  static grpc::Status Cancel(ServerProcess& server, const std::string& name);

  static v1::CalibrationRun Get(ServerProcess& server, const std::string& name);
  // The run as it is when the condition holds. Fails the test after a minute.
  static v1::CalibrationRun WaitUntil(ServerProcess& server, const std::string& name,
                                      absl::FunctionRef<bool(const v1::CalibrationRun&)> condition);
  static v1::CalibrationRun WaitForEnd(ServerProcess& server, const std::string& name);
  static v1::CalibrationRun WaitForProbe(ServerProcess& server, const std::string& name);

  static v1::ListCalibrationsResponse List(ServerProcess& server, bool deleted = false);
  // The calibration that a question about the CPU is answered by; empty: datasheets.
  static std::string CalibrationOfAnAnswer(ServerProcess& server);

  // The arguments of every profiler that was started, and whether two ran at once.
  std::vector<std::string> Starts() const;
  bool Overlapped() const;
  // Calibrations that are kept.
  int CountFiles() const;

  ScratchDirectory scratch_;
};

}  // namespace tunesmith::server
