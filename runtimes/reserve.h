#pragma once

#include <cstdint>

#include "runtimes/setup.h"

// From what is allocated to what PyTorch's caching allocator reserves, and what lies outside it.
namespace tunesmith::runtimes {

// Ends of the 90 % interval of a prediction, as shares of it.
struct Spread {
  double low = 1;
  double high = 1;
};
// Set so that nine of ten published rows lie within; twice as wide, and more upwards, where the stack's version was not looked at.
inline Spread AllocatedSpread(bool version_known) {
  return version_known ? Spread{0.96, 1.06} : Spread{0.85, 1.25};
}
inline Spread ReservedSpread(bool version_known) {
  return version_known ? Spread{0.85, 1.18} : Spread{0.75, 1.4};
}

// Parts of a step as the allocator meets them, bytes.
struct AllocatedParts {
  double allocated = 0;  // the peak
  double base =
      0;  // weights, states and windows; with full fine-tuning what the optimizer step holds
  double saved_at_loss = 0;  // block inputs or kept activations
  double saved_at_backward = 0;
  double live_block = 0;  // at backward
  double loss = 0;        // logits and what is made of them
};

struct Reserve {
  double bytes = 0;  // what max_memory_reserved shows
  double stuck_bytes =
      0;  // of what is not allocated, the part that the allocator cannot give back when memory runs out
};
Reserve ReserveOf(const RunSetup& setup, const AllocatedParts& parts);

// CUDA context, libraries, and NCCL's buffers with several GPUs.
int64_t ContextBytes(const RunSetup& setup);

}  // namespace tunesmith::runtimes
