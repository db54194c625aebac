#pragma once

#include <cstdint>
#include <vector>

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Buffers around the final norm, the output head and the loss.
struct LossBindings {
  BufferRef input = {};  // (BT, C) what the final norm reads; with `shift`, relative to `instance`
  int32_t normed =
      -1;  // (BT, C) the final norm's output, overwritten by its gradient and then by the gradient of `input`
  int32_t rstd = -1;        // (BT)
  int32_t labels = -1;      // (BT) i32
  int32_t loss_scale = -1;  // (1) f32
  int32_t loss_sum = -1;    // (1) f64
  int64_t instance = 0;     // run index of the final norm's blocks
};

// Final norm, then for every chunk of rows the head's product, the loss, and its gradients at once (so that logits live for one chunk only),
// then the final norm's backward. Appends blocks and their runs. The head's gradient is overwritten by the first chunk of a step's first
// micro-batch and added to from then on.
void AddTrainingLoss(Program& program, const ModelParameters& parameters,
                     const LossBindings& bindings, int64_t chunk_row_count,
                     std::vector<BlockRun>& runs);

// Final norm, head and loss without gradients.
void AddEvaluationLoss(Program& program, const ModelParameters& parameters,
                       const LossBindings& bindings, int64_t chunk_row_count,
                       std::vector<BlockRun>& runs);

// Final norm, head and the most likely next token of one row.
void AddNextToken(Program& program, const ModelParameters& parameters, BufferRef input,
                  int32_t generated_token, std::vector<BlockRun>& runs);

}  // namespace tunesmith::planner
