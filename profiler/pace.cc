#include "profiler/pace.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <thread>
#include <utility>
#include <vector>

#include "common/median.h"
#include "common/status_macros.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "profiler/run_step.h"
#include "profiler/wait_seconds.h"
#include "trainer/thread_pool.h"

namespace tunesmith::profiler {
namespace {

constexpr int kSteps = 3;

// Large enough that the device is what takes the time, and not who launches its kernels.
struct Size {
  int64_t hidden_size, intermediate_size, head_count, head_size, context;
};
Size SizeOn(planner::BackendKind kind) {
  if (kind == planner::BackendKind::kCpu) return {384, 1024, 6, 64, 128};
  return {2048, 5632, 16, 128, 4096};
}

// Products, attention, norms and an update of more than caches hold, in the shares that training has.
planner::ProgramInputs Inputs(const trainer::OpContext& context, planner::Precision precision) {
  const Size size = SizeOn(context.device);
  planner::ProgramInputs in;
  in.model = {.name = "pace",
              .family = "llama",
              .layer_count = 2,
              .hidden_size = size.hidden_size,
              .intermediate_size = size.intermediate_size,
              .head_count = size.head_count,
              .kv_head_count = size.head_count,
              .head_size = size.head_size,
              .vocab_size = 1024,
              .context_limit = 4096};
  in.workload = {
      .context = size.context, .rows_per_step = 1, .evaluates = false, .generates = false};
  in.mix = {.method = planner::Method::kFull,
            .precision = precision,
            .attention = planner::AttentionKernel::kFlash};
  in.mix.recompute[static_cast<size_t>(planner::Rung::kKeep)] = in.model.layer_count;
  in.backend = trainer::BackendOf(context);
  return in;
}

}  // namespace

absl::StatusOr<Pace> Pace::Open(const trainer::OpContext& context, planner::Precision precision) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program,
                             planner::BuildProgram(Inputs(context, precision)));
  TUNESMITH_ASSIGN_OR_RETURN(auto executor,
                             trainer::Executor::Create(std::move(program), context, {}));
  TUNESMITH_RETURN_IF_ERROR(FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(RunStep(*executor).status());
  return Pace(std::move(executor));
}

absl::StatusOr<double> Pace::Measure() {
  // A GPU goes on while who launches its kernels waits for a processor.
  if (executor_->context().device == planner::BackendKind::kCuda) return MeasureWithOthers();
  const trainer::ThreadPool* const threads = executor_->context().threads;
  std::vector<double> seconds;
  for (int i = 0; i < kSteps; ++i) {
    const WaitMeter waits(threads ? threads->thread_count() : 1);
    TUNESMITH_ASSIGN_OR_RETURN(const double step_seconds, RunStep(*executor_));
    seconds.push_back(step_seconds * OwnShare(waits.Share()));
  }
  return Median(seconds);
}

absl::StatusOr<double> Pace::MeasureWithOthers() {
  std::vector<double> seconds;
  for (int i = 0; i < kSteps; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(seconds.emplace_back(), RunStep(*executor_));
  }
  return Median(seconds);
}

absl::StatusOr<double> SharingFactor(const trainer::OpContext& context,
                                     planner::Precision precision) {
  TUNESMITH_ASSIGN_OR_RETURN(Pace alone, Pace::Open(context, precision));
  TUNESMITH_ASSIGN_OR_RETURN(const double alone_seconds, alone.MeasureWithOthers());
  std::array<absl::StatusOr<double>, 2> together = {absl::UnknownError("not run"),
                                                    absl::UnknownError("not run")};
  std::barrier both_are_ready(static_cast<std::ptrdiff_t>(together.size()));
  std::vector<std::thread> ranks;
  for (absl::StatusOr<double>& seconds : together)
    ranks.emplace_back([&] {
      trainer::ThreadPool threads(std::max(1, context.threads->thread_count() / 2));
      absl::StatusOr<Pace> pace =
          Pace::Open({.device = context.device, .threads = &threads}, precision);
      both_are_ready.arrive_and_wait();
      seconds = pace.ok() ? pace->MeasureWithOthers() : pace.status();
    });
  for (std::thread& rank : ranks) rank.join();
  for (const auto& seconds : together) TUNESMITH_RETURN_IF_ERROR(seconds.status());
  return (*together[0] + *together[1]) / 2 / (2 * alone_seconds);
}

}  // namespace tunesmith::profiler
