#pragma once

#include "planner/program/cudnn_attention.h"
#include "planner/program/forward_graph.h"
#include "planner/program/workspace.h"

namespace tunesmith::planner {

// Workers that the program reserves scratch for; kernels on machines with more cores use no more. Eager attention, the baseline, is not worth
// more: its scratch is a whole score matrix for each.
inline constexpr int64_t kFlashWorkerCount = 16;
inline constexpr int64_t kEagerWorkerCount = 2;

inline Shape FlashWorkspace(const OpAttributes& attributes) {
  return Matrix(kFlashWorkerCount, FlashAttentionWorkerElements(attributes.head_size));
}

// f32 elements that hold so many bytes.
inline Shape F32Holding(int64_t bytes) { return Vector(CeilDivide(bytes, SizeOf(DType::kF32))); }

// Forward of an attention kernel that keeps no scores, over so many rows.
inline Shape AttentionForwardWorkspace(OpKind kind, const OpAttributes& attributes, int64_t rows) {
  return kind == OpKind::kCudnnAttention ? F32Holding(CudnnForwardWorkspace(attributes, rows).end)
                                         : FlashWorkspace(attributes);
}

// `key_elements` of k and v each, in so many rows; `narrow`: the CPU stores them narrower than it computes.
inline Shape AttentionBackwardWorkspace(OpKind kind, const OpAttributes& attributes, int64_t rows,
                                        int64_t key_elements, bool narrow,
                                        int64_t compute_capability) {
  if (kind == OpKind::kCudnnAttention)
    return F32Holding(CudnnBackwardWorkspace(attributes, rows, compute_capability).end);
  if (kind == OpKind::kFlashAttention) {
    return Vector(FlashAttentionWorkspaceElements(attributes.head_size, kFlashWorkerCount) +
                  FlashAttentionGradientElements(key_elements, narrow));
  }
  return Cube(kEagerWorkerCount, attributes.context, attributes.context);
}

}  // namespace tunesmith::planner
