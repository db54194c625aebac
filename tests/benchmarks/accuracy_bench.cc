// How far predictions are from what this host does: calibrates it, then measures training steps of models, methods, mixes and contexts that the calibration did not see.
//
//   accuracy_bench [--calibration FILE] [--budget 120] [--points 64] [--rounds 5] [--seed 1] [--save FILE]
//   accuracy_bench --replay FILE [--calibration FILE]
//
// Without a calibration the host is calibrated first, within the budget in seconds; --save keeps it with what was measured, to be predicted again by later formulas: by --replay, and by a test. Points are drawn at random from the axes below, those left out that would take too long or
// too much memory. Points of a group are held at once and take turns, one step each, so that what else the host does meets all alike; a point's time is the
// median of its rounds after a warm-up. The table names every point; the last line of stdout is one JSON object:
//   point_count, time_mape, time_worst     |predicted / measured - 1|: mean and largest
//   time_bias                              mean of predicted / measured - 1
//   time_mape_paced                        the same mean where measured steps are brought to the pace that the machine had while it was calibrated (profiler/pace.h): how much of the error is not the
//                                          machine's that has become quicker or slower since
//   noise_floor                            mean over the points of |median of odd rounds / median of even rounds - 1|
//   interval_coverage, interval_half_width_median   of the stated 90 % interval
//   arena_mismatch_count                   points whose allocated arena has not the predicted size
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/median.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/catalog.h"
#include "profiler/pace.h"
#include "profiler/run_step.h"
#include "proto/convert/data_directory.h"
#include "tests/benchmarks/accuracy_points.h"
#include "tests/benchmarks/timed_step.h"
#include "trainer/open_device.h"

namespace tunesmith {
namespace {

using planner::Method;

constexpr double kLeastSeconds = 0.05, kMostSeconds = 3.0;
constexpr int64_t kMostArenaBytes = int64_t{3} << 30;
constexpr int64_t kGroupBytes = int64_t{8} << 30;
constexpr size_t kGroupPoints = 8;

struct Options {
  std::string calibration_path;
  std::string save_path;
  std::string replay_path;
  double budget_seconds = 120;
  size_t point_count = 64;
  int round_count = 5;
  uint64_t seed = 1;
};

struct Point {
  MeasuredStep step;
  planner::Prediction prediction;
  std::optional<TimedStep> timed = std::nullopt;  // while its group is measured
};

// What points are drawn from. Deep models are cut to some of their layers, whose widths stay.
struct ModelChoice {
  const char* name;
  int64_t layer_count;
};
constexpr ModelChoice kModels[] = {{"SmolLM2-135M", 30}, {"SmolLM2-360M", 32}, {"llama-160m", 12},
                                   {"MPT-125m", 12},     {"Qwen2.5-0.5B", 6},  {"Qwen3-0.6B", 6},
                                   {"phi-1_5", 4},       {"Gemma-2-2b", 2},    {"60M", 100}};
constexpr int64_t kContexts[] = {64, 96, 128, 256, 384, 512, 1024, 2048};

class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  template <typename T, size_t N>
  T Of(const T (&values)[N]) {
    return values[static_cast<size_t>(RandomBelow(seed_, next_++, static_cast<int64_t>(N)))];
  }

 private:
  uint64_t seed_;
  uint64_t next_ = 0;
};

absl::StatusOr<MeasuredStep> DrawStep(Draws& draws) {
  constexpr Method kMethods[] = {Method::kFull, Method::kLora, Method::kLora, Method::kQlora};
  constexpr planner::Rung kRungs[] = {planner::Rung::kKeep,       planner::Rung::kKeep,
                                      planner::Rung::kActivation, planner::Rung::kNorms,
                                      planner::Rung::kGateUp,     planner::Rung::kBlock};
  constexpr planner::AttentionKernel kKernels[] = {planner::AttentionKernel::kFlash,
                                                   planner::AttentionKernel::kFlash,
                                                   planner::AttentionKernel::kEager};
  constexpr planner::LossKernel kLosses[] = {planner::LossKernel::kFull,
                                             planner::LossKernel::kChunked};
  constexpr int64_t kCounts[] = {1, 1, 2, 4}, kRanks[] = {4, 8, 16, 64};
  const ModelChoice choice = draws.Of(kModels);
  TUNESMITH_ASSIGN_OR_RETURN(const planner::ModelSpec model, planner::FindModel(choice.name));
  MeasuredStep step = {.model = choice.name,
                       .layer_count = std::min(model.layer_count, choice.layer_count)};
  planner::Mix mix = {.method = draws.Of(kMethods),
                      .lora = {.rank = draws.Of(kRanks)},
                      .attention = draws.Of(kKernels),
                      .loss = draws.Of(kLosses),
                      .micro_batch = draws.Of(kCounts),
                      .accumulation_count = draws.Of(kCounts)};
  mix.recompute[static_cast<size_t>(draws.Of(kRungs))] = step.layer_count / 2;
  mix.recompute[0] += step.layer_count - step.layer_count / 2;
  step.context = std::min(draws.Of(kContexts), model.context_limit);
  step.mix = planner::FormatMix(mix);
  return step;
}

// Points whose step can be predicted, is neither too long nor too short to be measured, and fits.
absl::StatusOr<std::vector<Point>> DrawPoints(const Options& options,
                                              const planner::Calibration& calibration) {
  Draws draws(options.seed);
  std::vector<Point> points;
  while (points.size() < options.point_count) {
    TUNESMITH_ASSIGN_OR_RETURN(const MeasuredStep step, DrawStep(draws));
    absl::StatusOr<planner::Prediction> prediction = PredictStep(step, calibration);
    if (absl::IsInvalidArgument(prediction.status()))
      continue;  // the model does not have that axis
    TUNESMITH_RETURN_IF_ERROR(prediction.status());
    const double seconds = prediction->time.step_seconds;
    if (seconds < kLeastSeconds || seconds > kMostSeconds ||
        prediction->memory.arena_bytes > kMostArenaBytes)
      continue;
    points.push_back({.step = step, .prediction = *std::move(prediction)});
  }
  return points;
}

absl::Status Open(Point& point, const trainer::OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Question question, QuestionOf(point.step, {}));
  TUNESMITH_ASSIGN_OR_RETURN(
      point.timed, TimedStep::Open(planner::InputsFor(question, point.prediction.mix), context));
  return absl::OkStatus();
}

// What the points show beside their errors.
struct Totals {
  double noise = 0;
  int64_t arena_mismatches = 0;
  std::vector<double> half_widths;
};

void Count(const Point& point, Totals& totals) {
  const planner::TimePrediction& time = point.prediction.time;
  totals.noise += point.timed->noise();
  totals.half_widths.push_back((time.high_seconds - time.low_seconds) / 2 / time.step_seconds);
  totals.arena_mismatches += point.timed->arena_bytes() != point.prediction.memory.arena_bytes;
  std::fprintf(stderr, "measured %s: %s\n", FormatSeconds(point.step.seconds).c_str(),
               point.step.mix.c_str());
}

void Print(const MeasuredHost& host, const ReplayedHost& replayed) {
  for (size_t i = 0; i < host.steps.size(); ++i) {
    const MeasuredStep& step = host.steps[i];
    std::printf("%+6.1f %%  measured %9s  %s x%lld, context %lld, %s\n", 100 * replayed.errors[i],
                FormatSeconds(step.seconds).c_str(), step.model.c_str(),
                static_cast<long long>(step.layer_count), static_cast<long long>(step.context),
                step.mix.c_str());
  }
}

// The fields of the last line that come from errors.
std::string ErrorFields(const MeasuredHost& host, const ReplayedHost& replayed) {
  return absl::StrFormat(
      "\"point_count\": %d, \"time_mape\": %.4f, \"time_worst\": %.4f, \"time_bias\": %.4f, "
      "\"time_mape_paced\": %.4f, \"interval_coverage\": %.4f",
      host.steps.size(), replayed.mean_error, replayed.worst_error, replayed.bias,
      replayed.paced_mean_error, replayed.covered_share);
}

// Points [begin, end), taking turns.
absl::Status MeasureGroup(std::vector<Point>& points, size_t begin, size_t end, int round_count,
                          const trainer::OpContext& context, profiler::Pace& pace, Totals& totals) {
  for (size_t i = begin; i < end; ++i) TUNESMITH_RETURN_IF_ERROR(Open(points[i], context));
  std::vector<double> paces;
  for (int round = 0; round < round_count; ++round) {
    TUNESMITH_ASSIGN_OR_RETURN(paces.emplace_back(), pace.Measure());
    for (size_t i = begin; i < end; ++i) TUNESMITH_RETURN_IF_ERROR(points[i].timed->Run());
  }
  for (size_t i = begin; i < end; ++i) {
    points[i].step.pace_seconds = Median(paces);
    points[i].step.seconds = points[i].timed->median_seconds();
    Count(points[i], totals);
    points[i].timed.reset();
  }
  return absl::OkStatus();
}

size_t GroupEnd(const std::vector<Point>& points, size_t begin) {
  int64_t bytes = 0;
  size_t end = begin;
  while (end < points.size() && end - begin < kGroupPoints) {
    bytes += points[end].prediction.memory.arena_bytes;
    if (end > begin && bytes > kGroupBytes) break;
    ++end;
  }
  return end;
}

// What was measured before, predicted by the formulas of today: from the rates of then, or from others.
absl::Status Replay(const Options& options) {
  TUNESMITH_ASSIGN_OR_RETURN(MeasuredHost host, ReadMeasuredHost(options.replay_path));
  if (!options.calibration_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(host.calibration,
                               convert::ReadCalibrationFile(options.calibration_path));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const ReplayedHost replayed, ReplayHost(host));
  Print(host, replayed);
  std::printf("{%s}\n", ErrorFields(host, replayed).c_str());
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  if (!options.replay_path.empty()) return Replay(options);
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device, trainer::OpenDevice::Open("cpu", 0));
  const double start = profiler::MonotonicSeconds();
  MeasuredHost host;
  TUNESMITH_ASSIGN_OR_RETURN(
      host.calibration,
      CalibrationOf(options.calibration_path, options.budget_seconds, device.context()));
  const double calibrated = profiler::MonotonicSeconds();
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Point> points, DrawPoints(options, host.calibration));
  TUNESMITH_ASSIGN_OR_RETURN(profiler::Pace pace,
                             profiler::Pace::Open(device.context(), planner::Precision::kFp32));
  Totals totals;
  for (size_t begin = 0; begin < points.size();) {
    const size_t end = GroupEnd(points, begin);
    TUNESMITH_RETURN_IF_ERROR(
        MeasureGroup(points, begin, end, options.round_count, device.context(), pace, totals));
    begin = end;
  }
  for (const Point& point : points) host.steps.push_back(point.step);
  if (!options.save_path.empty())
    TUNESMITH_RETURN_IF_ERROR(WriteMeasuredHost(host, options.save_path));
  TUNESMITH_ASSIGN_OR_RETURN(const ReplayedHost replayed, ReplayHost(host));
  Print(host, replayed);
  std::printf(
      "{%s, \"noise_floor\": %.4f, \"interval_half_width_median\": %.4f, "
      "\"arena_mismatch_count\": %lld, \"calibration_seconds\": %.1f, \"seconds\": %.1f}\n",
      ErrorFields(host, replayed).c_str(), totals.noise / static_cast<double>(points.size()),
      Median(totals.half_widths), static_cast<long long>(totals.arena_mismatches),
      calibrated - start, profiler::MonotonicSeconds() - start);
  return absl::OkStatus();
}

}  // namespace
}  // namespace tunesmith

int main(int argc, char** argv) {
  tunesmith::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--calibration")
      options.calibration_path = value;
    else if (flag == "--save")
      options.save_path = value;
    else if (flag == "--replay")
      options.replay_path = value;
    else if (flag == "--budget")
      options.budget_seconds = std::atof(value.c_str());
    else if (flag == "--points")
      options.point_count = std::strtoull(value.c_str(), nullptr, 10);
    else if (flag == "--rounds")
      options.round_count = std::atoi(value.c_str());
    else if (flag == "--seed")
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else {
      std::fprintf(stderr, "accuracy_bench: unknown flag %s\n", flag.c_str());
      return 2;
    }
  }
  if (const absl::Status status = tunesmith::Run(options); !status.ok()) {
    std::fprintf(stderr, "accuracy_bench: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
