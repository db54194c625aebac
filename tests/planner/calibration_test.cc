#include "planner/price/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "planner/answer/prediction.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Calibration Valid() {
  Calibration calibration;
  calibration.id = "host-1";
  calibration.device_name = "cpu";
  calibration.gemm = {
      {.op_kind = "linear", .m = 128, .n = 576, .k = 576, .flops_per_second = 4e10}};
  calibration.rates = {{.op_kind = "rms_norm", .bytes = 1000, .bytes_per_second = 1e10}};
  return calibration;
}

TEST(CalibrationTest, ValidAndEmptyPass) {
  EXPECT_TRUE(ValidateCalibration(Valid()).ok());
  EXPECT_TRUE(ValidateCalibration(Calibration()).ok());
}

TEST(CalibrationTest, NamesEveryBadEntry) {
  Calibration bad = Valid();
  bad.device_name = "";
  bad.gemm[0].n = 0;
  bad.gemm[0].flops_per_second = std::numeric_limits<double>::infinity();
  bad.rates[0].bytes_per_second = std::nan("");
  bad.rates.push_back({.op_kind = "", .bytes_per_second = 1});
  bad.launch_seconds = -1;
  bad.step_factor = 0;
  bad.relative_error = -0.1;
  bad.outside_arena_bytes = -7;
  EXPECT_THAT(ValidateCalibration(bad).message(),
              AllOf(HasSubstr("'host-1'"), HasSubstr("device_name is empty"),
                    HasSubstr("gemm[0].n is 0"), HasSubstr("gemm[0].flops_per_second is inf"),
                    HasSubstr("rates[0].bytes_per_second (rms_norm) is nan"),
                    HasSubstr("rates[1].op_kind is empty"), HasSubstr("launch_seconds is -1"),
                    HasSubstr("step_factor is 0"), HasSubstr("relative_error is -0.1"),
                    HasSubstr("outside_arena_bytes is -7")));
}

TEST(CalibrationTest, TwoPointsAtOnePlaceAreRefused) {
  Calibration bad = Valid();
  bad.gemm.push_back(bad.gemm[0]);
  bad.gemm.back().flops_per_second = 1e9;
  bad.rates.push_back({.op_kind = "rms_norm", .bytes = 1000, .bytes_per_second = 1e9});
  bad.attention = {
      {"attention", 64, 64, 1e9}, {"flash_attention", 64, 64, 1e9}, {"attention", 64, 64, 1e9}};
  EXPECT_THAT(ValidateCalibration(bad).message(),
              AllOf(HasSubstr("gemm[1] is at the same place as gemm[0]"),
                    HasSubstr("rates[1] is at the same place as rates[0]"),
                    HasSubstr("attention[2] is at the same place as attention[0]")));
}

TEST(CalibrationTest, TheOrderOfThePointsDoesNotMatter) {
  Calibration sorted = Valid();
  for (const int64_t size : {32, 64, 256, 512, 2048}) {
    sorted.gemm.push_back({"linear", size, size, size, 1e9 * static_cast<double>(size)});
    sorted.rates.push_back({"rms_norm", size * 100, 1e7 * static_cast<double>(size)});
  }
  Calibration reversed = sorted;
  std::reverse(reversed.gemm.begin(), reversed.gemm.end());
  std::reverse(reversed.rates.begin(), reversed.rates.end());
  ASSERT_TRUE(ValidateCalibration(reversed).ok());
  const Hardware cpu = *FindHardware("cpu");
  const Program program = *BuildProgram(ToyInputs(ToyModel(2, true), {}));
  EXPECT_EQ(PriceStep(program, PriceTable(cpu, sorted, Precision::kFp32)).step_picoseconds,
            PriceStep(program, PriceTable(cpu, reversed, Precision::kFp32)).step_picoseconds);
}

TEST(PredictionNamesTest, AreDistinct) {
  std::set<std::string_view> names;
  for (int i = 0; i < kMemoryClassCount; ++i)
    names.insert(MemoryClassName(static_cast<MemoryClass>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kMemoryClassCount));
  EXPECT_EQ(MemoryClassName(MemoryClass::kWeights), "weights");
  EXPECT_EQ(EvidenceName(Evidence::kMeasuredOnKind), "measured on this GPU kind");
}

}  // namespace
}  // namespace tunesmith::planner
