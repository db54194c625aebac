#include "profiler/probe.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "common/version.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "planner/program/layer_parameters.h"
#include "profiler/fill_with_data.h"
#include "profiler/op_statistics.h"
#include "trainer/executor.h"

namespace tunesmith::profiler {
namespace {

using planner::SegmentKind;
using trainer::Executor;

constexpr int64_t kProbeLayerCount = 2;
constexpr int kLeastRounds = 3;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

planner::ProgramInputs InputsOf(const ProbeOptions& options, const trainer::OpContext& context,
                                planner::Method method, planner::AttentionKernel attention,
                                int64_t micro_batch) {
  planner::ProgramInputs in;
  in.model = options.model;
  in.model.layer_count = std::min(kProbeLayerCount, options.model.layer_count);
  in.workload = {.context = options.context,
                 .rows_per_step = 2 * micro_batch,
                 .evaluates = false,
                 .generates = false};
  in.mix = {.method = method,
            .precision = options.precision,
            .attention = attention,
            .loss = planner::LossKernel::kChunked,
            .micro_batch = micro_batch,
            .accumulation_count = 2};
  in.mix.recompute[static_cast<size_t>(planner::Rung::kKeep)] = in.model.layer_count;
  in.backend = {.kind = context.device};
  return in;
}

// One step of two micro-batches; seconds.
absl::StatusOr<double> RunStep(Executor& executor) {
  const double start = Now();
  for (SegmentKind kind :
       {SegmentKind::kMicroFirst, SegmentKind::kMicroLast, SegmentKind::kOptimizer})
    TUNESMITH_RETURN_IF_ERROR(executor.Run(kind));
  TUNESMITH_RETURN_IF_ERROR(executor.Synchronize());
  return Now() - start;
}

// A measured step and the price of the same program.
struct StepSample {
  double measured_seconds = 0;
  planner::ProgramInputs inputs;
};

absl::StatusOr<StepSample> ProbeProgram(const planner::ProgramInputs& inputs,
                                        const trainer::OpContext& context, double until,
                                        planner::Calibration& calibration) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(inputs));
  TUNESMITH_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                             Executor::Create(std::move(program), context, {}));
  TUNESMITH_RETURN_IF_ERROR(FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(RunStep(*executor).status());  // warm-up: pages, caches, library set-up
  OpStatistics statistics(executor->program());
  std::vector<double> steps;
  for (int round = 0; round < kLeastRounds || Now() < until; ++round) {
    executor->set_observer(&statistics);
    TUNESMITH_RETURN_IF_ERROR(RunStep(*executor).status());
    executor->set_observer(nullptr);
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, RunStep(*executor));
    steps.push_back(seconds);
  }
  statistics.AddTo(calibration);
  return StepSample{.measured_seconds = Median(steps), .inputs = inputs};
}

// Measured over predicted sum of ops, over all samples; and the spread of single samples around it as the interval.
absl::Status FitStepFactor(const std::vector<StepSample>& samples, const ProbeOptions& options,
                           planner::Calibration& calibration) {
  calibration.step_factor = 1.0;
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware hardware,
                             planner::FindHardware(options.device_name));
  const planner::PriceTable prices(hardware, calibration, options.precision);
  std::vector<double> ratios;
  for (const StepSample& sample : samples) {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Program program,
                               planner::BuildProgram(sample.inputs));
    ratios.push_back(
        sample.measured_seconds /
        (static_cast<double>(planner::PriceStep(program, prices).step_picoseconds) * 1e-12));
  }
  calibration.step_factor = Median(ratios);
  double worst = 0;
  for (double ratio : ratios)
    worst = std::max(worst, std::abs(ratio / calibration.step_factor - 1));
  // Never claim more than a shared machine repeats.
  calibration.relative_error = std::max(0.08, worst);
  return absl::OkStatus();
}

}  // namespace

std::string HostFingerprint() {
  std::ifstream cpuinfo("/proc/cpuinfo"), meminfo("/proc/meminfo");
  std::string line, processor = "unknown processor", memory;
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0) {
      processor = line.substr(line.find(':') + 2);
      break;
    }
  }
  int64_t kib = 0;
  if (std::getline(meminfo, line))
    kib = std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10);
  return StrCat(processor, ", ", static_cast<int64_t>(std::thread::hardware_concurrency()),
                " processors, ", CeilDivide(kib * kKiB, kGiB), " GiB, trainer ", Version());
}

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
  const double start = Now();
  std::vector<StepSample> samples;
  std::vector<planner::ProgramInputs> probes;
  for (int64_t micro_batch : {1, 4}) {
    for (planner::AttentionKernel attention :
         {planner::AttentionKernel::kFlash, planner::AttentionKernel::kEager}) {
      for (planner::Method method :
           {planner::Method::kLora, planner::Method::kFull, planner::Method::kQlora}) {
        // The eager kernel, full fine-tuning and QLoRA share every other op with their counterparts: one size of each is enough.
        if (attention == planner::AttentionKernel::kEager &&
            (method != planner::Method::kLora || micro_batch > 1))
          continue;
        if (method == planner::Method::kQlora &&
            (micro_batch > 1 || !planner::CanQuantize(options.model)))
          continue;
        probes.push_back(InputsOf(options, context, method, attention, micro_batch));
      }
    }
  }
  for (size_t i = 0; i < probes.size(); ++i) {
    const double left = start + options.budget_seconds - Now();
    if (left <= 0 && i >= 3) break;
    const double until = Now() + std::max(left, 0.0) / static_cast<double>(probes.size() - i);
    absl::StatusOr<StepSample> sample = ProbeProgram(probes[i], context, until, calibration);
    if (absl::IsResourceExhausted(sample.status()) && !samples.empty()) continue;
    TUNESMITH_RETURN_IF_ERROR(sample.status());
    samples.push_back(*std::move(sample));
    report(StrCat("probe ", i + 1, "/", probes.size(), ": ", planner::FormatMix(probes[i].mix),
                  ", step ", FormatSeconds(samples.back().measured_seconds)));
  }
  TUNESMITH_RETURN_IF_ERROR(FitStepFactor(samples, options, calibration));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateCalibration(calibration));
  return calibration;
}

}  // namespace tunesmith::profiler
