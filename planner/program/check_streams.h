#pragma once

#include "absl/status/status.h"
#include "planner/program/memory_plan.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Whether the waits of a program order all that its streams do to the same bytes, however quick each stream is: INTERNAL, naming both ops and
// the buffer, where an op may write bytes while another stream still reads or writes them, or read bytes that another stream may not have written yet; or where
// an op names a buffer in a memory that its stream does not reach (the host's processors reach the host's, copies go from one to the other, all else works on the
// device's). Two steps are followed, the second right behind the first; where other segments begin and end (IsOfStep), streams wait for each other. Nothing to check where a backend has one stream. A test of the builder and of the
// memory plan, by vector clocks (Fidge 1988); linear in the number of op executions.
absl::Status CheckStreams(const Program& program, const MemoryPlan& plan);

}  // namespace tunesmith::planner
