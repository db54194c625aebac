#include "tests/benchmarks/accuracy_measure.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "common/median.h"
#include "common/status_macros.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "profiler/pace.h"
#include "profiler/run_step.h"
#include "tests/benchmarks/timed_step.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/device_use.h"

namespace tunesmith {
namespace {

constexpr size_t kGroupPoints = 8;
// Of a GPU's free memory: what the steps of a group need beside their arenas is within the rest.
constexpr double kGroupShare = 0.8;

struct Point {
  MeasuredStep step;
  planner::Prediction prediction;
  std::optional<TimedStep> timed = std::nullopt;  // while its group is measured
};

bool Within(const PointAxes& axes, const planner::Prediction& prediction) {
  const double seconds = prediction.time.step_seconds;
  const planner::MemoryPrediction& memory = prediction.memory;
  return seconds >= axes.least_seconds && seconds <= axes.most_seconds &&
         memory.arena_bytes <= axes.most_arena_bytes &&
         memory.pinned_bytes <= axes.most_pinned_bytes;
}

absl::StatusOr<std::vector<Point>> DrawPoints(const MeasureOptions& options, const PointAxes& axes,
                                              const planner::Calibration& calibration) {
  PointDraws draws(options.seed);
  std::vector<Point> points;
  while (points.size() < options.point_count) {
    TUNESMITH_ASSIGN_OR_RETURN(const MeasuredStep step, draws.Next(axes));
    absl::StatusOr<planner::Prediction> prediction = PredictStep(step, calibration);
    if (absl::IsInvalidArgument(prediction.status()))
      continue;  // the model does not have that axis
    TUNESMITH_RETURN_IF_ERROR(prediction.status());
    if (Within(axes, *prediction))
      points.push_back({.step = step, .prediction = *std::move(prediction)});
  }
  return points;
}

class PointMeter {
 public:
  static absl::StatusOr<PointMeter> Open(const MeasureOptions& options, const PointAxes& axes,
                                         const planner::Calibration& calibration,
                                         const trainer::OpContext& context) {
    PointMeter meter(options, axes, calibration, context);
    if (axes.measures_pace) {
      TUNESMITH_ASSIGN_OR_RETURN(meter.pace_, profiler::Pace::Open(context, axes.precision));
    }
    return meter;
  }

  absl::StatusOr<MeasuredPoints> Measure(std::vector<Point> points) {
    const double start = profiler::MonotonicSeconds();
    double now = start, longest = 0;  // of a group
    size_t begin = 0;
    while (begin < points.size() && !IsLate(now - start + longest)) {
      const double group_start = now;
      TUNESMITH_ASSIGN_OR_RETURN(const size_t end, GroupEnd(points, begin));
      TUNESMITH_RETURN_IF_ERROR(MeasureGroup(points, begin, end));
      begin = end;
      now = profiler::MonotonicSeconds();
      longest = std::max(longest, now - group_start);
      if (!options_.save_path.empty())
        TUNESMITH_RETURN_IF_ERROR(WriteMeasuredHost(measured_.host, options_.save_path));
    }
    measured_.left_out_count = static_cast<int64_t>(points.size() - begin);
    const auto count = static_cast<double>(std::max<size_t>(1, measured_.host.steps.size()));
    measured_.noise_floor = noise_ / count;
    measured_.half_width_median = Median(half_widths_);
    return std::move(measured_);
  }

 private:
  PointMeter(const MeasureOptions& options, const PointAxes& axes,
             const planner::Calibration& calibration, const trainer::OpContext& context)
      : options_(options), axes_(axes), context_(context) {
    measured_.host.calibration = calibration;
  }

  bool IsLate(double seconds) const {
    return options_.most_seconds > 0 && seconds > options_.most_seconds;
  }

  absl::StatusOr<size_t> GroupEnd(const std::vector<Point>& points, size_t begin) const {
    int64_t most = axes_.group_bytes, bytes = 0;
    if (context_.device == planner::BackendKind::kCuda) {
      TUNESMITH_ASSIGN_OR_RETURN(const int64_t free_bytes, context_.cuda->FreeMemoryBytes());
      most = std::min(most, static_cast<int64_t>(kGroupShare * static_cast<double>(free_bytes)));
    }
    size_t end = begin;
    while (end < points.size() && end - begin < kGroupPoints) {
      bytes += points[end].prediction.memory.arena_bytes;
      if (end > begin && bytes > most) break;
      ++end;
    }
    return end;
  }

  absl::StatusOr<TimedStep> OpenStep(const Point& point) const {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Question question,
                               QuestionOf(point.step, measured_.host.calibration));
    return TimedStep::Open(planner::InputsFor(question, point.prediction.mix), context_);
  }

  // Points [begin, end), taking turns.
  absl::Status MeasureGroup(std::vector<Point>& points, size_t begin, size_t end) {
    std::vector<Point*> group;
    for (size_t i = begin; i < end; ++i) {
      absl::StatusOr<TimedStep> timed = OpenStep(points[i]);
      if (!timed.ok()) {
        Fail(points[i], timed.status());
        continue;
      }
      points[i].timed = *std::move(timed);
      group.push_back(&points[i]);
    }
    std::vector<double> paces;
    for (int round = 0; round < options_.round_count; ++round) {
      if (pace_) {
        TUNESMITH_ASSIGN_OR_RETURN(paces.emplace_back(), pace_->Measure());
      }
      std::erase_if(group, [this](Point* point) {
        const absl::Status ran = point->timed->Run();
        if (!ran.ok()) Fail(*point, ran);
        return !ran.ok();
      });
    }
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t outside, OutsideArenaBytes(group));
    for (Point* point : group) Add(*point, Median(paces), outside);
    return absl::OkStatus();
  }

  void Fail(Point& point, const absl::Status& why) {
    ++measured_.failed_count;
    point.timed.reset();
    std::fprintf(stderr, "not measured: %s, context %lld, %s: %s\n", point.step.model.c_str(),
                 static_cast<long long>(point.step.context), point.step.mix.c_str(),
                 std::string(why.message()).c_str());
  }

  // What the process takes of a GPU beside all arenas that it holds now.
  absl::StatusOr<int64_t> OutsideArenaBytes(const std::vector<Point*>& group) const {
    TUNESMITH_ASSIGN_OR_RETURN(int64_t bytes, trainer::DeviceBytesInUse(context_));
    if (pace_) bytes -= trainer::AllocatedBytes(context_, pace_->arena_bytes());
    for (const Point* point : group)
      bytes -= trainer::AllocatedBytes(context_, point->timed->arena_bytes());
    return std::max<int64_t>(0, bytes);
  }

  void Add(Point& point, double pace_seconds, int64_t outside_bytes) {
    const planner::TimePrediction& time = point.prediction.time;
    const int64_t arena_bytes = point.timed->arena_bytes();
    point.step.pace_seconds = pace_seconds;
    point.step.seconds = point.timed->median_seconds();
    if (outside_bytes > 0)
      point.step.device_bytes = outside_bytes + trainer::AllocatedBytes(context_, arena_bytes);
    noise_ += point.timed->noise();
    half_widths_.push_back((time.high_seconds - time.low_seconds) / 2 / time.step_seconds);
    measured_.arena_mismatch_count += arena_bytes != point.prediction.memory.arena_bytes;
    std::fprintf(stderr, "measured %s: %s\n", FormatSeconds(point.step.seconds).c_str(),
                 point.step.mix.c_str());
    measured_.host.steps.push_back(point.step);
    point.timed.reset();
  }

  const MeasureOptions& options_;
  const PointAxes& axes_;
  const trainer::OpContext& context_;
  std::optional<profiler::Pace> pace_;
  MeasuredPoints measured_;
  double noise_ = 0;
  std::vector<double> half_widths_;
};

}  // namespace

absl::StatusOr<MeasuredPoints> MeasurePoints(const MeasureOptions& options, const PointAxes& axes,
                                             const planner::Calibration& calibration,
                                             const trainer::OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Point> points, DrawPoints(options, axes, calibration));
  TUNESMITH_ASSIGN_OR_RETURN(PointMeter meter,
                             PointMeter::Open(options, axes, calibration, context));
  return meter.Measure(std::move(points));
}

}  // namespace tunesmith
