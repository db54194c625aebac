#include "tests/server/calibration_fixture.h"

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"

namespace tunesmith::server {

std::unique_ptr<ServerProcess> CalibrationTest::Serve(
    const std::map<std::string, std::string>& environment, const std::string& profiler) {
  return std::make_unique<ServerProcess>(DataDirectory(), environment,
                                         std::vector<std::string>{"--profiler", profiler});
}

grpc::Status CalibrationTest::TryStart(ServerProcess& server,
                                       const v1::StartCalibrationRequest& request,
                                       v1::CalibrationRun* run) {
  v1::StartCalibrationResponse response;
  const grpc::Status status =
      Call(server.calibrations(), &Stub::StartCalibration, request, &response);
  if (run != nullptr) *run = response.run();
  return status;
}

std::string CalibrationTest::Start(ServerProcess& server,
                                   const v1::StartCalibrationRequest& request) {
  v1::CalibrationRun run;
  const grpc::Status status = TryStart(server, request, &run);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return run.name();
}

v1::CalibrationRun CalibrationTest::Get(ServerProcess& server, const std::string& name) {
  v1::GetCalibrationRunRequest request;
  request.set_name(name);
  v1::GetCalibrationRunResponse response;
  const grpc::Status status =
      Call(server.calibrations(), &Stub::GetCalibrationRun, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.run();
}

v1::CalibrationRun CalibrationTest::WaitUntil(
    ServerProcess& server, const std::string& name,
    absl::FunctionRef<bool(const v1::CalibrationRun&)> condition) {
  v1::CalibrationRun run;
  for (int i = 0; i < 3000; ++i) {
    run = Get(server, name);
    if (condition(run)) return run;
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << "did not get there: " << run.DebugString();
  return run;
}

v1::CalibrationRun CalibrationTest::WaitForEnd(ServerProcess& server, const std::string& name) {
  return WaitUntil(server, name, [](const v1::CalibrationRun& run) { return run.has_end_time(); });
}

v1::CalibrationRun CalibrationTest::WaitForProbe(ServerProcess& server, const std::string& name) {
  return WaitUntil(server, name, [](const v1::CalibrationRun& run) {
    return run.progress().done_probe_count() > 0;
  });
}

grpc::Status CalibrationTest::Cancel(ServerProcess& server, const std::string& name) {
  v1::CancelCalibrationRunRequest request;
  request.set_name(name);
  v1::CancelCalibrationRunResponse response;
  return Call(server.calibrations(), &Stub::CancelCalibrationRun, request, &response);
}

v1::ListCalibrationsResponse CalibrationTest::List(ServerProcess& server, bool deleted) {
  v1::ListCalibrationsRequest request;
  request.set_show_deleted(deleted);
  v1::ListCalibrationsResponse response;
  EXPECT_TRUE(Call(server.calibrations(), &Stub::ListCalibrations, request, &response).ok());
  return response;
}

std::string CalibrationTest::CalibrationOfAnAnswer(ServerProcess& server) {
  v1::RecommendRequest request;
  request.mutable_question()->set_model_name("SmolLM2-135M");
  request.mutable_question()->set_device_name("cpu");
  request.mutable_question()->mutable_workload()->set_context(64);
  request.mutable_question()->mutable_workload()->set_rows_per_step(1);
  v1::RecommendResponse response;
  grpc::ClientContext context;
  EXPECT_TRUE(server.recommender().Recommend(&context, request, &response).ok());
  EXPECT_EQ(response.calibration_id(), response.plan().calibration_id());
  return response.calibration_id();
}

std::vector<std::string> CalibrationTest::Starts() const {
  std::ifstream file(DataDirectory() + "/calibration-runs/starts");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

bool CalibrationTest::Overlapped() const {
  return std::filesystem::exists(DataDirectory() + "/calibration-runs/overlap");
}

int CalibrationTest::CountFiles() const {
  int count = 0;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(DataDirectory() + "/calibrations", error))
    count += entry.path().extension() == ".json";
  return count;
}

}  // namespace tunesmith::server
