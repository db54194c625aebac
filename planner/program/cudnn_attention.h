#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "planner/program/program.h"

// What cuDNN's fused attention takes and what it needs of memory: for the planner that reserves it and the trainer that asks for engines within it. Measured
// on plans of cuDNN 9.19 for described devices (docs/adr/0030, tests/trainer/cuda/cudnn_plans_test.cc). Letters: op.h.
namespace tunesmith::planner {

// UNIMPLEMENTED, with the reason, for what cuDNN is not asked: another dtype than bf16, soft caps, ALiBi, heads that are no multiple of 8 or too large for the
// device, rows of one token. INVALID_ARGUMENT where sizes make no shape. `compute_capability`: of the device; 0: not known, the largest heads pass.
absl::Status CheckCudnnTakes(const OpAttributes& attention, DType dtype, int64_t rows,
                             int64_t compute_capability);

// Where the parts of a workspace start, in bytes, each aligned to 256; what cuDNN asks for itself is last, up to `end`.
struct CudnnWorkspace {
  int64_t document_ends = 0;  // (BT) i32
  int64_t deltas = 0;         // (B * H, T) f32, backward
  int64_t dq_sums = 0;        // (B, H, T, D) f32, backward
  int64_t cudnn = 0;
  int64_t end = 0;
};
CudnnWorkspace CudnnForwardWorkspace(const OpAttributes& attention, int64_t rows);
CudnnWorkspace CudnnBackwardWorkspace(const OpAttributes& attention, int64_t rows,
                                      int64_t compute_capability);

}  // namespace tunesmith::planner
