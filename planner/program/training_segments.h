#pragma once

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Rows of the head's matrix product that chunked loss forms at once. 1024 and more run at the full matrix rate on GPUs, and 1024 rows of a
// 128k vocabulary in bf16 are 256 MiB.
inline constexpr int64_t kLossChunkRowCount = 1024;

// Appends the segments of a step's micro-batches. They have the same blocks: whether gradients of parameters are overwritten or added to is
// decided by the kind of the segment that runs.
// `layers`: whether their blocks are among those of the micro-batches.
void AddTrainingSegments(Program& program, const ModelParameters& parameters, bool layers = true);

// Appends the evaluate segment: forward and loss of one micro-batch with nothing saved.
void AddEvaluateSegment(Program& program, const ModelParameters& parameters);

// Appends the generate segment: the most likely next token after one token, with a key/value cache of the context's size.
void AddGenerateSegment(Program& program, const ModelParameters& parameters);

}  // namespace tunesmith::planner
