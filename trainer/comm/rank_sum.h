#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/dtype.h"

namespace tunesmith::trainer {

// OK for the types that sums are defined for: f64, f32, bf16. INVALID_ARGUMENT names another.
absl::Status CheckSummed(DType dtype);

// `out` (count elements) = the elements of all sources, added in their order in the accumulation type and rounded once; `accumulate`: with `out`'s
// elements added last. `out` may be one of the sources, else it is apart from them. REQUIRES: CheckSummed(dtype).ok(), a source.
void SumRanks(absl::Span<const void* const> sources, void* out, int64_t count, DType dtype,
              bool accumulate);

}  // namespace tunesmith::trainer
