#include "trainer/op_times.h"

#include "common/status_macros.h"

namespace tunesmith::trainer {

absl::StatusOr<DeviceTimer*> OpTimes::NextTimer(planner::Stream stream) {
  Timers& timers = timers_[static_cast<size_t>(stream)];
  if (timers.used_count == timers.all.size()) {
    TUNESMITH_ASSIGN_OR_RETURN(timers.all.emplace_back(), DeviceTimer::Create(context_, stream));
  }
  return timers.all[timers.used_count++].get();
}

absl::Status OpTimes::Time(const planner::Op& op, const OpCall& call,
                           absl::FunctionRef<absl::Status()> issue) {
  TUNESMITH_ASSIGN_OR_RETURN(DeviceTimer * timer, NextTimer(op.stream));
  TUNESMITH_RETURN_IF_ERROR(timer->Start());
  TUNESMITH_RETURN_IF_ERROR(issue());
  queued_.push_back({&op, call, timer});
  return timer->Stop();
}

absl::Status OpTimes::Tell(
    absl::FunctionRef<void(const planner::Op& op, const OpCall& call, double seconds)> told) {
  for (const Queued& queued : queued_) {
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, queued.timer->Seconds());
    told(*queued.op, queued.call, seconds);
  }
  queued_.clear();
  for (Timers& timers : timers_) timers.used_count = 0;
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
