#pragma once

#include <utility>

#include "planner/program/forward_graph.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

inline int32_t AddBuffer(Program& program, Buffer buffer) {
  program.buffers.push_back(std::move(buffer));
  return static_cast<int32_t>(program.buffers.size()) - 1;
}

// A buffer that passes between the blocks of the segments in the bit set.
inline int32_t AddCarried(Program& program, Name name, DType dtype, Shape shape, uint32_t segments,
                          int64_t instance_count = 1, int64_t ring_count = 0) {
  return AddBuffer(program, {.name = name,
                             .dtype = dtype,
                             .dims = shape.dims,
                             .rank = shape.rank,
                             .region = Region::kCarried,
                             .instance_count = instance_count,
                             .ring_count = ring_count,
                             .segments = segments});
}

constexpr uint32_t Bit(SegmentKind kind) { return 1u << static_cast<int>(kind); }
inline constexpr uint32_t kMicroSegments =
    Bit(SegmentKind::kMicroFirst) | Bit(SegmentKind::kMicroMiddle) | Bit(SegmentKind::kMicroLast);

}  // namespace tunesmith::planner
