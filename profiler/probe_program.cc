#include "profiler/probe_program.h"

#include <malloc.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "profiler/fill_with_data.h"
#include "profiler/host_probe.h"
#include "profiler/run_step.h"
#include "profiler/wait_seconds.h"
#include "trainer/device_use.h"
#include "trainer/executor.h"
#include "trainer/thread_pool.h"

namespace tunesmith::profiler {
namespace {

using trainer::Executor;

constexpr size_t kLeastRounds = 2;
// The host's own threads take less than that now and then.
constexpr double kQuietShare = 0.02;

int64_t ArenaBytes(Executor& executor) {
  const planner::MemoryPlan& plan = executor.arena().plan();
  return plan.device_bytes() + plan.host_bytes();
}

// On a GPU the events between ops that are timed take a little themselves, so that the step is run once more without; a processor runs them one after the other anyhow.
absl::StatusOr<Round> RunRound(Executor& executor, int64_t thread_count) {
  Round round{.ops = OpStatistics(&executor.program())};
  const WaitMeter waits(thread_count);
  executor.set_observer(&round.ops);
  const absl::StatusOr<double> observed = RunStep(executor);
  executor.set_observer(nullptr);
  TUNESMITH_ASSIGN_OR_RETURN(round.step_seconds, observed);
  // A GPU goes on while who launches its kernels waits for a processor.
  if (executor.context().device == planner::BackendKind::kCuda) {
    TUNESMITH_ASSIGN_OR_RETURN(round.step_seconds, RunStep(executor));
    return round;
  }
  round.waited_share = waits.Share();
  return round;
}

// Goes on until there are enough quiet ones, but not for ever.
absl::StatusOr<std::vector<Round>> RunRounds(Executor& executor, int64_t thread_count,
                                             double until) {
  const double patience = std::max(0.0, until - MonotonicSeconds());
  std::vector<Round> rounds;
  size_t quiet_count = 0;
  for (;;) {
    const double now = MonotonicSeconds();
    if (rounds.size() >= kLeastRounds && now >= until &&
        (quiet_count >= kLeastRounds || now >= until + patience))
      return rounds;
    TUNESMITH_ASSIGN_OR_RETURN(Round round, RunRound(executor, thread_count));
    rounds.push_back(std::move(round));
    if (rounds.back().waited_share <= kQuietShare) ++quiet_count;
  }
}

// The middle value, the mean of two: the larger of two steps, which are often all there are, would be too long by what they differ.
double Middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t count = values.size();
  return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

Sample SampleOf(const std::shared_ptr<const planner::Program>& program,
                const std::vector<Round>& rounds) {
  Sample sample{.program = program, .ops = OpStatistics(program.get())};
  std::vector<double> steps, waited;
  for (const Round& round : rounds) {
    sample.ops.Merge(round.ops, 1 / OwnShare(round.waited_share));
    steps.push_back(round.step_seconds * OwnShare(round.waited_share));
    waited.push_back(round.waited_share);
  }
  sample.step_seconds = Middle(steps);
  sample.waited_share = Middle(waited);
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
  sample.step_spread = (*most - *least) / sample.step_seconds;
  return sample;
}

// What the process takes beside the arena: of a device that has memory of its own, there.
absl::StatusOr<int64_t> OutsideArenaBytes(Executor& executor) {
  const trainer::OpContext& context = executor.context();
  if (context.device == planner::BackendKind::kCpu) {
    malloc_trim(0);  // what was freed of filling the weights is no part of a job
    return std::max<int64_t>(0, ResidentBytes() - ArenaBytes(executor));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t used, trainer::DeviceBytesInUse(context));
  const int64_t arena = executor.arena().plan().device_bytes();
  return std::max<int64_t>(0, used - trainer::AllocatedBytes(context, arena));
}

absl::StatusOr<Sample> RunProgram(const std::shared_ptr<const planner::Program>& program,
                                  const trainer::OpContext& context, double until) {
  const double start = MonotonicSeconds();
  TUNESMITH_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                             Executor::Create(*program, context, {}));
  TUNESMITH_RETURN_IF_ERROR(FillWithData(*executor));
  TUNESMITH_RETURN_IF_ERROR(WarmUp(*executor));
  const int64_t thread_count = context.threads ? context.threads->thread_count() : 1;
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Round> rounds, RunRounds(*executor, thread_count, until));
  Sample sample = SampleOf(program, QuietRounds(std::move(rounds)));
  sample.spent_seconds = MonotonicSeconds() - start;
  TUNESMITH_ASSIGN_OR_RETURN(sample.outside_arena_bytes, OutsideArenaBytes(*executor));
  return sample;
}

}  // namespace

std::vector<Round> QuietRounds(std::vector<Round> rounds) {
  std::stable_sort(rounds.begin(), rounds.end(),
                   [](const Round& a, const Round& b) { return a.waited_share < b.waited_share; });
  while (rounds.size() > kLeastRounds && rounds.back().waited_share > kQuietShare)
    rounds.pop_back();
  return rounds;
}

// The arena says when it does not fit; what is beside it, a tensor in fp32 among it, throws.
absl::StatusOr<Sample> ProbeProgram(const std::shared_ptr<const planner::Program>& program,
                                    const trainer::OpContext& context, double until) {
  try {
    return RunProgram(program, context, until);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        "this host gave no memory for a probe's tensors beside its arena; free some, or raise the "
        "limit of this process");
  }
}

}  // namespace tunesmith::profiler
