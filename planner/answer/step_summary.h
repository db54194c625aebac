#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "planner/price/price.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What a step needs beside its layers: bytes of the device's arena and picoseconds, for one model, workload, method, loss kernel and micro-batch. Layers
// count only with their parameters.
struct StepSummary {
  int64_t resident_bytes = 0;
  int64_t stack_base_bytes =
      0;  // resident and carried of the micro segments, the slots of the host rung apart
  int64_t block_input_bytes = 0;  // of one layer
  int64_t loss_input_bytes =
      0;  // what the loss keeps of the last block's output: all of it, or nothing where it is on fewer rows
  int64_t embed_local_bytes = 0;
  int64_t embed_backward_local_bytes = 0;
  int64_t loss_local_bytes = 0;
  int64_t norm_local_bytes = 0;
  int64_t layer_gradient_bytes = 0;           // of one layer's parameters
  int64_t head_gradient_bytes = 0;            // born in the loss block
  int64_t gradients_before_layers_bytes = 0;  // head and final norm
  int64_t gradient_bytes = 0;                 // all
  int64_t exchanged_bytes = 0;                // gradients without padding
  int64_t evaluate_base_bytes = 0;   // what lies below a block's locals in the evaluate segment
  int64_t evaluate_local_bytes = 0;  // the most of any block there but the layer's
  int64_t generate_bytes = 0;        // whole segments
  int64_t save_bytes = 0;
  int64_t optimizer_bytes = 0;
  // Busy time of the compute stream.
  struct Micro {
    int64_t embed_picoseconds = 0;
    int64_t loss_picoseconds = 0;  // with the final norm, both ways
    int64_t embed_backward_picoseconds = 0;

    int64_t Sum() const {
      return embed_picoseconds + loss_picoseconds + embed_backward_picoseconds;
    }
  };
  Micro first;  // micro-batch of a step
  Micro later;
  int64_t optimizer_picoseconds = 0;
};

// Read off a program of one layer. `inputs.mix.recompute` and its attention kernel are not read. Errors as BuildProgram.
absl::StatusOr<StepSummary> SummarizeStep(const ProgramInputs& inputs, const PriceTable& prices);

}  // namespace tunesmith::planner
