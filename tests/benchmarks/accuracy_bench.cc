// How far predictions are from what this device does: calibrates it, then measures training steps of models, methods, mixes and contexts that the calibration did not see.
//
//   tunesmith-bench-accuracy [--device cpu|cuda:N] [--calibration FILE] [--budget 120] [--points 64] [--rounds 5] [--seconds S] [--seed 1] [--save FILE] [--axes cpu|cpu-bf16|gpu|tiny]
//   tunesmith-bench-accuracy --replay FILE [--calibration FILE]
//
// Without a calibration the device is calibrated first, within the budget in seconds; --save keeps it with what was measured, to be predicted again by later formulas: by --replay, and by a test. Points are
// drawn at random from axes (accuracy_axes.h), by default those of the kind of device, those left out that would take too long or too much memory. Points of a group are held at once and take
// turns, one step each, so that what else the host does meets all alike; a point's time is the median of its rounds after a warm-up. No group is begun that would not end within --seconds if it took as long as the longest before. The table names every
// point; the last line of stdout is one JSON object:
//   point_count, time_mape, time_worst     |predicted / measured - 1|: mean and largest
//   time_bias                              mean of predicted / measured - 1
//   time_mape_paced                        the same mean where measured steps are brought to the pace that the machine had while it was calibrated (profiler/pace.h): how much of the error is not the
//                                          machine's that has become quicker or slower since
//   noise_floor                            mean over the points of |median of odd rounds / median of even rounds - 1|
//   interval_coverage, interval_half_width_median   of the stated 90 % interval
//   arena_mismatch_count                   points whose allocated arena has not the predicted size
//   memory_worst, memory_bias, memory_under_count   of a GPU's memory in all: as above, and points that took more than predicted
//   left_out_count, failed_count           points that there was no time for, and that did not run
#include "tests/benchmarks/accuracy_bench.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "profiler/run_step.h"
#include "proto/convert/data_directory.h"
#include "tests/benchmarks/accuracy_axes.h"
#include "tests/benchmarks/accuracy_measure.h"
#include "tests/benchmarks/accuracy_points.h"
#include "tests/benchmarks/flags.h"
#include "tests/benchmarks/timed_step.h"
#include "trainer/open_device.h"

namespace tunesmith {
namespace {

struct Options {
  MeasureOptions measure;
  std::string device = "cpu";
  std::string axes;  // empty: those of the device
  std::string calibration_path;
  std::string replay_path;
  double budget_seconds = 120;
};

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
  std::string fields = absl::StrFormat(
      "\"point_count\": %d, \"time_mape\": %.4f, \"time_worst\": %.4f, \"time_bias\": %.4f, "
      "\"time_mape_paced\": %.4f, \"interval_coverage\": %.4f",
      host.steps.size(), replayed.mean_error, replayed.worst_error, replayed.bias,
      replayed.paced_mean_error, replayed.covered_share);
  const std::vector<double>& errors = replayed.memory_errors;
  if (errors.empty()) return fields;
  return fields + absl::StrFormat(
                      ", \"memory_worst\": %.5f, \"memory_bias\": %.5f, \"memory_under_count\": %d",
                      replayed.worst_memory_error,
                      std::accumulate(errors.begin(), errors.end(), 0.0) /
                          static_cast<double>(errors.size()),
                      replayed.memory_under_count);
}

std::string MeasuredFields(const MeasuredPoints& measured) {
  return absl::StrFormat(
      ", \"noise_floor\": %.4f, \"interval_half_width_median\": %.4f, "
      "\"arena_mismatch_count\": %d, \"left_out_count\": %d, \"failed_count\": %d",
      measured.noise_floor, measured.half_width_median, measured.arena_mismatch_count,
      measured.left_out_count, measured.failed_count);
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

absl::StatusOr<PointAxes> AxesFor(const Options& options, const trainer::OpContext& context) {
  if (!options.axes.empty()) return AxesOf(options.axes);
  return AxesOf(context.device == planner::BackendKind::kCpu ? "cpu" : "gpu");
}

absl::Status Run(const Options& options) {
  if (!options.replay_path.empty()) return Replay(options);
  const double start = profiler::MonotonicSeconds();
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device,
                             trainer::OpenDevice::Open(options.device, 0));
  TUNESMITH_ASSIGN_OR_RETURN(const PointAxes axes, AxesFor(options, device.context()));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Calibration calibration,
                             CalibrationOf(options.calibration_path, options.budget_seconds,
                                           axes.precision, device.context()));
  const double calibrated = profiler::MonotonicSeconds();
  TUNESMITH_ASSIGN_OR_RETURN(const MeasuredPoints measured,
                             MeasurePoints(options.measure, axes, calibration, device.context()));
  if (measured.host.steps.empty()) return absl::UnavailableError("no point was measured");
  TUNESMITH_ASSIGN_OR_RETURN(const ReplayedHost replayed, ReplayHost(measured.host));
  Print(measured.host, replayed);
  std::printf("{%s%s, \"calibration_seconds\": %.1f, \"seconds\": %.1f}\n",
              ErrorFields(measured.host, replayed).c_str(), MeasuredFields(measured).c_str(),
              calibrated - start, profiler::MonotonicSeconds() - start);
  return absl::OkStatus();
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  TUNESMITH_RETURN_IF_ERROR(ReadFlags(arguments, {{"--device", &options.device},
                                                  {"--axes", &options.axes},
                                                  {"--calibration", &options.calibration_path},
                                                  {"--save", &options.measure.save_path},
                                                  {"--replay", &options.replay_path},
                                                  {"--budget", &options.budget_seconds},
                                                  {"--seconds", &options.measure.most_seconds},
                                                  {"--points", &options.measure.point_count},
                                                  {"--rounds", &options.measure.round_count},
                                                  {"--seed", &options.measure.seed}}));
  return options;
}

int Fail(const absl::Status& status, int exit_status) {
  std::fprintf(stderr, "tunesmith-bench-accuracy: %s\n", std::string(status.message()).c_str());
  return exit_status;
}

}  // namespace

int AccuracyBenchMain(const std::vector<std::string>& arguments) {
  const auto options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status(), 2);
  const absl::Status status = Run(*options);
  return status.ok() ? EXIT_SUCCESS : Fail(status, EXIT_FAILURE);
}

}  // namespace tunesmith
