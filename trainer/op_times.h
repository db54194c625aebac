#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "planner/program/op.h"
#include "trainer/device_timer.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Times of ops where they run on a device, in their queues and beside what runs at the same time: nothing waits for an op because it is timed. Not thread safe.
class OpTimes {
 public:
  // What `context` points to must outlive it.
  explicit OpTimes(const OpContext& context) : context_(context) {}

  // Queues an op by `issue`, between two points in time of its stream. `op` must live until its time is told.
  absl::Status Time(const planner::Op& op, const OpCall& call,
                    absl::FunctionRef<absl::Status()> issue);

  // Waits for the ops that were queued since it was called last, and tells their seconds, in order.
  absl::Status Tell(
      absl::FunctionRef<void(const planner::Op& op, const OpCall& call, double seconds)> told);

 private:
  struct Queued {
    const planner::Op* op;
    OpCall call;
    DeviceTimer* timer;
  };
  // Timers of a stream, of which the first so many are in use.
  struct Timers {
    std::vector<std::unique_ptr<DeviceTimer>> all;
    size_t used_count = 0;
  };
  absl::StatusOr<DeviceTimer*> NextTimer(planner::Stream stream);

  const OpContext context_;
  std::array<Timers, planner::kStreamCount> timers_;
  std::vector<Queued> queued_;
};

}  // namespace tunesmith::trainer
