#pragma once

#include <cstdint>

#include "common/units.h"

// Scratch that the CPU's attention kernels need, for the planner that reserves it and the kernels
// that use it. In elements of the type that is computed in. Each worker of the thread pool uses its
// own part; a kernel that is given less runs on fewer workers, and gives the same results.
namespace tunesmith::planner {

// Flash attention works on tiles of so many queries and as many keys.
inline constexpr int64_t kFlashTile = 64;

// Of one worker, forward or backward: four tiles of queries or keys, three gradients of such tiles,
// two tiles turned round, three tiles of scores.
constexpr int64_t FlashAttentionWorkerElements(int64_t head_size) {
  const int64_t padded = AlignUp(head_size, 32);  // whole vectors
  return kFlashTile * (7 * padded + 2 * head_size + 3 * kFlashTile);
}

constexpr int64_t FlashAttentionWorkspaceElements(int64_t head_size, int64_t worker_count) {
  return worker_count * FlashAttentionWorkerElements(head_size);
}

// What backward of flash attention needs beside the workers' parts: where keys are stored narrower
// than what is computed in, their gradients and those of the values before they are rounded.
constexpr int64_t FlashAttentionGradientElements(int64_t key_elements, bool narrow) {
  return narrow ? 2 * key_elements : 0;
}

// Backward of eager attention: one T x T matrix per worker.
constexpr int64_t AttentionBackwardWorkspaceElements(int64_t context, int64_t worker_count) {
  return worker_count * context * context;
}

}  // namespace tunesmith::planner
