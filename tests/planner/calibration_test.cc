#include "planner/price/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "planner/answer/predict.h"
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

TEST(CalibrationTest, InAnotherPrecisionOnlyTheMachineIsKnown) {
  Calibration calibration = Valid();
  calibration.outside_arena_bytes = 5;
  calibration.host_memory_bytes_per_second = 6;
  calibration.sharing_factor = 1.5;
  EXPECT_EQ(InPrecision(calibration, Precision::kFp32).gemm.size(), 1u);
  const Calibration other = InPrecision(calibration, Precision::kBf16);
  EXPECT_EQ(other.id, "");
  EXPECT_EQ(other.device_name, "cpu");
  EXPECT_EQ(other.precision, Precision::kFp32) << "what was measured, for those who ask";
  EXPECT_TRUE(other.gemm.empty() && other.rates.empty());
  EXPECT_EQ(other.outside_arena_bytes, 5);
  EXPECT_EQ(other.host_memory_bytes_per_second, 6);
  EXPECT_EQ(other.sharing_factor, 0) << "of ops, so of the precision";
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

// Of the op of that kind that takes longest, in seconds.
double SecondsOf(const Program& program, OpKind kind, const PriceTable& prices) {
  int64_t longest = 0;
  for (const Segment& segment : program.segments) {
    if (segment.repeat_count == 0) continue;
    for (const BlockRun& run : segment.runs)
      for (const Op& op : program.blocks[static_cast<size_t>(run.block)].ops)
        if (op.kind == kind)
          longest = std::max(longest, prices.Picoseconds(program, op, segment.kind));
  }
  EXPECT_GT(longest, 0) << "the program has no " << OpKindName(kind);
  return 1e-12 * static_cast<double>(longest);
}

TEST(CalibrationTest, CollectivesArePricedByTheirGroups) {
  Calibration calibration = Valid();
  const Hardware cpu = *FindHardware("cpu");
  for (const int64_t bytes : {10000, 20000, 40000, 80000}) {
    calibration.rates.push_back({"all_reduce", bytes, 4e9, 2});
    calibration.rates.push_back({"all_reduce", bytes, 1e9, 4});
  }
  ASSERT_TRUE(ValidateCalibration(calibration).ok());
  const auto seconds = [&](int64_t ranks) {
    const Program program =
        *BuildProgram(ToyInputs(EvenToyModel(2, true), {.data_parallel = ranks}));
    return SecondsOf(program, OpKind::kAllReduce, PriceTable(cpu, calibration, Precision::kFp32));
  };
  // Between points a rate is drawn towards the trend over all groups.
  EXPECT_GT(seconds(4) / seconds(2), 2.5);
  EXPECT_LT(seconds(4) / seconds(2), 4.1);
  calibration.rates.push_back({"all_reduce", 10000, 2e9, 2});
  EXPECT_THAT(ValidateCalibration(calibration).message(), HasSubstr("at the same place"));
}

// Where device and host are one, what goes between them is copied by the processor.
TEST(CalibrationTest, CopiesToTheHostArePricedAsCopies) {
  const Hardware cpu = *FindHardware("cpu");
  Mix mix;
  mix.recompute[static_cast<size_t>(Rung::kHost)] = 2;
  const Program program = *BuildProgram(ToyInputs(ToyModel(2, true), mix));
  Calibration calibration = Valid();
  const double datasheet =
      SecondsOf(program, OpKind::kCopy, PriceTable(cpu, calibration, Precision::kFp32));
  for (const double rate : {1e8, 4e8}) {
    calibration.rates.resize(1);
    calibration.rates.push_back({"copy", 3072, rate});
    const double measured =
        SecondsOf(program, OpKind::kCopy, PriceTable(cpu, calibration, Precision::kFp32));
    EXPECT_NE(measured, datasheet);
    EXPECT_NEAR(measured * rate, 2.0 * 16 * 24 * 4, 1) << "each input read, each output written";
  }
}

TEST(CalibrationTest, UpdatesOnTheHostUseItsMeasuredMemory) {
  const Hardware gpu = *FindHardware("A100-80GB");
  ProgramInputs inputs = ToyInputs(ToyModel(2, true), {.offload = Offload::kOptimizer});
  inputs.backend.kind = BackendKind::kCuda;
  const Program program = *BuildProgram(inputs);
  Calibration calibration = Valid();
  calibration.device_name = "A100-80GB";
  const auto seconds = [&](double rate) {
    calibration.host_memory_bytes_per_second = rate;
    return SecondsOf(program, OpKind::kAdamW, PriceTable(gpu, calibration, Precision::kFp32));
  };
  EXPECT_NEAR(seconds(1e9) / seconds(4e9), 4, 0.01);
  EXPECT_NEAR(seconds(0), seconds(kDatasheetMemoryShare * kAssumedHostMemoryBytesPerSecond), 1e-11);
  calibration.host_memory_bytes_per_second = -1;
  EXPECT_THAT(ValidateCalibration(calibration).message(),
              HasSubstr("host_memory_bytes_per_second is -1"));
}

// Each direction by its own rate, and the datasheet's where it was not measured.
TEST(CalibrationTest, CopiesOverALinkUseItsMeasuredRate) {
  const Hardware gpu = *FindHardware("A100-80GB");
  Mix mix;
  mix.recompute[static_cast<size_t>(Rung::kHost)] = 2;
  ProgramInputs inputs = ToyInputs(ToyModel(2, true), mix, 1);
  inputs.model.context_limit = inputs.workload.context = 1 << 20;
  inputs.backend.kind = BackendKind::kCuda;
  const Program program = *BuildProgram(inputs);
  Calibration calibration = Valid();
  calibration.launch_seconds = 0;
  const auto seconds = [&](Stream stream) {
    const PriceTable prices(gpu, calibration, Precision::kFp32);
    for (const Block& block : program.blocks) {
      for (const Op& op : block.ops) {
        if (op.kind == OpKind::kCopy && op.stream == stream)
          return 1e-12 *
                 static_cast<double>(prices.Picoseconds(program, op, SegmentKind::kMicroFirst));
      }
    }
    return 0.0;
  };
  const double datasheet = seconds(Stream::kHostToDevice);
  ASSERT_GT(datasheet, 0);
  EXPECT_EQ(datasheet, seconds(Stream::kDeviceToHost));
  calibration.link_to_device_bytes_per_second = 1e9;
  calibration.link_from_device_bytes_per_second = 2e9;
  constexpr double kBytes = (1 << 20) * 24.0 * 4;
  EXPECT_NEAR(seconds(Stream::kHostToDevice), kBytes / 1e9, 1e-6);
  EXPECT_NEAR(seconds(Stream::kDeviceToHost), kBytes / 2e9, 1e-6);
  calibration.link_to_device_bytes_per_second = 0;
  EXPECT_EQ(seconds(Stream::kHostToDevice), datasheet);
  calibration.link_from_device_bytes_per_second = -1;
  EXPECT_THAT(ValidateCalibration(calibration).message(),
              HasSubstr("link_from_device_bytes_per_second is -1"));
}

// Few rows and heads do not fill a GPU: what was measured with as many counts. A processor's rate knows nothing of them.
TEST(CalibrationTest, AttentionOfGpusIsPricedByRowsTimesHeads) {
  const auto seconds = [](const Hardware& hardware, int64_t micro_batch) {
    Calibration calibration = Valid();
    calibration.device_name = hardware.name;
    calibration.launch_seconds = 0;
    const bool gpu = hardware.compute_capability > 0;
    calibration.attention = {{"flash_attention", 16, 4, 1e9, gpu ? 6 : 0}};
    if (gpu) calibration.attention.push_back({"flash_attention", 16, 4, 4e9, 24});
    ProgramInputs inputs = ToyInputs(
        ToyModel(1, true), {.attention = AttentionKernel::kFlash, .micro_batch = micro_batch});
    inputs.backend.kind = gpu ? BackendKind::kCuda : BackendKind::kCpu;
    return SecondsOf(*BuildProgram(inputs), OpKind::kFlashAttention,
                     PriceTable(hardware, calibration, Precision::kFp32));
  };
  const Hardware gpu = *FindHardware("A100-80GB"), cpu = *FindHardware("cpu");
  // Four times the work at four times the rate, and at the same.
  EXPECT_NEAR(seconds(gpu, 4) / seconds(gpu, 1), 1, 1e-6);
  EXPECT_NEAR(seconds(cpu, 4) / seconds(cpu, 1), 4, 1e-6);
}

// Links of their own, one memory behind them: from some number of ranks on it is the memory that limits, and twice the ranks take twice as long.
TEST(CalibrationTest, TheRanksOfAHostShareItsMemory) {
  Hardware gpu = *FindHardware("A100-80GB");
  gpu.host_bytes_per_second = 25e9;
  Calibration calibration = Valid();
  calibration.launch_seconds = 0;
  const auto seconds = [&](int64_t ranks, int64_t in_node, double host_rate) {
    Mix mix{.data_parallel = ranks};
    mix.recompute[static_cast<size_t>(Rung::kHost)] = 2;
    ProgramInputs inputs = ToyInputs(ToyModel(2, true), mix);
    inputs.backend.kind = BackendKind::kCuda;
    calibration.host_memory_bytes_per_second = host_rate;
    const PriceTable prices(gpu, calibration, Precision::kFp32, {}, {.ranks_per_node = in_node});
    return SecondsOf(*BuildProgram(inputs), OpKind::kCopy, prices);
  };
  const double alone = seconds(1, 8, 100e9);
  EXPECT_NEAR(seconds(4, 8, 100e9) / alone, 1, 1e-3) << "4 x 0.8 x 25e9 is below 100e9";
  EXPECT_NEAR(seconds(8, 8, 50e9) / seconds(4, 8, 50e9), 2, 1e-3);
  EXPECT_NEAR(seconds(8, 4, 50e9) / seconds(4, 4, 50e9), 1, 1e-3) << "two hosts have two memories";
}

// Two ranks of a host have half of its processors each, and get in each other's way; on two hosts each has all.
TEST(CalibrationTest, RanksOfAHostShareItsProcessors) {
  const Hardware cpu = *FindHardware("cpu");
  const Program one = *BuildProgram(ToyInputs(ToyModel(2, true), {})),
                two = *BuildProgram(ToyInputs(ToyModel(2, true), {.data_parallel = 2}));
  Calibration calibration = Valid();
  const auto seconds = [&](const Program& program, const Links& links) {
    return SecondsOf(program, OpKind::kLinear,
                     PriceTable(cpu, calibration, Precision::kFp32, {}, links));
  };
  const double alone = seconds(one, {});
  EXPECT_NEAR(seconds(two, {}) / alone, 2, 1e-3) << "not measured: equal parts";
  calibration.sharing_factor = 1.25;
  EXPECT_NEAR(seconds(two, {}) / alone, 2.5, 1e-3);
  EXPECT_NEAR(seconds(two, {.ranks_per_node = 2}) / alone, 2.5, 1e-3);
  EXPECT_NEAR(seconds(two, {.ranks_per_node = 1}) / alone, 1, 1e-3);
  EXPECT_NEAR(seconds(one, {}), alone, 1e-12) << "a rank that is alone shares nothing";
}

// The tensor that is loaded comes on top of what a process was measured to take.
TEST(CalibrationTest, MemoryBesideTheArenaIsTheProcessAndTheLargestTensor) {
  Question question;
  question.model = ToyModel(2, true);
  question.devices = *ParseDeviceGroup("cpu");
  const int64_t assumed = BudgetOf(question).outside_arena_bytes;
  question.calibration = Valid();
  question.calibration.outside_arena_bytes = 5000000;
  const int64_t measured = BudgetOf(question).outside_arena_bytes;
  const int64_t largest = 40 * 24 * 4;  // a matrix of the MLP
  const int64_t tokenizer = 640 * 37;
  EXPECT_EQ(measured, 5000000 + tokenizer + largest);
  EXPECT_EQ(assumed % 1048576, tokenizer + largest);
}

// What is trained and its two moments, in fp32, at the rate of the disk; once in a job.
TEST(CalibrationTest, ACheckpointIsPricedByTheDisk) {
  Question question;
  question.model = ToyModel(2, true);
  question.devices = *ParseDeviceGroup("cpu");
  question.workload = {.context = 16, .rows_per_step = 1};
  question.workload.dataset_token_count = 16000;
  question.calibration = Valid();
  const auto time = [&](Method method, double rate) {
    question.calibration.checkpoint_bytes_per_second = rate;
    Mix mix{.method = method, .lora = {.rank = 3}};
    mix.recompute[0] = 2;
    const PriceTable prices(question.devices.hardware, question.calibration, Precision::kFp32);
    return Predict(question, mix, prices, BudgetOf(question)).value().time;
  };
  const double bytes = 3 * 4 * static_cast<double>(ParameterCount(question.model));
  const TimePrediction known = time(Method::kFull, 1e3), unknown = time(Method::kFull, 0);
  EXPECT_NEAR(known.save_seconds, bytes / 1e3, 1e-6);
  EXPECT_NEAR(3600 * (known.total_hours - unknown.total_hours), known.save_seconds, 1e-6);
  EXPECT_EQ(unknown.save_seconds, 0);
  EXPECT_LT(time(Method::kLora, 1e3).save_seconds, known.save_seconds);
  question.workload.dataset_token_count = 0;
  EXPECT_EQ(time(Method::kFull, 1e3).total_hours, 0) << "the size of the data set is not known";
  question.calibration.checkpoint_bytes_per_second = -1;
  EXPECT_THAT(ValidateCalibration(question.calibration).message(),
              HasSubstr("checkpoint_bytes_per_second is -1"));
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
