#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "planner/answer/prediction.h"
#include "planner/program/program.h"

// Where every buffer lies. The arena is
//
//   resident | carried between blocks | saved activations, growing up, with the block in work on top | ... | gradients, growing down
//
// and its size is the most that any instant of any segment needs. With one micro-batch per step gradients are born while saved activations die,
// so the two share memory.
namespace tunesmith::planner {

inline constexpr int64_t kBufferAlignmentBytes = 256;

struct MemoryPlan {
  int64_t arena_bytes = 0;
  // offsets[buffer][i]: first byte of instance first_instance + i. Views included.
  std::vector<std::vector<int64_t>> offsets;
  std::array<int64_t, kMemoryClassCount> class_bytes =
      {};  // at the binding instant; sums to arena_bytes
  std::string binding_instant;
};

// Lays the program out. Pure and deterministic.
MemoryPlan PlanMemory(const Program& program);

// Bytes that a block's own buffers take while it runs.
int64_t PackedLocalBytes(const Program& program, const Block& block);

// The offset of the buffer that `ref` names in the run with index `run_index`.
inline int64_t OffsetOf(const Program& program, const MemoryPlan& plan, BufferRef ref,
                        int64_t run_index) {
  const Buffer& buffer = program.buffers[static_cast<size_t>(ref.buffer)];
  const auto& offsets = plan.offsets[static_cast<size_t>(ref.buffer)];
  return buffer.instance_count == 1
             ? offsets[0]
             : offsets[static_cast<size_t>(run_index + ref.shift - buffer.first_instance)];
}

// The instance that `ref` names in the run with index `run_index`.
inline int64_t InstanceOf(const Buffer& buffer, BufferRef ref, int64_t run_index) {
  return buffer.instance_count == 1 ? buffer.first_instance : run_index + ref.shift;
}

}  // namespace tunesmith::planner
