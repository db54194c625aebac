#include "profiler/probe.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/host_fingerprint.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/mix_names.h"
#include "planner/program/build_program.h"
#include "profiler/busy_share.h"
#include "profiler/collective_probe.h"
#include "profiler/fit_calibration.h"
#include "profiler/host_probe.h"
#include "profiler/kept_samples.h"
#include "profiler/link_probe.h"
#include "profiler/pace.h"
#include "profiler/probe_program.h"
#include "profiler/probe_programs.h"
#include "profiler/run_step.h"
#include "profiler/short_runs.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/device_use.h"
#include "trainer/thread_pool.h"

namespace tunesmith::profiler {
namespace {

// From which on some seconds are spent on how the machine's pace changes.
constexpr double kLeastBudgetOfPace = 10;
// From which on some seconds are spent on the host: its memory, and what ranks tell each other.
constexpr double kLeastBudgetOfHost = 20;
constexpr size_t kLeastPrograms = 3;  // whatever the budget
// Between equal steps: three times what a shared host showed (docs/benchmarks/accuracy.md, noise floor).
constexpr double kMostSpread = 0.35;
// Steps that wait for a processor a third of the time differ by more than that.
constexpr double kMostBusyShare = 0.33;

absl::Status CheckIdle(double busy_share) {
  if (busy_share <= kMostBusyShare) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "the machine is too busy to be calibrated: other work takes ", std::lround(100 * busy_share),
      " % of the processors, of which ", std::lround(100 * kMostBusyShare),
      " % are too many; try again when it is idle, or measure all the same with "
      "--allow-noise"));
}

// As CheckIdle, of the time in which the programs ran; and whether they ran alike.
absl::Status CheckQuiet(const std::vector<Sample>& samples) {
  std::vector<double> spreads, waited;
  for (const Sample& sample : samples) {
    spreads.push_back(sample.step_spread);
    waited.push_back(sample.waited_share);
  }
  TUNESMITH_RETURN_IF_ERROR(CheckIdle(Median(waited)));
  const double spread = Median(spreads);
  if (spread <= kMostSpread) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the machine is too busy to be calibrated: equal steps took times that differ by ",
             std::lround(100 * spread), " %, of which ", std::lround(100 * kMostSpread),
             " % are too many; try again when it is idle, or keep what was measured with "
             "--allow-noise"));
}

// Of the budget, for ProbeHost.
double SecondsOfHost(const ProbeOptions& options) {
  return options.budget_seconds < kLeastBudgetOfHost ? 0 : 7;
}

// A disk that cannot be written now is no reason to lose what was measured of the processor.
void TimeDisk(const ProbeOptions& options, planner::Calibration& calibration) {
  if (options.checkpoint_directory.empty()) return;
  const auto rate = CheckpointBytesPerSecond(options.checkpoint_directory);
  calibration.checkpoint_bytes_per_second = rate.value_or(0);
  if (!rate.ok())
    options.note(
        StrCat("the disk of checkpoints was not measured: ", std::string(rate.status().message())));
}

absl::Status TimeLink(const ProbeOptions& options, const trainer::OpContext& context,
                      planner::Calibration& calibration) {
  TUNESMITH_ASSIGN_OR_RETURN(const LinkRates rates, MeasureLink(context));
  calibration.link_to_device_bytes_per_second = rates.to_device_bytes_per_second;
  calibration.link_from_device_bytes_per_second = rates.from_device_bytes_per_second;
  options.note(absl::StrFormat("pinned copies: %.1f GB/s to the device, %.1f GB/s from it",
                               rates.to_device_bytes_per_second * 1e-9,
                               rates.from_device_bytes_per_second * 1e-9));
  return absl::OkStatus();
}

// What programs of one rank on one device do not show. After them: threads that have been leave memory behind, which would count as a process's.
absl::Status ProbeHost(const ProbeOptions& options, const trainer::OpContext& context,
                       planner::Calibration& calibration) {
  if (SecondsOfHost(options) == 0) return absl::OkStatus();
  calibration.host_memory_bytes_per_second = HostMemoryBytesPerSecond();
  TimeDisk(options, calibration);
  if (context.device != planner::BackendKind::kCpu) return TimeLink(options, context, calibration);
  TUNESMITH_ASSIGN_OR_RETURN(calibration.sharing_factor, SharingFactor(context, options.precision));
  return ProbeCollectives(options.rank_binary, options.note, calibration);
}

// Id, device, host and time.
planner::Calibration Begin(const ProbeOptions& options) {
  const absl::Time begun = absl::Now();
  planner::Calibration calibration;
  calibration.device_name = options.device_name;
  calibration.fingerprint = HostFingerprint();
  calibration.measured_at = absl::FormatTime(absl::RFC3339_sec, begun, absl::UTCTimeZone());
  calibration.precision = options.precision;
  calibration.id =
      StrCat(options.device_name, "-", planner::NameOf(planner::kPrecisionNames, options.precision),
             "-", absl::FormatTime("%Y%m%dT%H%M%S", begun, absl::UTCTimeZone()));
  return calibration;
}

struct Planned {
  planner::ProgramInputs inputs;
  bool is_short_run = false;
};

// Probes and short runs by turns, so that both see the machine as it is through the whole run; the first probes before all.
std::vector<Planned> PlannedPrograms(const ProbeOptions& options,
                                     const trainer::OpContext& context) {
  const planner::Backend backend = trainer::BackendOf(context);
  const bool has_cudnn = context.cuda != nullptr && trainer::FindCudnn().ok();
  std::vector<planner::ProgramInputs> probes = ProbePrograms({options.model, options.context,
                                                              options.precision, has_cudnn},
                                                             backend),
                                      runs = ShortRuns(options.precision, backend);
  std::vector<Planned> planned;
  for (size_t i = 0; i < std::max(probes.size(), runs.size() + kLeastPrograms); ++i) {
    if (i < probes.size()) planned.push_back({std::move(probes[i]), false});
    if (i >= kLeastPrograms && i - kLeastPrograms < runs.size())
      planned.push_back({std::move(runs[i - kLeastPrograms]), true});
  }
  return planned;
}

// Runs the programs of one calibration, or takes up what an earlier run has kept of them.
class Prober {
 public:
  Prober(const ProbeOptions& options, const trainer::OpContext& context, KeptSamples kept,
         ProbeReport report)
      : options_(options), context_(context), kept_(std::move(kept)), report_(report) {
    progress_.set_budget_seconds(options.budget_seconds);
  }

  absl::StatusOr<std::vector<Sample>> Run(const std::vector<Planned>& planned, double busy_share) {
    progress_.set_probe_count(static_cast<int64_t>(planned.size()));
    progress_.set_busy_share(busy_share);
    report_(progress_);
    std::vector<Task> rest;
    for (const Planned& plan : planned) {
      TUNESMITH_ASSIGN_OR_RETURN(planner::Program built, planner::BuildProgram(plan.inputs));
      Task task{std::make_shared<const planner::Program>(std::move(built)), plan.is_short_run};
      if (!TakeUp(task)) rest.push_back(std::move(task));
    }
    if (!rest.empty() && options_.budget_seconds >= kLeastBudgetOfPace) {
      TUNESMITH_ASSIGN_OR_RETURN(pace_, Pace::Open(context_, options_.precision));
      TUNESMITH_ASSIGN_OR_RETURN(pace_seconds_, pace_->Measure());
    }
    for (size_t i = 0; i < rest.size(); ++i)
      TUNESMITH_RETURN_IF_ERROR(RunOne(rest[i], rest.size() - i));
    return std::move(samples_);
  }

  double clock_hertz() const { return Median(clocks_); }

 private:
  struct Task {
    std::shared_ptr<const planner::Program> program;
    bool is_short_run = false;
  };

  bool TakeUp(const Task& task) {
    std::optional<Sample> sample = kept_.Find(task.program);
    if (!sample) return false;
    sample->is_short_run = task.is_short_run;
    progress_.set_resumed_probe_count(progress_.resumed_probe_count() + 1);
    Add(*std::move(sample));
    return true;
  }

  // `left_count`: programs that share what is left of the budget, this one included.
  absl::Status RunOne(const Task& task, size_t left_count) {
    const double left =
        options_.budget_seconds - SecondsOfHost(options_) - progress_.spent_seconds();
    if (left <= 0 && samples_.size() >= kLeastPrograms) return absl::OkStatus();
    const bool cudnn = task.program->inputs.mix.attention == planner::AttentionKernel::kCudnn;
    if (cudnn && context_.cuda->LacksCudnn()) return absl::OkStatus();
    const double until = MonotonicSeconds() + std::max(left, 0.0) / static_cast<double>(left_count);
    absl::StatusOr<Sample> sample = ProbeProgram(task.program, context_, until);
    TellNotes();
    if (CanBeLeftOut(sample.status(), cudnn)) return absl::OkStatus();
    TUNESMITH_RETURN_IF_ERROR(sample.status());
    // The times of other kernels would pass for cuDNN's.
    if (cudnn && context_.cuda->LacksCudnn()) return absl::OkStatus();
    sample->is_short_run = task.is_short_run;
    if (context_.device == planner::BackendKind::kCpu) clocks_.push_back(ProcessorHertz());
    TUNESMITH_RETURN_IF_ERROR(MeasurePace(*sample));
    TUNESMITH_RETURN_IF_ERROR(kept_.Keep(*sample));
    Add(*std::move(sample));
    return absl::OkStatus();
  }

  // What does not fit says nothing of what does; nor does what a device has no kernel for, nor how another library fails, which are told.
  bool CanBeLeftOut(const absl::Status& status, bool cudnn) const {
    if (samples_.empty() || status.ok()) return false;
    if (absl::IsResourceExhausted(status)) return true;
    if (!cudnn && !absl::IsUnimplemented(status)) return false;
    options_.note(StrCat("a program was left out: ", std::string(status.message())));
    return true;
  }

  void TellNotes() {
    if (context_.cuda == nullptr) return;
    for (const std::string& note : context_.cuda->TakeNotes()) options_.note(note);
  }

  // Of before and after the program.
  absl::Status MeasurePace(Sample& sample) {
    if (!pace_) return absl::OkStatus();
    sample.pace_before_seconds = pace_seconds_;
    TUNESMITH_ASSIGN_OR_RETURN(pace_seconds_, pace_->Measure());
    sample.pace_after_seconds = pace_seconds_;
    if (sample.outside_arena_bytes > 0)
      sample.outside_arena_bytes = std::max<int64_t>(
          0, sample.outside_arena_bytes - trainer::AllocatedBytes(context_, pace_->arena_bytes()));
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
  std::vector<double> clocks_;  // hertz, right after each program
  std::optional<Pace> pace_;    // none: the budget is too small for it
  double pace_seconds_ = 0;     // when it was looked at last
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
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Sample> samples,
                             prober.Run(PlannedPrograms(options, context), busy_share));
  if (const absl::Status noise = CheckQuiet(samples); !noise.ok() && !options.allows_noise) {
    ClearKeptSamples(options.kept_directory);
    return noise;
  }
  calibration.clock_hertz = prober.clock_hertz();
  TUNESMITH_RETURN_IF_ERROR(ProbeHost(options, context, calibration));
  TUNESMITH_RETURN_IF_ERROR(FitCalibration(samples, calibration));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateCalibration(calibration));
  return calibration;
}

}  // namespace tunesmith::profiler
