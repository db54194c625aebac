#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "planner/answer/search.h"

// Whether a question can be asked, and a mix be an answer to it.
namespace tunesmith::planner {

// INVALID_ARGUMENT: model, workload or device count out of range, rows that do not divide over the devices, a pinned axis that cannot be
// met (the equation is printed).
// UNIMPLEMENTED: the bundled trainer does not run on the device, with what to ask for instead.
absl::Status ValidateQuestion(const Question& question);

// INVALID_ARGUMENT: the mix contradicts itself or the question's model and devices (the equation is printed).
absl::Status ValidateMixFor(const Question& question, const Mix& mix);

// Whether so many ranks may share the question's micro-batches: data ranks take as many rows each, and these make up whole micro-batches, whose tokens and heads
// the ranks share evenly. INVALID_ARGUMENT has the equation that does not hold.
absl::Status CheckSequenceParallel(const Question& question, int64_t ranks);

}  // namespace tunesmith::planner
