#pragma once

#include <cstdint>

#include "planner/program/program.h"

namespace tunesmith::planner {

// Whether an op of this kind is a matrix product.
bool IsLinear(OpKind kind);

// The matrix product that a linear op is: C (m, n) = A (m, k) B (k, n).
struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
};
GemmShape GemmShapeOf(const Program& program, const Op& op);

}  // namespace tunesmith::planner
