#pragma once

#include "planner/program/forward_graph.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::planner {

// Where one use of a decoder layer reads and writes.
struct LayerBindings {
  BufferRef input = {};            // (N, C): of the tokens that a rank has
  BufferRef output = {};           // (N, C)
  BufferRef input_gradient = {};   // buffer -1: not wanted (nothing below is trainable)
  BufferRef output_gradient = {};  // complete when backward starts
  BufferRef dropout_key = {};      // (2) u64; buffer -1: adapters drop nothing
  BufferRef positions = {};        // (N) i32
  BufferRef document_starts = {};  // (BT) i32, of all tokens; training and evaluation
  BufferRef
      key_cache = {},
      value_cache =
          {};  // (context, K*D); buffer >= 0: one-token decoding instead of attention over the rows
};

// Of every attention op of the model where so many ranks share what a query attends to.
OpAttributes AttentionAttributes(const ProgramInputs& inputs, int64_t attending_ranks);

// The forward pass of one layer: x + attention(norm(x)), then x + mlp(norm(x)); of parallel blocks x + attention(norm(x)) + mlp(norm(x)). With post
// norms, what attention and MLP give is normed before it is added.
ForwardGraph DecoderLayer(const Program& program, const ModelParameters& parameters,
                          const LayerBindings& bindings);

}  // namespace tunesmith::planner
