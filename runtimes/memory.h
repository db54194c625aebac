#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "runtimes/setup.h"

// What a GPU's memory holds during a step of another runtime, by instant, in closed form.
namespace tunesmith::runtimes {

enum class Instant { kLoad, kLoss, kBackward, kOptimizer };
inline constexpr int kInstantCount = 4;
std::string_view InstantName(Instant instant);  // "load", "loss", "backward", "optimizer step"

// A value with the range that nine of ten runs are expected in.
struct Interval {
  int64_t bytes = 0;
  int64_t low_bytes = 0;
  int64_t high_bytes = 0;
};

struct MemoryPrediction {
  // Bytes allocated at each instant, in the order of Instant; the peak is the largest.
  std::array<int64_t, kInstantCount> instant_bytes = {};
  Instant binding_instant = Instant::kLoad;
  // torch.cuda.max_memory_allocated.
  Interval allocated = {};
  // torch.cuda.max_memory_reserved. It hangs on the history of the caching allocator, so its interval is wide.
  Interval reserved = {};
  // What nvidia-smi shows of the process: reserved, context, libraries, NCCL.
  Interval process = {};
  int64_t context_bytes = 0;  // outside the allocator
  int64_t host_bytes = 0;     // offloaded, per GPU
  // allocated + context <= the device's memory.
  bool fits = false;
  // The device's memory holds what fits only because the allocator gives cached blocks back: slower, and the first to fail on a longer row.
  bool tight = false;
  // Parts, each where it is largest; they are not all there at once.
  int64_t weight_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0, optimizer_temporary_bytes = 0,
          window_bytes = 0, saved_bytes = 0, live_block_bytes = 0, loss_bytes = 0;
};

// REQUIRES: ValidateSetup(setup) is OK.
MemoryPrediction PredictMemory(const RunSetup& setup);

}  // namespace tunesmith::runtimes
