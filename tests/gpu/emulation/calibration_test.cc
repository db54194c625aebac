// A calibration of a GPU, on the emulation: what is measured and where it is kept, not how quick it is.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/units.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "profiler/link_probe.h"
#include "profiler/op_statistics.h"
#include "profiler/probe.h"
#include "profiler/run_step.h"
#include "trainer/device_use.h"
#include "trainer/open_device.h"
#include "trainer/selftest_model.h"

namespace tunesmith::profiler {
namespace {

trainer::OpenDevice Device() { return trainer::OpenDevice::Open("cuda:0", 2).value(); }

std::unique_ptr<trainer::Executor> Open(const trainer::OpContext& context, const char* mix) {
  planner::ProgramInputs in;
  in.model = trainer::SelfTestModel();
  in.mix = planner::ParseMix(mix).value();
  in.workload = {.context = 32,
                 .rows_per_step = in.mix.micro_batch * in.mix.accumulation_count,
                 .evaluates = false,
                 .generates = false};
  in.backend = {.kind = context.device};
  auto executor = trainer::Executor::Create(planner::BuildProgram(in).value(), context, {}).value();
  EXPECT_TRUE(FillWithData(*executor).ok());
  return executor;
}

struct Observed : trainer::OpObserver {
  void OnOp(const planner::Op& op, const trainer::OpCall&, double op_seconds) override {
    ++count;
    seconds += op_seconds;
    streams.insert(op.stream);
  }
  int64_t count = 0;
  double seconds = 0;
  std::set<planner::Stream> streams;
};

TEST(CalibrationTest, OpsAreTimedInTheQueuesWhereTheyRun) {
  const auto device = Device();
  const auto executor =
      Open(device.context(), "precision=bf16 attention=flash recompute=host:1,keep:1 batch=1x2");
  Observed observed;
  executor->set_observer(&observed);
  const double step_seconds = RunStep(*executor).value();
  executor->set_observer(nullptr);
  EXPECT_GT(observed.count, 100);
  EXPECT_GT(observed.seconds, 0.3 * step_seconds);
  EXPECT_TRUE(observed.streams.contains(planner::Stream::kDeviceToHost));
  const int64_t before = observed.count;
  EXPECT_TRUE(RunStep(*executor).ok());
  EXPECT_EQ(observed.count, before) << "nobody observes";
}

// Copies over the link are of the same kind as those within the device's memory, and slower.
TEST(CalibrationTest, WhatIsNotTheDevicesIsNoneOfItsRates) {
  const auto device = Device();
  const auto executor = Open(device.context(),
                             "method=full precision=bf16 attention=flash recompute=host:1,keep:1 "
                             "offload=optimizer batch=1x1");
  OpStatistics statistics(&executor->program());
  executor->set_observer(&statistics);
  EXPECT_TRUE(RunStep(*executor).ok());
  executor->set_observer(nullptr);
  EXPECT_FALSE(statistics.rates().empty());
  for (const auto& [key, rates] : statistics.rates()) EXPECT_NE(key.first, planner::OpKind::kAdamW);
}

TEST(CalibrationTest, HoldsRatesOfTheDeviceAndWhatLiesBesideTheArena) {
  const auto device = Device();
  ProbeOptions options{.model = trainer::SelfTestModel(),
                       .context = 16,
                       .budget_seconds = 1e-3,
                       .device_name = "H100-SXM",
                       .precision = planner::Precision::kBf16,
                       .allows_noise = true};
  const auto calibration = Probe(options, device.context(), [](const v1::CalibrationProgress&) {});
  ASSERT_TRUE(calibration.ok()) << calibration.status();
  EXPECT_EQ(calibration->device_name, "H100-SXM");
  EXPECT_EQ(calibration->busy_share, 0) << "a device waits for no processor";
  std::set<std::string> products;
  for (const planner::GemmPoint& point : calibration->gemm) products.insert(point.op_kind);
  EXPECT_TRUE(products.contains("linear"));
  EXPECT_TRUE(products.contains("linear_backward_input"));
  EXPECT_TRUE(products.contains("linear_backward_weight"));
  EXPECT_FALSE(calibration->attention.empty());
  EXPECT_FALSE(calibration->rates.empty());
  // The emulation has no context: its workspaces, and a page for the end of an arena.
  const int64_t workspaces = trainer::CudaContext::AllocatedBytes({});
  EXPECT_GE(calibration->outside_arena_bytes, workspaces);
  EXPECT_LE(calibration->outside_arena_bytes, workspaces + 8 * kMiB);
}

TEST(CalibrationTest, MeasuresTheLink) {
  const auto device = Device();
  const auto rates = MeasureLink(device.context());
  ASSERT_TRUE(rates.ok()) << rates.status();
  EXPECT_GT(rates->to_device_bytes_per_second, 1e6);
  EXPECT_GT(rates->from_device_bytes_per_second, 1e6);
}

TEST(CalibrationTest, DeviceUseIsOfWholePages) {
  const auto device = Device();
  const int64_t before = trainer::DeviceBytesInUse(device.context()).value();
  const auto memory = trainer::DeviceMemory::Allocate(device.context(), 3 * kMiB).value();
  EXPECT_EQ(trainer::DeviceBytesInUse(device.context()).value() - before, 4 * kMiB);
  EXPECT_EQ(trainer::AllocatedBytes(device.context(), 3 * kMiB), 4 * kMiB);
}

}  // namespace
}  // namespace tunesmith::profiler
