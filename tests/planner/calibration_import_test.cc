#include "planner/price/calibration_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// As the profiler writes it.
Calibration Sorted() {
  Calibration calibration;
  calibration.id = "cpu-20260301T101500";
  calibration.device_name = "cpu";
  calibration.gemm = {{"linear", 64, 576, 576, 1e10},
                      {"linear", 128, 64, 576, 2e10},
                      {"linear", 128, 576, 64, 2e10},
                      {"linear_backward_input", 32, 576, 576, 1e10}};
  calibration.attention = {{"flash_attention", 64, 64, 1e10}, {"flash_attention", 128, 32, 1e10}};
  calibration.rates = {{"rope", 1000, 1e10}, {"rope", 2000, 1e10}, {"rms_norm", 500, 1e10}};
  return calibration;
}

TEST(CalibrationImportTest, WhatTheProfilerWritesPasses) {
  const absl::Status status = ValidateImportedCalibration(Sorted());
  EXPECT_TRUE(status.ok()) << status;
}

TEST(CalibrationImportTest, EntriesThatAreNotSortedAreNamed) {
  Calibration bad = Sorted();
  std::swap(bad.gemm[0], bad.gemm[1]);
  std::swap(bad.attention[0], bad.attention[1]);
  bad.rates.push_back({"rope", 3000, 1e10});
  const absl::Status status = ValidateImportedCalibration(bad);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      status.message(),
      AllOf(HasSubstr("gemm[1] is not sorted"), HasSubstr("attention[1] is not sorted"),
            HasSubstr("rates[3] is not sorted: other entries of rope"), Not(HasSubstr("gemm[2]"))));
}

TEST(CalibrationImportTest, EntriesOfOtherTablesAndVersionsAreNamed) {
  Calibration bad = Sorted();
  bad.gemm[3].op_kind = "rms_norm";
  bad.attention[0].op_kind = "linear";
  bad.rates[2].op_kind = "fourier_transform";
  EXPECT_THAT(ValidateImportedCalibration(bad).message(),
              AllOf(HasSubstr("gemm[3].op_kind is \"rms_norm\""),
                    HasSubstr("attention[0].op_kind is \"linear\""),
                    HasSubstr("rates[2].op_kind is \"fourier_transform\"")));
}

TEST(CalibrationImportTest, NumbersThatNoMachineHasAreNamed) {
  Calibration bad = Sorted();
  bad.gemm[1].flops_per_second = std::nan("");
  bad.rates[0].bytes_per_second = -5;
  EXPECT_THAT(ValidateImportedCalibration(bad).message(),
              AllOf(HasSubstr("gemm[1].flops_per_second is nan"),
                    HasSubstr("rates[0].bytes_per_second (rope) is -5")));
}

TEST(CalibrationImportTest, AnIdMustBeAFileName) {
  for (const char* id : {"../etc/passwd", ".hidden", "a b", "caf\xc3\xa9", "a/b"}) {
    Calibration bad = Sorted();
    bad.id = id;
    EXPECT_THAT(ValidateImportedCalibration(bad).message(), HasSubstr("id must be")) << id;
  }
  Calibration longest = Sorted();
  longest.id = std::string(64, 'x');
  EXPECT_TRUE(ValidateImportedCalibration(longest).ok());
  longest.id += 'x';
  EXPECT_FALSE(ValidateImportedCalibration(longest).ok());
}

}  // namespace
}  // namespace tunesmith::planner
