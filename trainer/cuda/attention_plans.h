#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "planner/program/cudnn_attention.h"
#include "trainer/cuda/attention_graph.h"
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/cuda/cudnn_plan.h"

// Plans of attention in both directions, and how their workspaces are divided. For files that include CUDA's headers alone; no device is needed.
namespace tunesmith::trainer {

// How each direction's workspace is divided; engines stay before `end`.
struct AttentionWorkspaces {
  planner::CudnnWorkspace forward, backward;
};
// As programs plan them. `compute_capability`: of the device.
AttentionWorkspaces PlannedWorkspaces(const CudnnAttentionShape& shape, int64_t compute_capability);

struct AttentionPlans {
  AttentionGraphShape shape;
  AttentionWorkspaces workspaces;
  CudnnPlan forward, backward;

  int64_t forward_workspace_bytes() const {
    return workspaces.forward.cudnn + forward.workspace_bytes;
  }
  int64_t backward_workspace_bytes() const {
    return workspaces.backward.cudnn + backward.workspace_bytes;
  }
};

// Errors of planner::CheckCudnnTakes and FindCudnnPlan.
absl::StatusOr<AttentionPlans> MakeAttentionPlans(const Cudnn& cudnn,
                                                  const CudnnAttentionShape& shape,
                                                  const CudnnTarget& target,
                                                  const AttentionWorkspaces& workspaces);

}  // namespace tunesmith::trainer
