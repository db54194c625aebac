#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/price/price.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// An op that moves a bucket, or adds to it on the host, with its time.
struct Transfer {
  Stream stream = Stream::kCompute;
  uint8_t waits = 0;
  bool between_ranks = false;
  bool last_micro_only = false;
  int64_t first_picoseconds = 0;  // in the first micro-batch of a step
  int64_t later_picoseconds = 0;
};

// What moves for one layer or for an end of the model, in the order of the ops.
struct PlaceTransfers {
  std::vector<Transfer> gathers;
  std::vector<Transfer> reductions;
};

struct Collectives {
  bool any = false;           // parameters lie in buckets
  bool overlap = false;       // transfers have streams of their own
  bool gathers = false;       // weights pass through slots
  bool gathers_late = false;  // in front of the block that reads them: gather_depth=0
  bool writes_slots = false;  // gradients do
  uint8_t weight_waits = 0;   // see collectives.h
  uint8_t backward_waits = 0;
  PlaceTransfers embedding;
  PlaceTransfers layer;
  PlaceTransfers head;
};

// What a step needs beside its layers: bytes of the device's arena and picoseconds, for one model, workload, method, loss kernel and micro-batch. Layers
// count only with their parameters.
struct StepSummary {
  int64_t resident_bytes = 0;
  int64_t host_bytes = 0;  // of the host's arena: what is kept there of parameters
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
  int64_t evaluate_base_bytes = 0;   // what lies below a block's locals in the evaluate segment
  int64_t evaluate_local_bytes = 0;  // the most of any block there but the layer's
  int64_t generate_bytes = 0;        // whole segments
  int64_t save_bytes = 0;
  int64_t optimizer_bytes = 0;
  struct Micro {
    BlockPrice embed;
    BlockPrice loss;  // with the final norm, both ways
    BlockPrice embed_backward;

    int64_t ComputePicoseconds() const {
      return embed.compute_picoseconds + loss.compute_picoseconds +
             embed_backward.compute_picoseconds;
    }
  };
  // Of a step's first micro-batch, the ones in the middle and the last of several.
  std::array<Micro, 3> micros;
  BlockPrice optimizer;
  Collectives collectives;
};

// Read off a program of one layer. `inputs.mix.recompute` and its attention kernel are not read. Errors as BuildProgram.
absl::StatusOr<StepSummary> SummarizeStep(const ProgramInputs& inputs, const PriceTable& prices);

}  // namespace tunesmith::planner
