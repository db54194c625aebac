#include "planner/program/gemm_shape.h"

namespace tunesmith::planner {

bool IsLinear(OpKind kind) {
  return kind == OpKind::kLinear || kind == OpKind::kLinearBias ||
         kind == OpKind::kLinearBackwardInput || kind == OpKind::kLinearBackwardWeight;
}

GemmShape GemmShapeOf(const Program& program, const Op& op) {
  const Buffer& a = program.buffers[static_cast<size_t>(op.inputs[0].buffer)];
  const Buffer& b = program.buffers[static_cast<size_t>(op.inputs[1].buffer)];
  switch (op.kind) {
    case OpKind::kLinearBackwardInput:
      return {.m = a.dims[0], .n = b.dims[1], .k = a.dims[1]};
    case OpKind::kLinearBackwardWeight:
      return {.m = a.dims[1], .n = b.dims[1], .k = a.dims[0]};
    default:
      return {.m = a.dims[0], .n = b.dims[0], .k = a.dims[1]};
  }
}

}  // namespace tunesmith::planner
