#include "profiler/probe.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/host_fingerprint.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "profiler/op_statistics.h"
#include "profiler/probe_programs.h"
#include "profiler/run_step.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {
namespace {

using trainer::Executor;

constexpr int kLeastRounds = 2;
constexpr size_t kLeastPrograms = 3;  // whatever the budget
// Between equal steps: three times what a shared host showed (docs/benchmarks/accuracy.md, noise floor).
constexpr double kMostSpread = 0.35;
// Never claim more than a shared machine repeats.
constexpr double kLeastRelativeError = 0.05;

// What one program showed.
struct Sample {
  std::shared_ptr<const planner::Program> program;
  OpStatistics ops;
  double step_seconds = 0;
  double step_spread = 0;  // longest less shortest, over the median
};

absl::StatusOr<Sample> ProbeProgram(const planner::ProgramInputs& inputs,
                                    const trainer::OpContext& context, double until) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program built, planner::BuildProgram(inputs));
  const auto program = std::make_shared<const planner::Program>(std::move(built));
  TUNESMITH_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                             Executor::Create(*program, context, {}));
  TUNESMITH_RETURN_IF_ERROR(FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(WarmUp(*executor));
  Sample sample{.program = program, .ops = OpStatistics(program.get())};
  std::vector<double> steps;
  for (int round = 0; round < kLeastRounds || MonotonicSeconds() < until; ++round) {
    executor->set_observer(&sample.ops);
    TUNESMITH_RETURN_IF_ERROR(RunStep(*executor).status());
    executor->set_observer(nullptr);
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, RunStep(*executor));
    steps.push_back(seconds);
  }
  sample.step_seconds = Median(steps);
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
  sample.step_spread = (*most - *least) / sample.step_seconds;
  return sample;
}

absl::Status CheckNoise(const std::vector<Sample>& samples) {
  std::vector<double> spreads;
  for (const Sample& sample : samples) spreads.push_back(sample.step_spread);
  const double spread = Median(spreads);
  if (spread <= kMostSpread) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the machine is too busy to be calibrated: equal steps took times that differ by ",
             std::lround(100 * spread), " %, of which ", std::lround(100 * kMostSpread),
             " % are too many; try again when it is idle, or keep what was measured with "
             "--allow-noise"));
}

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

// How far off a sample's step is when rates and step factor come from all others.
double ErrorWhenLeftOut(const std::vector<Sample>& samples, size_t left_out,
                        const planner::Hardware& hardware,
                        const planner::Calibration& calibration) {
  const planner::PriceTable prices = PricesWithout(samples, left_out, hardware, calibration);
  std::vector<double> others;
  for (size_t i = 0; i < samples.size(); ++i)
    if (i != left_out) others.push_back(LogRatio(samples[i], prices));
  return std::expm1(std::abs(LogRatio(samples[left_out], prices) - Median(others)));
}

// The step factor is the median over all programs. The interval is what programs are off by when they are predicted from the others: nine in ten are within it.
absl::Status Fit(const std::vector<Sample>& samples, const ProbeOptions& options,
                 planner::Calibration& calibration) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware hardware,
                             planner::FindHardware(options.device_name));
  const planner::PriceTable prices = PricesWithout(samples, samples.size(), hardware, calibration);
  std::vector<double> ratios, errors;
  for (size_t i = 0; i < samples.size(); ++i) {
    ratios.push_back(LogRatio(samples[i], prices));
    if (samples.size() > 1) errors.push_back(ErrorWhenLeftOut(samples, i, hardware, calibration));
  }
  std::sort(errors.begin(), errors.end());
  calibration = prices.calibration();
  calibration.step_factor = std::exp(Median(ratios));
  calibration.relative_error =
      std::max(kLeastRelativeError, errors.empty() ? 0 : errors[errors.size() * 9 / 10]);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<planner::Calibration> Probe(const ProbeOptions& options,
                                           const trainer::OpContext& context,
                                           absl::FunctionRef<void(const std::string&)> report) {
  const absl::Time begun = absl::Now();
  planner::Calibration calibration;
  calibration.device_name = options.device_name;
  calibration.fingerprint = HostFingerprint();
  calibration.measured_at = absl::FormatTime(absl::RFC3339_sec, begun, absl::UTCTimeZone());
  calibration.id =
      options.device_name + "-" + absl::FormatTime("%Y%m%dT%H%M%S", begun, absl::UTCTimeZone());
  const double start = MonotonicSeconds();
  std::vector<Sample> samples;
  const std::vector<planner::ProgramInputs> programs =
      ProbePrograms({options.model, options.context, options.precision}, {.kind = context.device});
  for (size_t i = 0; i < programs.size(); ++i) {
    const double left = start + options.budget_seconds - MonotonicSeconds();
    if (left <= 0 && i >= kLeastPrograms) break;
    const double until =
        MonotonicSeconds() + std::max(left, 0.0) / static_cast<double>(programs.size() - i);
    absl::StatusOr<Sample> sample = ProbeProgram(programs[i], context, until);
    if (absl::IsResourceExhausted(sample.status()) && !samples.empty()) continue;
    TUNESMITH_RETURN_IF_ERROR(sample.status());
    samples.push_back(*std::move(sample));
    report(StrCat("probe ", i + 1, "/", programs.size(), ": ", programs[i].model.name, " ",
                  planner::FormatMix(programs[i].mix), ", step ",
                  FormatSeconds(samples.back().step_seconds)));
  }
  if (!options.allows_noise) TUNESMITH_RETURN_IF_ERROR(CheckNoise(samples));
  TUNESMITH_RETURN_IF_ERROR(Fit(samples, options, calibration));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateCalibration(calibration));
  return calibration;
}

}  // namespace tunesmith::profiler
