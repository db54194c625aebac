#include "proto/convert/measurement.h"

#include "planner/model/mix.h"
#include "planner/model/mix_names.h"
#include "proto/convert/mix.h"
#include "proto/convert/violations.h"

namespace tunesmith::convert {
namespace {

constexpr int64_t kLeastStepsOfDrift = 5;
constexpr double kMostOutside = 0.3;

double Ratio(double measured, double predicted) {
  return measured > 0 && predicted > 0 ? measured / predicted : 0;
}

}  // namespace

v1::MeasuredFigures FiguresOf(const v1::Finished& summary, bool on_cpu) {
  v1::MeasuredFigures figures;
  figures.set_step_seconds(summary.measured_step_seconds());
  if (!on_cpu) return figures;
  figures.set_peak_device_bytes(summary.peak_resident_bytes());
  figures.set_used_arena_bytes(summary.used_arena_bytes());
  return figures;
}

v1::Measurement MeasurementOf(const v1::Plan& plan, const v1::MeasuredFigures& figures) {
  v1::Measurement measurement;
  measurement.set_program_digest(plan.program_digest());
  Violations ignored;
  measurement.set_mix_line(planner::FormatMix(MixFromProto(plan.mix(), "mix", ignored)));
  *measurement.mutable_measured() = figures;
  *measurement.mutable_predicted() = plan.prediction();
  measurement.set_device_memory_ratio(
      Ratio(static_cast<double>(figures.peak_device_bytes()),
            static_cast<double>(plan.prediction().memory().total_bytes())));
  measurement.set_step_seconds_ratio(
      Ratio(figures.step_seconds(), plan.prediction().time().step_seconds()));
  measurement.set_model_name(plan.inputs().model().name());
  measurement.set_device_name(plan.inputs().devices().hardware().name());
  measurement.set_calibration_id(plan.calibration_id());
  return measurement;
}

std::string MethodOf(const std::string& mix_line) {
  const absl::StatusOr<planner::Mix> mix = planner::ParseMix(mix_line);
  return mix.ok() ? std::string(NameOf(planner::kMethodNames, mix->method)) : "-";
}

bool IsStepOutside(const v1::Measurement& measurement) {
  const double seconds = measurement.measured().step_seconds();
  const v1::TimePrediction& time = measurement.predicted().time();
  return measurement.step_seconds_ratio() > 0 &&
         (seconds < time.low_seconds() || seconds > time.high_seconds());
}

bool HaveDrifted(int64_t step_count, int64_t outside_count) {
  return step_count >= kLeastStepsOfDrift &&
         static_cast<double>(outside_count) > kMostOutside * static_cast<double>(step_count);
}

}  // namespace tunesmith::convert
