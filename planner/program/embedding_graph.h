#pragma once

#include "planner/program/forward_graph.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::planner {

// Where the embedding reads and writes.
struct EmbeddingBindings {
  BufferRef tokens = {};           // (BT) i32
  BufferRef positions = {};        // (BT) i32
  BufferRef output = {};           // (BT, C)
  BufferRef output_gradient = {};  // complete when backward starts; buffer -1: not wanted
};

// The embedded tokens, scaled; learned positions are added.
ForwardGraph EmbeddingGraph(const Program& program, const ModelParameters& parameters,
                            const EmbeddingBindings& bindings);

}  // namespace tunesmith::planner
