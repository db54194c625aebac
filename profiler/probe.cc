#include "profiler/probe.h"

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/host_fingerprint.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "profiler/busy_share.h"
#include "profiler/fill_with_data.h"
#include "profiler/host_probe.h"
#include "profiler/kept_samples.h"
#include "profiler/op_statistics.h"
#include "profiler/probe_programs.h"
#include "profiler/run_step.h"
#include "trainer/executor.h"
#include "trainer/thread_pool.h"

namespace tunesmith::profiler {
namespace {

using trainer::Executor;

constexpr int kLeastRounds = 2;
// From which on some seconds are spent on the host: its memory, and what ranks tell each other.
constexpr double kLeastBudgetOfHost = 20;
constexpr size_t kLeastPrograms = 3;  // whatever the budget
// Between equal steps: three times what a shared host showed (docs/benchmarks/accuracy.md, noise floor).
constexpr double kMostSpread = 0.35;
// Steps that wait for a processor a third of the time differ by more than that.
constexpr double kMostBusyShare = 0.33;
// Never claim more than a shared machine repeats.
constexpr double kLeastRelativeError = 0.05;

int64_t ArenaBytes(Executor& executor) {
  const planner::MemoryPlan& plan = executor.arena().plan();
  return plan.device_bytes() + plan.host_bytes();
}

absl::StatusOr<Sample> ProbeProgram(const std::shared_ptr<const planner::Program>& program,
                                    const trainer::OpContext& context, double until) {
  const double start = MonotonicSeconds();
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
  sample.spent_seconds = MonotonicSeconds() - start;
  if (context.device == planner::BackendKind::kCpu) {
    malloc_trim(0);  // what was freed of filling the weights is no part of a job
    sample.outside_arena_bytes = std::max<int64_t>(0, ResidentBytes() - ArenaBytes(*executor));
  }
  return sample;
}

absl::Status CheckIdle(double busy_share) {
  if (busy_share <= kMostBusyShare) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "the machine is too busy to be calibrated: other work takes ", std::lround(100 * busy_share),
      " % of the processors, of which ", std::lround(100 * kMostBusyShare),
      " % are too many; try again when it is idle, or measure all the same with "
      "--allow-noise"));
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

// The least: what the profiler itself keeps of samples is no job's.
int64_t OutsideArenaBytes(const std::vector<Sample>& samples) {
  int64_t least = samples[0].outside_arena_bytes;
  for (const Sample& sample : samples) least = std::min(least, sample.outside_arena_bytes);
  return least;
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
  calibration.outside_arena_bytes = OutsideArenaBytes(samples);
  calibration.step_factor = std::exp(Median(ratios));
  calibration.relative_error =
      std::max(kLeastRelativeError, errors.empty() ? 0 : errors[errors.size() * 9 / 10]);
  return absl::OkStatus();
}

// Of the budget, for ProbeHost.
double SecondsOfHost(const ProbeOptions& options) {
  return options.budget_seconds < kLeastBudgetOfHost ? 0 : 3;
}

// What programs of one rank on one device do not show. After them: threads that have been leave memory behind, which would count as a process's.
absl::Status ProbeHost(const ProbeOptions& options, const trainer::OpContext& context,
                       planner::Calibration& calibration) {
  if (SecondsOfHost(options) == 0) return absl::OkStatus();
  calibration.host_memory_bytes_per_second = HostMemoryBytesPerSecond();
  return context.device == planner::BackendKind::kCpu ? ProbeCollectives(calibration)
                                                      : absl::OkStatus();
}

// Id, device, host and time.
planner::Calibration Begin(const ProbeOptions& options) {
  const absl::Time begun = absl::Now();
  planner::Calibration calibration;
  calibration.device_name = options.device_name;
  calibration.fingerprint = HostFingerprint();
  calibration.measured_at = absl::FormatTime(absl::RFC3339_sec, begun, absl::UTCTimeZone());
  calibration.id =
      options.device_name + "-" + absl::FormatTime("%Y%m%dT%H%M%S", begun, absl::UTCTimeZone());
  return calibration;
}

// Runs the programs of one calibration, or takes up what an earlier run has kept of them.
class Prober {
 public:
  Prober(const ProbeOptions& options, const trainer::OpContext& context, KeptSamples kept,
         ProbeReport report)
      : options_(options), context_(context), kept_(std::move(kept)), report_(report) {
    progress_.set_budget_seconds(options.budget_seconds);
  }

  absl::StatusOr<std::vector<Sample>> Run(const std::vector<planner::ProgramInputs>& programs,
                                          double busy_share) {
    progress_.set_probe_count(static_cast<int64_t>(programs.size()));
    progress_.set_busy_share(busy_share);
    report_(progress_);
    std::vector<std::shared_ptr<const planner::Program>> rest;
    for (const planner::ProgramInputs& inputs : programs) {
      TUNESMITH_ASSIGN_OR_RETURN(planner::Program built, planner::BuildProgram(inputs));
      auto program = std::make_shared<const planner::Program>(std::move(built));
      if (!TakeUp(program)) rest.push_back(std::move(program));
    }
    for (size_t i = 0; i < rest.size(); ++i)
      TUNESMITH_RETURN_IF_ERROR(RunOne(rest[i], rest.size() - i));
    return std::move(samples_);
  }

 private:
  bool TakeUp(const std::shared_ptr<const planner::Program>& program) {
    std::optional<Sample> sample = kept_.Find(program);
    if (!sample) return false;
    progress_.set_resumed_probe_count(progress_.resumed_probe_count() + 1);
    Add(*std::move(sample));
    return true;
  }

  // `left_count`: programs that share what is left of the budget, this one included.
  absl::Status RunOne(const std::shared_ptr<const planner::Program>& program, size_t left_count) {
    const double left =
        options_.budget_seconds - SecondsOfHost(options_) - progress_.spent_seconds();
    if (left <= 0 && samples_.size() >= kLeastPrograms) return absl::OkStatus();
    const double until = MonotonicSeconds() + std::max(left, 0.0) / static_cast<double>(left_count);
    absl::StatusOr<Sample> sample = ProbeProgram(program, context_, until);
    if (absl::IsResourceExhausted(sample.status()) && !samples_.empty()) return absl::OkStatus();
    TUNESMITH_RETURN_IF_ERROR(sample.status());
    TUNESMITH_RETURN_IF_ERROR(kept_.Keep(*sample));
    Add(*std::move(sample));
    return absl::OkStatus();
  }

  void Add(Sample sample) {
    const planner::ProgramInputs& inputs = sample.program->inputs;
    progress_.set_done_probe_count(progress_.done_probe_count() + 1);
    progress_.set_spent_seconds(progress_.spent_seconds() + sample.spent_seconds);
    progress_.set_probe(StrCat(inputs.model.name, " ", planner::FormatMix(inputs.mix)));
    progress_.set_probe_step_seconds(sample.step_seconds);
    samples_.push_back(std::move(sample));
    report_(progress_);
  }

  const ProbeOptions& options_;
  const trainer::OpContext& context_;
  const KeptSamples kept_;
  const ProbeReport report_;
  v1::CalibrationProgress progress_;
  std::vector<Sample> samples_;
};

}  // namespace

absl::StatusOr<planner::Calibration> Probe(const ProbeOptions& options,
                                           const trainer::OpContext& context, ProbeReport report) {
  planner::Calibration calibration = Begin(options);
  const int64_t thread_count = context.threads ? context.threads->thread_count() : 1;
  const double busy_share = BusyShare(thread_count);
  if (!options.allows_noise) TUNESMITH_RETURN_IF_ERROR(CheckIdle(busy_share));
  Prober prober(options, context,
                KeptSamples(options.kept_directory, calibration.fingerprint, thread_count), report);
  TUNESMITH_ASSIGN_OR_RETURN(
      const std::vector<Sample> samples,
      prober.Run(ProbePrograms({options.model, options.context, options.precision},
                               {.kind = context.device}),
                 busy_share));
  if (const absl::Status noise = CheckNoise(samples); !noise.ok() && !options.allows_noise) {
    ClearKeptSamples(options.kept_directory);
    return noise;
  }
  TUNESMITH_RETURN_IF_ERROR(ProbeHost(options, context, calibration));
  TUNESMITH_RETURN_IF_ERROR(Fit(samples, options, calibration));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateCalibration(calibration));
  return calibration;
}

}  // namespace tunesmith::profiler
