#include "trainer/cuda/attention_plans.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

AttentionGraphShape GraphShapeOf(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  return {.rows = shape.rows,
          .context = a.context,
          .head_count = a.head_count,
          .kv_head_count = a.kv_head_count,
          .head_size = a.head_size,
          // One that hides nothing would cost a mask.
          .window = a.window < a.context ? a.window : 0,
          .query_stride = shape.query_stride,
          .key_stride = shape.key_stride,
          .documents = shape.documents};
}

// What the project's parts leave is cuDNN's.
absl::StatusOr<CudnnPlan> FindPlan(const char* direction, const Cudnn& cudnn,
                                   absl::StatusOr<CudnnGraph> graph, const CudnnTarget& target,
                                   const planner::CudnnWorkspace& workspace) {
  TUNESMITH_RETURN_IF_ERROR(graph.status());
  absl::StatusOr<CudnnPlan> plan =
      FindCudnnPlan(cudnn, *std::move(graph), target, workspace.end - workspace.cudnn);
  if (plan.ok()) return plan;
  return absl::Status(plan.status().code(),
                      StrCat("attention ", direction, ": ", ToStd(plan.status().message())));
}

}  // namespace

AttentionWorkspaces PlannedWorkspaces(const CudnnAttentionShape& shape,
                                      int64_t compute_capability) {
  const planner::OpAttributes attributes = AttributesOf(shape);
  return {planner::CudnnForwardWorkspace(attributes, shape.rows),
          planner::CudnnBackwardWorkspace(attributes, shape.rows, compute_capability)};
}

absl::StatusOr<AttentionPlans> MakeAttentionPlans(const Cudnn& cudnn,
                                                  const CudnnAttentionShape& shape,
                                                  const CudnnTarget& target,
                                                  const AttentionWorkspaces& workspaces) {
  // Which devices take the largest heads is cuDNN's to say.
  TUNESMITH_RETURN_IF_ERROR(
      planner::CheckCudnnTakes(AttributesOf(shape), DType::kBF16, shape.rows, 0));
  AttentionPlans plans;
  plans.shape = GraphShapeOf(shape);
  plans.workspaces = workspaces;
  TUNESMITH_ASSIGN_OR_RETURN(
      plans.forward,
      FindPlan("forward", cudnn, AttentionForwardGraph(cudnn, plans.shape, target.handle), target,
               workspaces.forward));
  TUNESMITH_ASSIGN_OR_RETURN(
      plans.backward,
      FindPlan("backward", cudnn, AttentionBackwardGraph(cudnn, plans.shape, target.handle), target,
               workspaces.backward));
  return plans;
}

}  // namespace tunesmith::trainer
