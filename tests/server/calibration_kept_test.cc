#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "common/host_fingerprint.h"
#include "tests/server/calibration_fixture.h"

// Calibrations that a server keeps: those that were made elsewhere, what is deleted, and lists.
namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// As a profiler of this host writes it.
v1::Calibration Elsewhere(const std::string& id) {
  v1::Calibration calibration;
  calibration.set_id(id);
  calibration.set_device_name("cpu");
  calibration.set_fingerprint(HostFingerprint());
  calibration.set_measured_at("2026-03-01T10:15:00Z");
  calibration.set_step_factor(1);
  calibration.set_relative_error(0.1);
  for (const int64_t bytes : {1000, 2000}) {
    v1::OpRate& rate = *calibration.add_rates();
    rate.set_op_kind("rms_norm");
    rate.set_bytes(bytes);
    rate.set_bytes_per_second(1e9);
  }
  return calibration;
}

grpc::Status Import(ServerProcess& server, const v1::Calibration& calibration) {
  v1::ImportCalibrationRequest request;
  *request.mutable_calibration() = calibration;
  v1::ImportCalibrationResponse response;
  return Call(server.calibrations(), &v1::CalibrationService::Stub::ImportCalibration, request,
              &response);
}

grpc::Status Delete(ServerProcess& server, const std::string& name) {
  v1::DeleteCalibrationRequest request;
  request.set_name(name);
  v1::DeleteCalibrationResponse response;
  return Call(server.calibrations(), &v1::CalibrationService::Stub::DeleteCalibration, request,
              &response);
}

TEST_F(CalibrationTest, AnImportedCalibrationIsUsedUntilItIsDeleted) {
  auto server = Serve();
  ASSERT_TRUE(Import(*server, Elsewhere("cpu-old")).ok());
  v1::Calibration newer = Elsewhere("cpu-new");
  newer.set_measured_at("2026-04-01T10:15:00Z");
  ASSERT_TRUE(Import(*server, newer).ok());
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "cpu-new");
  v1::ListCalibrationsResponse list = List(*server);
  ASSERT_EQ(list.calibrations_size(), 2);
  EXPECT_EQ(list.calibrations(1).use(), v1::CALIBRATION_USE_OLDER);
  EXPECT_EQ(list.calibrations(1).source(), "imported");
  EXPECT_TRUE(Import(*server, newer).ok()) << "the same once more";
  newer.set_step_factor(2);
  const grpc::Status taken = Import(*server, newer);
  EXPECT_EQ(ReasonOf(taken), "CALIBRATION_ID_TAKEN");

  ASSERT_TRUE(Delete(*server, "calibrations/cpu-new").ok());
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "cpu-old");
  EXPECT_EQ(List(*server).calibrations_size(), 1);
  EXPECT_EQ(List(*server, true).calibrations_size(), 2);
  EXPECT_TRUE(Delete(*server, "calibrations/cpu-new").ok()) << "twice";
  EXPECT_EQ(Delete(*server, "calibrations/absent").error_code(), grpc::StatusCode::NOT_FOUND);

  server.reset();
  server = Serve();
  v1::GetCalibrationRequest request;
  request.set_name("calibrations/cpu-new");
  v1::GetCalibrationResponse kept;
  ASSERT_TRUE(Call(server->calibrations(), &Stub::GetCalibration, request, &kept).ok())
      << "plans may name it";
  EXPECT_EQ(kept.calibration().use(), v1::CALIBRATION_USE_DELETED);
  EXPECT_EQ(kept.calibration().calibration().rates_size(), 2);
}

TEST_F(CalibrationTest, ARepeatedImportGetsTheStoredAnswerAndAnotherBodyIsRefused) {
  const auto server = Serve();
  v1::ImportCalibrationRequest request;
  *request.mutable_calibration() = Elsewhere("cpu-once");
  request.set_request_id("import-1");
  v1::ImportCalibrationResponse first;
  ASSERT_TRUE(Call(server->calibrations(), &Stub::ImportCalibration, request, &first).ok());
  ASSERT_TRUE(Delete(*server, "calibrations/cpu-once").ok());
  v1::ImportCalibrationResponse again;
  ASSERT_TRUE(Call(server->calibrations(), &Stub::ImportCalibration, request, &again).ok());
  EXPECT_EQ(again.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(List(*server).calibrations_size(), 0) << "a repetition does nothing";
  *request.mutable_calibration() = Elsewhere("cpu-other");
  const grpc::Status reused =
      Call(server->calibrations(), &Stub::ImportCalibration, request, &again);
  EXPECT_EQ(reused.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(reused), "REQUEST_ID_REUSED");
  EXPECT_EQ(List(*server).calibrations_size(), 0);
}

TEST_F(CalibrationTest, TablesThatCannotBeRightAreRefusedAndEveryEntryNamed) {
  const auto server = Serve();
  v1::Calibration bad = Elsewhere("cpu-bad");
  bad.mutable_rates(0)->set_bytes_per_second(std::numeric_limits<double>::quiet_NaN());
  bad.mutable_rates(1)->set_bytes_per_second(-1e9);
  grpc::Status status = Import(*server, bad);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("rates[0].bytes_per_second (rms_norm) is nan"),
                    HasSubstr("rates[1].bytes_per_second (rms_norm) is -1e")));
  bad = Elsewhere("cpu-bad");
  bad.mutable_rates()->SwapElements(0, 1);
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("rates[1] is not sorted"));
  bad = Elsewhere("cpu-bad");
  bad.mutable_rates(1)->set_op_kind("fourier_transform");
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("rates[1].op_kind"));
  bad = Elsewhere("../tunesmith");
  EXPECT_THAT(Import(*server, bad).error_message(), HasSubstr("id must be"));
  bad = Elsewhere("cpu-bad");
  bad.set_fingerprint("a pocket calculator");
  EXPECT_EQ(ReasonOf(Import(*server, bad)), "CALIBRATION_OF_ANOTHER_HOST");
  bad.set_device_name("B201");
  EXPECT_EQ(ReasonOf(Import(*server, bad)), "GPU_NOT_FOUND");
  EXPECT_EQ(CountFiles(), 0);
  EXPECT_EQ(List(*server, true).calibrations_size(), 0);
}

TEST_F(CalibrationTest, AFileThatIsRemovedByHandLeavesItsHistory) {
  const auto server = Serve();
  ASSERT_TRUE(Import(*server, Elsewhere("cpu-1")).ok());
  std::filesystem::remove(DataDirectory() + "/calibrations/cpu-1.json");
  EXPECT_EQ(CalibrationOfAnAnswer(*server), "");
  const v1::ListCalibrationsResponse list = List(*server, true);
  ASSERT_EQ(list.calibrations_size(), 1);
  EXPECT_EQ(list.calibrations(0).use(), v1::CALIBRATION_USE_DELETED);
}

TEST_F(CalibrationTest, ListsComeInPages) {
  const auto server = Serve();
  for (int i = 0; i < 3; ++i) {
    WaitForEnd(*server, Start(*server));
    ASSERT_TRUE(Import(*server, Elsewhere("cpu-" + std::to_string(i))).ok());
  }
  v1::ListCalibrationRunsRequest runs;
  runs.set_page_size(2);
  v1::ListCalibrationRunsResponse page;
  ASSERT_TRUE(Call(server->calibrations(), &Stub::ListCalibrationRuns, runs, &page).ok());
  EXPECT_EQ(page.runs(0).name(), "calibrationRuns/3");
  runs.set_page_token(page.next_page_token());
  ASSERT_TRUE(Call(server->calibrations(), &Stub::ListCalibrationRuns, runs, &page).ok());
  ASSERT_EQ(page.runs_size(), 1);
  EXPECT_EQ(page.runs(0).name(), "calibrationRuns/1");
  EXPECT_EQ(page.next_page_token(), "");
  v1::ListCalibrationsRequest calibrations;
  calibrations.set_page_size(5);
  v1::ListCalibrationsResponse first;
  ASSERT_TRUE(Call(server->calibrations(), &Stub::ListCalibrations, calibrations, &first).ok());
  EXPECT_EQ(first.calibrations_size(), 5);
  calibrations.set_page_token(first.next_page_token());
  calibrations.set_device_name("A100-80GB");
  EXPECT_EQ(
      Call(server->calibrations(), &Stub::ListCalibrations, calibrations, &first).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT)
      << "another query";
}

}  // namespace
}  // namespace tunesmith::server
