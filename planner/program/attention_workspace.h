#pragma once

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

// `key_elements` of k and v each; `narrow`: the CPU stores them narrower than it computes.
inline Shape AttentionBackwardWorkspace(OpKind kind, const OpAttributes& attributes,
                                        int64_t key_elements, bool narrow) {
  if (kind == OpKind::kFlashAttention) {
    return Vector(FlashAttentionWorkspaceElements(attributes.head_size, kFlashWorkerCount) +
                  FlashAttentionGradientElements(key_elements, narrow));
  }
  return Cube(kEagerWorkerCount, attributes.context, attributes.context);
}

}  // namespace tunesmith::planner
