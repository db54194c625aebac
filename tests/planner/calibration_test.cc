#include "planner/price/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "planner/answer/prediction.h"

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
