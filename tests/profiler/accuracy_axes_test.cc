#include "tests/benchmarks/accuracy_axes.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace tunesmith {
namespace {

// Of deploy/bundle/gpu_stages.py.
constexpr uint64_t kSeedOfGpus = 2;

// Of those that the planner can predict at all and that are measured, as the benchmark draws them.
std::vector<MeasuredStep> DrawnPoints(const PointAxes& axes, const planner::Calibration& rates,
                                      size_t count) {
  PointDraws draws(kSeedOfGpus);
  std::vector<MeasuredStep> points;
  for (int i = 0; i < 2000 && points.size() < count; ++i) {
    const MeasuredStep step = draws.Next(axes).value();
    const auto prediction = PredictStep(step, rates);
    if (!prediction.ok()) {
      EXPECT_EQ(prediction.status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }
    const double seconds = prediction->time.step_seconds;
    if (seconds >= axes.least_seconds && seconds <= axes.most_seconds &&
        prediction->memory.arena_bytes <= axes.most_arena_bytes &&
        prediction->memory.pinned_bytes <= axes.most_pinned_bytes)
      points.push_back(step);
  }
  return points;
}

// Figures of before can be measured again.
TEST(AccuracyAxesTest, PointsOfCpusAreThoseOfTheRecordedHosts) {
  const auto host = ReadMeasuredHost("tests/profiler/testdata/epyc-2-processors.json").value();
  PointDraws draws(1);
  const PointAxes axes = AxesOf("cpu").value();
  std::set<std::string> drawn;
  for (int i = 0; i < 1000; ++i) {
    const MeasuredStep step = draws.Next(axes).value();
    drawn.insert(step.model + " " + std::to_string(step.context) + " " + step.mix);
  }
  for (const MeasuredStep& step : host.steps)
    EXPECT_TRUE(drawn.contains(step.model + " " + std::to_string(step.context) + " " + step.mix))
        << step.model << " " << step.mix;
}

TEST(AccuracyAxesTest, PointsOfGpusSpreadOverWhatIsAsked) {
  // By the datasheet, which is slower than the device: on it longer steps are drawn too.
  planner::Calibration rates;
  rates.device_name = "H100-SXM";
  const std::vector<MeasuredStep> points = DrawnPoints(AxesOf("gpu").value(), rates, 56);
  ASSERT_EQ(points.size(), 56u);
  std::map<planner::Method, int> methods;
  std::map<planner::AttentionKernel, int> kernels;
  std::set<planner::OptimizerState> states;
  std::set<int64_t> contexts;
  std::set<std::string> models;
  int rungs = 0, host = 0;
  for (const MeasuredStep& step : points) {
    const planner::Mix mix = planner::ParseMix(step.mix).value();
    EXPECT_EQ(mix.precision, planner::Precision::kBf16);
    ++methods[mix.method];
    ++kernels[mix.attention];
    states.insert(mix.optimizer_state);
    contexts.insert(step.context);
    models.insert(step.model);
    rungs += mix.recompute[0] < step.layer_count;
    host += mix.recompute[static_cast<size_t>(planner::Rung::kHost)] > 0;
  }
  for (const auto method :
       {planner::Method::kFull, planner::Method::kLora, planner::Method::kQlora})
    EXPECT_GE(methods[method], 4);
  EXPECT_GE(kernels[planner::AttentionKernel::kEager], 4);
  EXPECT_GE(kernels[planner::AttentionKernel::kFlash], 16);
  EXPECT_EQ(states.size(), 2u);
  EXPECT_EQ(*contexts.begin(), 512);
  EXPECT_EQ(*contexts.rbegin(), 32768);
  EXPECT_GE(models.size(), 8u);
  EXPECT_GE(rungs, 16);
  EXPECT_GE(host, 2);
  EXPECT_FALSE(models.contains("Llama-2-7b-hf")) << "the calibration runs its shapes";
}

TEST(AccuracyAxesTest, MemoryOfStepsIsJudged) {
  MeasuredHost host;
  host.calibration.device_name = "H100-SXM";
  host.calibration.outside_arena_bytes = 600 << 20;
  MeasuredStep step = {.model = "Qwen2.5-0.5B",
                       .layer_count = 2,
                       .context = 512,
                       .mix =
                           "method=lora:r8 precision=bf16 recompute=keep:2 attention=flash "
                           "loss=chunked batch=1x1",
                       .seconds = 1};
  const int64_t predicted = PredictStep(step, host.calibration)->memory.total_bytes;
  for (const int64_t bytes : {predicted - predicted / 100, predicted + predicted / 50}) {
    step.device_bytes = bytes;
    host.steps.push_back(step);
  }
  step.device_bytes = 0;  // not measured
  host.steps.push_back(step);
  const ReplayedHost replayed = ReplayHost(host).value();
  ASSERT_EQ(replayed.memory_errors.size(), 2u);
  EXPECT_NEAR(replayed.memory_errors[0], 0.0101, 1e-4);
  EXPECT_NEAR(replayed.worst_memory_error, 0.0196, 1e-4);
  EXPECT_EQ(replayed.memory_under_count, 1);
}

TEST(AccuracyAxesTest, UnknownAxesAreNamed) {
  EXPECT_EQ(AxesOf("tpu").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tunesmith
