#include "profiler/fit_calibration.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "common/median.h"
#include "common/status_macros.h"
#include "planner/model/hardware.h"
#include "planner/price/price.h"
#include "trainer/device_use.h"

namespace tunesmith::profiler {
namespace {

// Never claim more than a shared machine repeats: medians of odd and even rounds differed by 7.8 to 11.5 % on average (docs/benchmarks/accuracy.md, noise floor), so that nine in ten medians of five
// steps are within 8 % of what they would be in the long run, at best.
constexpr double kLeastRelativeError = 0.08;
constexpr double kCoverage = 0.9;
// With fewer short runs the ninth part of them says nothing: then all programs are asked.
constexpr int64_t kLeastShortRuns = 9;

// Of the rates of all samples but the one at `left_out`.
planner::PriceTable PricesWithout(const std::vector<Sample>& samples, size_t left_out,
                                  const planner::Hardware& hardware,
                                  planner::Calibration calibration) {
  OpStatistics ops(nullptr);
  for (size_t i = 0; i < samples.size(); ++i)
    if (i != left_out) ops.Merge(samples[i].ops);
  ops.AddTo(calibration);
  return {hardware, calibration, samples[0].program->inputs.mix.precision};
}

// Of the measured over the predicted step.
double LogRatio(const Sample& sample, const planner::PriceTable& prices) {
  const planner::StepPrice price = planner::PriceStep(*sample.program, prices);
  return std::log(sample.step_seconds / (static_cast<double>(price.step_picoseconds) * 1e-12));
}

// How far off a sample's step, which the machine made `slower`, is when rates and step factor come from all others.
double ErrorWhenLeftOut(const std::vector<Sample>& samples, size_t left_out, double log_slower,
                        const planner::Hardware& hardware,
                        const planner::Calibration& calibration) {
  const planner::PriceTable prices = PricesWithout(samples, left_out, hardware, calibration);
  std::vector<double> others;
  for (size_t i = 0; i < samples.size(); ++i)
    if (i != left_out) others.push_back(LogRatio(samples[i], prices));
  return std::abs(std::expm1(LogRatio(samples[left_out], prices) + log_slower - Median(others)));
}

// Logarithms of the pace around each sample over the pace of the whole run, as far as they last from one reading to the next: of readings that vary as much between neighbours as over the whole run,
// nothing does (the ratio of von Neumann 1941). 0 where the pace was not measured.
struct Drift {
  std::vector<double> of_sample;
  double pace_seconds = 0;  // of the run, median
};

Drift DriftOf(const std::vector<Sample>& samples) {
  std::vector<double> readings, steps;
  for (const Sample& s : samples) {
    if (s.pace_before_seconds <= 0 || s.pace_after_seconds <= 0) continue;
    readings.push_back(std::log(s.pace_before_seconds));
    readings.push_back(std::log(s.pace_after_seconds));
    steps.push_back(std::log(s.pace_after_seconds / s.pace_before_seconds));
  }
  Drift drift{.of_sample = std::vector<double>(samples.size(), 0)};
  if (readings.empty()) return drift;
  const double middle = Median(readings);
  double of_all = 0, of_neighbours = 0;
  for (const double reading : readings) of_all += (reading - middle) * (reading - middle);
  for (const double step : steps) of_neighbours += step * step;
  // Two readings for each step: neighbours that know nothing of each other differ by twice the variance.
  const double lasting = of_all > 0 ? std::max(0.0, 1 - of_neighbours / of_all) : 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const Sample& s = samples[i];
    if (s.pace_before_seconds > 0 && s.pace_after_seconds > 0)
      drift.of_sample[i] =
          lasting * (std::log(s.pace_before_seconds * s.pace_after_seconds) / 2 - middle);
  }
  drift.pace_seconds = std::exp(middle);
  return drift;
}

// As they would have been at the pace of the whole run.
std::vector<Sample> AtOnePace(const std::vector<Sample>& samples, const Drift& drift) {
  std::vector<Sample> paced = samples;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double slower = std::exp(drift.of_sample[i]);
    paced[i].step_seconds /= slower;
    paced[i].ops = OpStatistics(samples[i].program.get());
    paced[i].ops.Merge(samples[i].ops, slower);
  }
  return paced;
}

// Of a host the least: what the profiler itself keeps of samples is no job's. Of a GPU the most: kernels are loaded when they run for the first time, and a job may need any of
// them; an arena that ends within a page of the device takes one more.
int64_t OutsideArenaBytes(const std::vector<Sample>& samples, bool gpu) {
  const auto [least, most] =
      std::minmax_element(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
        return a.outside_arena_bytes < b.outside_arena_bytes;
      });
  if (!gpu) return least->outside_arena_bytes;
  return most->outside_arena_bytes > 0 ? most->outside_arena_bytes + trainer::kGpuPageBytes : 0;
}

double BusyShareOf(const std::vector<Sample>& samples) {
  std::vector<double> shares;
  for (const Sample& sample : samples) shares.push_back(sample.waited_share);
  return Median(shares);
}

}  // namespace

double ConformalHalfWidth(std::vector<double> errors, double coverage) {
  if (errors.empty()) return 0;
  std::sort(errors.begin(), errors.end());
  const auto rank =
      static_cast<size_t>(std::ceil(coverage * static_cast<double>(errors.size() + 1) - 1e-9));
  return errors[std::min(rank, errors.size()) - 1];
}

double NormalHalfWidth(const std::vector<double>& errors) {
  if (errors.empty()) return 0;
  const auto count = static_cast<double>(errors.size());
  double sum = 0;
  for (const double error : errors) sum += error * error;
  // Student's t of so many degrees of freedom, from the normal quantile (Abramowitz and Stegun 26.7.5).
  constexpr double kNormal = 1.6449;
  const double quantile = kNormal + (kNormal * kNormal * kNormal + kNormal) / (4 * count);
  return quantile * std::sqrt(sum / count);
}

absl::Status FitCalibration(const std::vector<Sample>& measured,
                            planner::Calibration& calibration) {
  const Drift drift = DriftOf(measured);
  const std::vector<Sample> samples = AtOnePace(measured, drift);
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware hardware,
                             planner::FindHardware(calibration.device_name));
  const planner::PriceTable prices = PricesWithout(samples, samples.size(), hardware, calibration);
  const bool asks_short_runs = std::count_if(samples.begin(), samples.end(), [](const Sample& s) {
                                 return s.is_short_run;
                               }) >= kLeastShortRuns;
  std::vector<double> ratios, errors;
  for (size_t i = 0; i < samples.size(); ++i) {
    ratios.push_back(LogRatio(samples[i], prices));
    if (samples.size() > 1 && (samples[i].is_short_run || !asks_short_runs))
      errors.push_back(ErrorWhenLeftOut(samples, i, drift.of_sample[i], hardware, calibration));
  }
  calibration = prices.calibration();
  calibration.outside_arena_bytes = OutsideArenaBytes(samples, hardware.compute_capability > 0);
  calibration.busy_share = BusyShareOf(samples);
  calibration.pace_seconds = drift.pace_seconds;
  calibration.step_factor = std::exp(Median(ratios));
  calibration.relative_error = std::max(
      {kLeastRelativeError, NormalHalfWidth(errors), ConformalHalfWidth(errors, kCoverage)});
  return absl::OkStatus();
}

}  // namespace tunesmith::profiler
