#pragma once

#include "runtimes/setup.h"

// Bytes that one decoder block of transformers holds, and what the loss holds, per token that a GPU computes. Each term follows from the
// dataflow of the block as that library writes it; constants that do not are in the .cc with where they were measured.
namespace tunesmith::runtimes {

struct BlockBytes {
  double input = 0;     // the block's input, kept for every checkpointed block
  double kept = 0;      // everything the backward of a block reads
  double backward = 0;  // a recomputed block at its backward: kept, and the gradients being formed
};
BlockBytes BlockBytesPerToken(const RunSetup& setup);

// Logits and what is made of them, at the loss.
double LossBytesPerToken(const RunSetup& setup);

// Attention masks of the eager kernel, for the whole micro-batch.
double MaskBytes(const RunSetup& setup);

}  // namespace tunesmith::runtimes
