#include "trainer/cuda/attention_plans.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kAlignmentBytes = 256;

AttentionGraphShape GraphShapeOf(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  return {.rows = shape.rows,
          .context = a.context,
          .head_count = a.head_count,
          .kv_head_count = a.kv_head_count,
          .head_size = a.head_size,
          // One that hides nothing would cost a mask.
          .window = a.window < a.context ? a.window : 0,
          .documents = shape.documents};
}

// What the project's parts leave of the cap is cuDNN's.
absl::StatusOr<CudnnPlan> FindPlan(const char* direction, const Cudnn& cudnn,
                                   absl::StatusOr<CudnnGraph> graph, const CudnnTarget& target,
                                   const AttentionScratch& scratch, int64_t workspace_cap) {
  TUNESMITH_RETURN_IF_ERROR(graph.status());
  absl::StatusOr<CudnnPlan> plan =
      FindCudnnPlan(cudnn, *std::move(graph), target, workspace_cap - scratch.cudnn);
  if (plan.ok()) return plan;
  return absl::Status(plan.status().code(),
                      StrCat("attention ", direction, ": ", ToStd(plan.status().message())));
}

}  // namespace

AttentionScratch ForwardScratch(const AttentionGraphShape& shape) {
  AttentionScratch scratch;
  const int64_t ends_bytes = shape.documents ? shape.token_count() * SizeOf(DType::kI32) : 0;
  scratch.deltas = scratch.dq_sums = scratch.cudnn = AlignUp(ends_bytes, kAlignmentBytes);
  return scratch;
}

AttentionScratch BackwardScratch(const AttentionGraphShape& shape) {
  const int64_t f32_bytes = SizeOf(DType::kF32);
  AttentionScratch scratch = ForwardScratch(shape);
  scratch.dq_sums = scratch.deltas + AlignUp(shape.query_count() * f32_bytes, kAlignmentBytes);
  scratch.cudnn =
      scratch.dq_sums + AlignUp(shape.query_count() * shape.head_size * f32_bytes, kAlignmentBytes);
  return scratch;
}

absl::StatusOr<AttentionPlans> MakeAttentionPlans(const Cudnn& cudnn,
                                                  const CudnnAttentionShape& shape,
                                                  const CudnnTarget& target,
                                                  int64_t workspace_cap) {
  TUNESMITH_RETURN_IF_ERROR(CheckCudnnTakes(shape));
  AttentionPlans plans;
  plans.shape = GraphShapeOf(shape);
  TUNESMITH_ASSIGN_OR_RETURN(
      plans.forward,
      FindPlan("forward", cudnn, AttentionForwardGraph(cudnn, plans.shape, target.handle), target,
               ForwardScratch(plans.shape), workspace_cap));
  TUNESMITH_ASSIGN_OR_RETURN(
      plans.backward,
      FindPlan("backward", cudnn, AttentionBackwardGraph(cudnn, plans.shape, target.handle), target,
               BackwardScratch(plans.shape), workspace_cap));
  return plans;
}

}  // namespace tunesmith::trainer
