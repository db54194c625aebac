#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "planner/program/program.h"
#include "trainer/arena.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer {

// Elements of one instance of a weight, however it is stored.
int64_t ElementCountOf(const planner::Program& program, const planner::Parameter& parameter);

// Writes a quantized matrix, as far as this rank holds it, to the buffers of the parameter's instance. REQUIRES: it is quantized as the parameter is, in its size.
absl::Status WriteQuantized(Arena& arena, const planner::Parameter& parameter, int64_t instance,
                            const Nf4Weight& weight);

// Quantizes `values` to 4-bit NormalFloat and writes them likewise. REQUIRES: parameter.absmax >= 0 and
// ElementCountOf(parameter) values.
absl::Status WriteQuantized(Arena& arena, const planner::Parameter& parameter, int64_t instance,
                            absl::Span<const float> values);

}  // namespace tunesmith::trainer
