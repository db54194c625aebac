#pragma once

#include "runtimes/setup.h"

// Bytes per GPU of weights, gradients and optimizer states, and of the windows through which sharded ones pass.
namespace tunesmith::runtimes {

struct StateBytes {
  double weights = 0;          // frozen and trained, this GPU's share
  double gradients = 0;        // of all that is trained, once backward is over
  double whole_gradients = 0;  // while micro-batches before the last accumulate; 0: as `gradients`
  double early_gradients = 0;  // born when the last block's backward peaks: head and one block
  double optimizer = 0;        // moments and masters
  double optimizer_temporary = 0;  // while it steps
  double window = 0;  // gathered weights and communication buffers during forward and backward
  double host = 0;    // of this GPU's share, in host memory
};
StateBytes StateBytesPerGpu(const RunSetup& setup);

// Bytes a weight of a block's linears takes as it is stored.
double LinearWeightBytes(const RunSetup& setup);

}  // namespace tunesmith::runtimes
