#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/convert/plan.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::profiler {

struct PlanProbe {
  double step_seconds = 0;  // median
  int64_t step_count = 0;   // steps that were timed
  int64_t arena_bytes = 0;
};

// Runs steps of a plan as it is, at its real shape, with random weights and tokens: at least one after a warm-up micro-batch, three where they take less than ten
// seconds each. UNIMPLEMENTED for a plan of several ranks; RESOURCE_EXHAUSTED where it does not fit; otherwise errors as Executor.
absl::StatusOr<PlanProbe> ProbePlan(const convert::Plan& plan, const trainer::OpContext& context);

}  // namespace tunesmith::profiler
