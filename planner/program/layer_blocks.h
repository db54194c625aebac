#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "planner/program/collectives.h"
#include "planner/program/forward_graph.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What makes a layer's blocks differ from another's of the same model and mix.
struct LayerVariant {
  Rung rung = Rung::kKeep;
  bool input_gradient = true;  // something below asks for the gradient of its input
  bool last_on_host =
      false;  // of the layers on the host rung, the one whose output is kept on the device
  bool fetches = false;   // host rung: brings the input of the layer below while it runs backward
  LayerPlace place = {};  // of its weights, where ranks share them

  bool operator==(const LayerVariant&) const = default;
};

LayerVariant VariantOf(const ProgramInputs& inputs, int64_t layer);

// Buffers that the layers of a micro-batch share.
struct LayerBuffers {
  int32_t block_input =
      -1;  // inputs of the layers that are not on the host rung, and the last layer's output
  int32_t slots = -1;  // inputs of layers on the host rung while they are at work: two at a time
  int32_t host_input = -1;  // the same inputs in the host's memory
  int32_t stream = -1;      // gradient of the residual stream
};

// Adds the buffers for the mix's recompute counts.
LayerBuffers AddLayerBuffers(Program& program);

// The forward pass of a layer, and the values that backward reads (ReadByBackward).
struct LayerForward {
  ForwardGraph graph;
  std::vector<ValueId> reads;
};

// Of a layer of this variant. Rungs on the device have the same.
LayerForward LayerForwardOf(Program& program, const ModelParameters& parameters,
                            const LayerBuffers& buffers, const LayerVariant& variant);

// Forward and backward blocks of layers [first, first + count), which have one variant; with the buffers that they save. Without what goes between ranks for
// their parameters (collectives.h).
struct LayerBlocks {
  int64_t first = 0;
  int64_t count = 0;
  int32_t forward = -1;
  int32_t backward = -1;
};
LayerBlocks AddLayerBlocks(Program& program, const LayerForward& layer, const LayerBuffers& buffers,
                           const LayerVariant& variant, int64_t first, int64_t count);

// All that makes the blocks of a layer on the host rung differ from those of one that keeps its input on the device (Rung::kBlock): copies, and
// what waits for them. `waits` as Op::waits.
struct HostCopies {
  uint8_t output_waits = 0;  // of the first op of forward that writes the layer's output
  Op to_host;                // the last op of forward
  uint8_t input_waits = 0;   // of the first op of backward
  std::optional<Op> fetch;   // the second op of backward
};
HostCopies HostCopiesOf(const Program& program, const LayerBuffers& buffers,
                        const LayerVariant& variant);

// Whether the op writes to (a view of) the buffer.
bool Writes(const Program& program, const Op& op, int32_t buffer);

// Blocks of all layers, ranges of one variant in order.
std::vector<LayerBlocks> AddAllLayerBlocks(Program& program, const ModelParameters& parameters,
                                           const LayerBuffers& buffers);

}  // namespace tunesmith::planner
