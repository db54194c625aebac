#pragma once

#include <cstdint>

// Scratch that the CPU's attention kernels need, for the planner that reserves it and the kernels
// that use it. In elements of the compute dtype. Each worker of the thread pool uses its own part;
// a kernel that is given less runs on fewer workers, and gives the same results.
namespace tunesmith::planner {

// Flash attention works on tiles of so many queries and keys.
inline constexpr int64_t kFlashQueryTile = 128;
inline constexpr int64_t kFlashKeyTile = 128;

// Of one worker, forward or backward: two score tiles, the gradients of a tile of keys and values,
// two numbers per query.
constexpr int64_t FlashAttentionWorkerElements(int64_t head_size) {
  return 2 * kFlashQueryTile * kFlashKeyTile + 2 * kFlashKeyTile * head_size + 2 * kFlashQueryTile;
}

constexpr int64_t FlashAttentionWorkspaceElements(int64_t head_size, int64_t worker_count) {
  return worker_count * FlashAttentionWorkerElements(head_size);
}

// Backward of eager attention: one T x T matrix per worker.
constexpr int64_t AttentionBackwardWorkspaceElements(int64_t context, int64_t worker_count) {
  return worker_count * context * context;
}

}  // namespace tunesmith::planner
