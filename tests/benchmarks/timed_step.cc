#include "tests/benchmarks/timed_step.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "common/median.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/catalog.h"
#include "planner/model/device_names.h"
#include "planner/model/mix_names.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "profiler/probe.h"
#include "profiler/run_directory.h"
#include "profiler/run_step.h"
#include "proto/convert/data_directory.h"
#include "trainer/cuda/cuda_context.h"

namespace tunesmith {
absl::StatusOr<TimedStep> TimedStep::Open(const planner::ProgramInputs& inputs,
                                          const trainer::OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(inputs));
  TUNESMITH_ASSIGN_OR_RETURN(auto executor,
                             trainer::Executor::Create(std::move(program), context, {}));
  TUNESMITH_RETURN_IF_ERROR(profiler::FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(profiler::RunStep(*executor).status());
  return TimedStep(std::move(executor));
}

absl::Status TimedStep::Run() {
  TUNESMITH_ASSIGN_OR_RETURN(seconds_.emplace_back(), profiler::RunStep(*executor_));
  return absl::OkStatus();
}

double TimedStep::median_seconds() const { return Median(seconds_); }

double TimedStep::noise() const {
  std::vector<double> even, odd;
  for (size_t i = 0; i < seconds_.size(); ++i) (i % 2 == 0 ? even : odd).push_back(seconds_[i]);
  return odd.empty() ? 0 : std::abs(Median(odd) / Median(even) - 1);
}

namespace {

absl::StatusOr<profiler::ProbeOptions> ProbeOptionsOf(const trainer::OpContext& context,
                                                      double budget_seconds) {
  profiler::ProbeOptions probe{.budget_seconds = budget_seconds, .allows_noise = true};
  if (context.device == planner::BackendKind::kCpu) {
    TUNESMITH_ASSIGN_OR_RETURN(probe.model, planner::FindModel("SmolLM2-135M"));
    return probe;
  }
  TUNESMITH_ASSIGN_OR_RETURN(probe.model, planner::FindModel("Llama-2-7b-hf"));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware hardware,
                             planner::FindHardwareOfDevice(context.cuda->info().name));
  probe.device_name = hardware.name;
  probe.context = 2048;
  return probe;
}

}  // namespace

absl::StatusOr<planner::Calibration> CalibrationOf(const std::string& path, double budget_seconds,
                                                   planner::Precision precision,
                                                   const trainer::OpContext& context) {
  if (!path.empty()) {
    absl::StatusOr<planner::Calibration> kept = convert::ReadCalibrationFile(path);
    if (kept.ok() && kept->precision != precision)
      return absl::InvalidArgumentError(
          StrCat(path, " is not of ", planner::NameOf(planner::kPrecisionNames, precision)));
    return kept;
  }
  TUNESMITH_ASSIGN_OR_RETURN(profiler::ProbeOptions probe, ProbeOptionsOf(context, budget_seconds));
  probe.precision = precision;
  return profiler::Probe(probe, context, [](const v1::CalibrationProgress& progress) {
    std::fprintf(stderr, "%s\n", profiler::ShowProgress(progress).c_str());
  });
}

}  // namespace tunesmith
