#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "planner/answer/prediction.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// The buffers that a block has for itself, packed.
struct PackedBlock {
  int64_t bytes = 0;
  std::vector<int64_t> offsets = {};  // by position in Block::locals
  // At the op where most of them live; sums to `bytes`, what packing could not fill counted as activations.
  std::array<int64_t, kMemoryClassCount> class_bytes = {};
};

PackedBlock PackBlock(const Program& program, const Block& block);
// PackBlock's bytes alone, for less.
int64_t PackedBytes(const Program& program, const Block& block);

// The buffer whose memory `buffer` lies in: itself, unless it is a view.
inline int32_t BaseOf(const Program& program, int32_t buffer) {
  const int32_t base = program.buffers[static_cast<size_t>(buffer)].view_of;
  return base >= 0 ? base : buffer;
}

// visit(op index, reference) for all inputs and outputs, in order.
template <typename Visitor>
void ForEachRef(const Block& block, Visitor visit) {
  for (size_t op = 0; op < block.ops.size(); ++op) {
    for (int i = 0; i < block.ops[op].input_count; ++i)
      visit(op, block.ops[op].inputs[static_cast<size_t>(i)]);
    for (int i = 0; i < block.ops[op].output_count; ++i)
      visit(op, block.ops[op].outputs[static_cast<size_t>(i)]);
  }
}

}  // namespace tunesmith::planner
