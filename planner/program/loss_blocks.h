#pragma once

#include <cstdint>
#include <vector>

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Buffers around the final norm, the output head and the loss. The loss is computed on N rows: all of the BT, or those that `rows` names.
struct LossBindings {
  BufferRef input = {};   // (BT, C) the residual stream; with `shift`, relative to `instance`
  int32_t rows = -1;      // (N) i32 the rows that the loss is computed on; -1: on all
  int32_t gathered = -1;  // (N, C) these rows of `input`; where `rows` is
  int32_t normed = -1;    // (N, C) the final norm's output, overwritten by its gradient
  // (BT, C) the gradient of `input`. Where the loss is computed on all rows this is `normed`; else `gathered` may be a part of it.
  int32_t input_gradient = -1;
  int32_t mean = -1;        // (N), of a layer norm
  int32_t rstd = -1;        // (N)
  int32_t labels = -1;      // (N) i32
  int32_t loss_scale = -1;  // (1) f32
  int32_t loss_sum = -1;    // (1) f64
  int64_t instance = 0;     // run index of the final norm's blocks
};

// Buffers of `segments` for the loss on the rows that program.host.loss_rows names, or on all rows where it names none. Fills in rows, gathered,
// normed, mean, rstd, labels, loss_scale and loss_sum. `stream` (BT, C) is free before the loss and holds the gradient of the loss's input after it.
LossBindings BindTrainingLoss(Program& program, int32_t stream, uint32_t segments);

// As BindTrainingLoss, without gradients. `stream` (BT, C) is the loss's input, which may be overwritten.
LossBindings BindEvaluationLoss(Program& program, int32_t stream, uint32_t segments);

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
