#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/cuda/attention_graph.h"
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/cuda/cudnn_plan.h"

// Plans of attention in both directions, and how their workspaces are divided. For files that include CUDA's headers alone; no device is needed.
namespace tunesmith::trainer {

// Where the parts of a workspace start, in bytes, each aligned to 256; cuDNN's own part is last.
struct AttentionScratch {
  int64_t document_ends = 0;  // (BT) i32, with documents
  int64_t deltas = 0;         // (B * H, T) f32, backward
  int64_t dq_sums = 0;        // (B, H, T, D) f32, backward
  int64_t cudnn = 0;
};
AttentionScratch ForwardScratch(const AttentionGraphShape& shape);
AttentionScratch BackwardScratch(const AttentionGraphShape& shape);

struct AttentionPlans {
  AttentionGraphShape shape;
  CudnnPlan forward, backward;

  int64_t forward_workspace_bytes() const {
    return ForwardScratch(shape).cudnn + forward.workspace_bytes;
  }
  int64_t backward_workspace_bytes() const {
    return BackwardScratch(shape).cudnn + backward.workspace_bytes;
  }
};

// Errors of CheckCudnnTakes and FindCudnnPlan. `workspace_cap`: of all parts together, for each direction.
absl::StatusOr<AttentionPlans> MakeAttentionPlans(const Cudnn& cudnn,
                                                  const CudnnAttentionShape& shape,
                                                  const CudnnTarget& target, int64_t workspace_cap);

}  // namespace tunesmith::trainer
