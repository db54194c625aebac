#include "profiler/fit_calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "common/random.h"
#include "common/units.h"
#include "planner/model/hardware.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "profiler/short_runs.h"
#include "tests/benchmarks/accuracy_points.h"

namespace tunesmith::profiler {
namespace {

TEST(ConformalHalfWidthTest, IsTheOrderStatisticThatNewErrorsAreWithin) {
  std::vector<double> errors;
  for (int i = 20; i >= 1; --i) errors.push_back(0.01 * i);
  EXPECT_DOUBLE_EQ(ConformalHalfWidth(errors, 0.9), 0.19);  // ceil(0.9 x 21) = 19
  errors.pop_back();
  EXPECT_DOUBLE_EQ(ConformalHalfWidth(errors, 0.9), 0.19);  // 0.9 x 20 = 18 of 0.02 to 0.20
  EXPECT_DOUBLE_EQ(ConformalHalfWidth({0.3, 0.1}, 0.9), 0.3) << "too few: the largest";
  EXPECT_EQ(ConformalHalfWidth({}, 0.9), 0);
}

// A new error of the same kind lies within it as often as is said, whatever the kind.
TEST(ConformalHalfWidthTest, Covers) {
  constexpr int kTrials = 4000, kCount = 19;
  int covered = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const uint64_t key = RandomKey(3, static_cast<uint64_t>(trial));
    std::vector<double> errors;
    for (uint64_t i = 0; i < kCount; ++i) errors.push_back(std::exp(RandomNormal(key, i)));
    covered += std::exp(RandomNormal(key, kCount)) <= ConformalHalfWidth(errors, 0.9) ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(covered) / kTrials, 0.9, 0.02);
}

TEST(NormalHalfWidthTest, IsStudentsQuantileTimesTheRootMeanSquare) {
  EXPECT_NEAR(NormalHalfWidth(std::vector<double>(20, 0.04)), 1.725 * 0.04, 1e-3 * 0.04 * 5);
  EXPECT_NEAR(NormalHalfWidth(std::vector<double>(10, 0.04)), 1.812 * 0.04, 2e-2 * 0.04);
  EXPECT_EQ(NormalHalfWidth({}), 0);
}

// Samples of a machine whose rates are known, whose steps take `factor` times their ops, each off by what `noise` says.
class FitCalibrationTest : public ::testing::Test {
 protected:
  template <typename Noise>
  std::vector<Sample> SamplesOf(double factor, const Noise& noise) {
    std::vector<planner::ProgramInputs> inputs = ShortRuns(planner::Precision::kFp32, {});
    std::vector<Sample> samples;
    for (planner::ProgramInputs& in : inputs) {
      auto program = std::make_shared<const planner::Program>(planner::BuildProgram(in).value());
      const double error = noise(samples.size());
      samples.push_back(SampleOf(program, factor * (1 + error)));
    }
    return samples;
  }

  Sample SampleOf(const std::shared_ptr<const planner::Program>& program, double factor) const {
    Sample sample{.program = program, .ops = OpStatistics(program.get()), .is_short_run = true};
    for (const planner::Segment& segment : program->segments) {
      if (segment.repeat_count == 0) continue;
      for (const planner::BlockRun& run : segment.runs)
        for (const planner::Op& op : program->blocks[static_cast<size_t>(run.block)].ops)
          Observe(*program, op, segment.kind, sample.ops);
    }
    sample.step_seconds =
        factor * 1e-12 * static_cast<double>(planner::PriceStep(*program, truth_).step_picoseconds);
    return sample;
  }

  void Observe(const planner::Program& program, const planner::Op& op, planner::SegmentKind kind,
               OpStatistics& ops) const {
    if (!planner::Runs(op, kind, program.inputs.mix.accumulation_count)) return;
    trainer::OpCall call;
    call.attributes.accumulate = planner::Accumulates(op, kind);
    ops.OnOp(op, call, 1e-12 * static_cast<double>(truth_.Picoseconds(program, op, kind)));
  }

  // Of what is predicted over what is true, by program: the most over the least.
  double Unevenness(const std::vector<Sample>& samples,
                    const planner::Calibration& calibration) const {
    const planner::PriceTable prices(planner::FindHardware("cpu").value(), calibration,
                                     planner::Precision::kFp32);
    std::vector<double> ratios;
    for (const Sample& sample : samples)
      ratios.push_back(
          static_cast<double>(planner::PriceStep(*sample.program, prices).step_picoseconds) /
          static_cast<double>(planner::PriceStep(*sample.program, truth_).step_picoseconds));
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    return *most / *least;
  }

  static planner::Calibration Begun() {
    planner::Calibration calibration;
    calibration.id = "cpu-1";
    calibration.device_name = "cpu";
    return calibration;
  }

  planner::Calibration Truth() const {
    planner::Calibration truth =
        ReadMeasuredHost("tests/profiler/testdata/xeon-2-processors.json")->calibration;
    truth.step_factor = 1;
    return truth;
  }

  const planner::PriceTable truth_{planner::FindHardware("cpu").value(), Truth(),
                                   planner::Precision::kFp32};
};

TEST_F(FitCalibrationTest, FindsTheStepFactorAndSaysThatItIsGood) {
  planner::Calibration calibration = Begun();
  ASSERT_TRUE(FitCalibration(SamplesOf(1.07, [](size_t) { return 0.0; }), calibration).ok());
  EXPECT_NEAR(calibration.step_factor, 1.07, 0.02);
  EXPECT_TRUE(planner::ValidateCalibration(calibration).ok());
}

TEST_F(FitCalibrationTest, TheIntervalIsAsWideAsShortRunsAreOff) {
  planner::Calibration quiet = Begun(), noisy = Begun();
  const auto off = [](size_t i) { return i % 2 == 0 ? 0.3 : -0.3; };
  ASSERT_TRUE(FitCalibration(SamplesOf(1, [](size_t) { return 0.0; }), quiet).ok());
  ASSERT_TRUE(FitCalibration(SamplesOf(1, off), noisy).ok());
  EXPECT_LT(quiet.relative_error, 0.25);
  EXPECT_GT(noisy.relative_error, 0.3);
}

TEST_F(FitCalibrationTest, ProbesSayNothingOfTheIntervalWhereThereAreShortRuns) {
  std::vector<Sample> samples = SamplesOf(1, [](size_t i) { return i < 5 ? 1.5 : 0.0; });
  planner::Calibration with_probes = Begun();
  for (size_t i = 0; i < 5; ++i) samples[i].is_short_run = false;
  ASSERT_TRUE(FitCalibration(samples, with_probes).ok());
  EXPECT_LT(with_probes.relative_error, 0.5);
}

// A job of a GPU may load any kernel; a host's process keeps what the profiler itself does not need any more.
TEST_F(FitCalibrationTest, BesideTheArenaAHostTakesTheLeastAndAGpuTheMost) {
  std::vector<Sample> samples = SamplesOf(1, [](size_t) { return 0.0; });
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i].outside_arena_bytes = static_cast<int64_t>(500 + i) * kMiB;
  planner::Calibration host = Begun(), gpu = Begun();
  gpu.device_name = "H100-SXM";
  ASSERT_TRUE(FitCalibration(samples, host).ok());
  ASSERT_TRUE(FitCalibration(samples, gpu).ok());
  EXPECT_EQ(host.outside_arena_bytes, 500 * kMiB);
  EXPECT_EQ(gpu.outside_arena_bytes,
            static_cast<int64_t>(500 + samples.size() - 1) * kMiB + 2 * kMiB);
  for (Sample& sample : samples) sample.outside_arena_bytes = 0;
  ASSERT_TRUE(FitCalibration(samples, gpu).ok());
  EXPECT_EQ(gpu.outside_arena_bytes, 0) << "not measured";
}

// The machine gets slower by a third for the second half of the run, which the pace shows; or the pace varies without rhyme, which steps do not.
TEST_F(FitCalibrationTest, APaceThatLastsIsTakenOutAndOneThatDoesNotIsNot) {
  constexpr size_t kHalf = 10;
  std::vector<Sample> slow = SamplesOf(1, [](size_t i) { return i < kHalf ? 0.0 : 1.0 / 3; });
  std::vector<Sample> shaky = SamplesOf(1, [](size_t) { return 0.0; });
  for (size_t i = 0; i < slow.size(); ++i) {
    if (i >= kHalf) {
      OpStatistics slower(slow[i].program.get());
      slower.Merge(slow[i].ops, 0.75);
      slow[i].ops = slower;
    }
    slow[i].pace_before_seconds = i <= kHalf ? 0.03 : 0.04;
    slow[i].pace_after_seconds = i < kHalf ? 0.03 : 0.04;
    shaky[i].pace_before_seconds = i % 2 == 0 ? 0.03 : 0.04;
    shaky[i].pace_after_seconds = i % 2 == 0 ? 0.04 : 0.03;
  }
  planner::Calibration paced = Begun(), unpaced = Begun(), noisy = Begun(), still = Begun();
  ASSERT_TRUE(FitCalibration(slow, paced).ok());
  ASSERT_TRUE(FitCalibration(shaky, noisy).ok());
  for (std::vector<Sample>* samples : {&slow, &shaky})
    for (Sample& sample : *samples) sample.pace_before_seconds = 0;
  ASSERT_TRUE(FitCalibration(slow, unpaced).ok());
  ASSERT_TRUE(FitCalibration(shaky, still).ok());
  EXPECT_LT(Unevenness(slow, paced), Unevenness(slow, unpaced));
  EXPECT_EQ(noisy.gemm.size(), still.gemm.size());
  for (size_t i = 0; i < noisy.gemm.size(); ++i)
    EXPECT_DOUBLE_EQ(noisy.gemm[i].flops_per_second, still.gemm[i].flops_per_second);
}

TEST_F(FitCalibrationTest, OneSampleIsEnoughForRates) {
  planner::Calibration calibration = Begun();
  std::vector<Sample> samples = SamplesOf(1.1, [](size_t) { return 0.0; });
  samples.erase(samples.begin() + 1, samples.end());
  ASSERT_TRUE(FitCalibration(samples, calibration).ok());
  EXPECT_NEAR(calibration.step_factor, 1.1, 0.01);
}

}  // namespace
}  // namespace tunesmith::profiler
