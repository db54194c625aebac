#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "planner/answer/prediction.h"
#include "planner/program/program.h"

// Where every buffer lies. The arena of the device is
//
//   resident | carried between blocks | saved activations, growing up, with the block in work on top | ... | gradients, growing down
//
// and its size is the most that any instant of any segment needs. With one micro-batch per step gradients are born while saved activations die,
// so the two share memory. The host's arena holds what layers on the host rung saved, one after another.
namespace tunesmith::planner {

struct MemoryPlan {
  std::array<int64_t, kSpaceCount> arena_bytes = {};  // by Space
  // offsets[buffer][i]: first byte of instance first_instance + i in the arena of its space. Views included.
  std::vector<std::vector<int64_t>> offsets;
  std::array<int64_t, kMemoryClassCount> class_bytes =
      {};  // of the device at the binding instant; sums to the device's arena
  std::string binding_instant;
  // The most that each kind of instant needs on the device, in the order of a job: the one that binds is among them.
  std::vector<InstantBytes> instants;

  int64_t device_bytes() const { return arena_bytes[static_cast<size_t>(Space::kDevice)]; }
  int64_t host_bytes() const { return arena_bytes[static_cast<size_t>(Space::kHost)]; }
};

// Lays the program out. Pure and deterministic.
MemoryPlan PlanMemory(const Program& program);

// PlanMemory without the offsets, for less: for predictions.
MemoryPlan MeasureMemory(const Program& program);

// The least that any layout could take on the device: the most bytes of buffers that are live during one op. Slow (it visits every op of every
// layer): for judging layouts, not for making them.
int64_t LiveLowerBoundBytes(const Program& program);

// The instance that `ref` names in the run with index `run_index`.
inline int64_t InstanceOf(const Buffer& buffer, BufferRef ref, int64_t run_index) {
  return buffer.instance_count == 1 ? buffer.first_instance : run_index + ref.shift;
}

// The offset of the buffer that `ref` names in the run with index `run_index`.
inline int64_t OffsetOf(const Program& program, const MemoryPlan& plan, BufferRef ref,
                        int64_t run_index) {
  const Buffer& buffer = program.buffers[static_cast<size_t>(ref.buffer)];
  return plan.offsets[static_cast<size_t>(ref.buffer)][static_cast<size_t>(
      InstanceOf(buffer, ref, run_index) - buffer.first_instance)];
}

}  // namespace tunesmith::planner
