#pragma once

#include <cstdint>

// What the emulated cublasLt offers, for tests of how algorithms are chosen.
namespace tunesmith::emulation {

// Algorithms that the heuristic names for a product, likeliest first. The i-th takes `delays_ms[i]` longer, and `load_ms[i]` more when it runs for the first time; one of a negative delay fails
// when it runs. They all compute the same.
inline constexpr int kMostAlgorithms = 4;
struct EmulatedAlgorithms {
  int count = 1;
  int delays_ms[kMostAlgorithms] = {};
  int load_ms[kMostAlgorithms] = {};
  int64_t run_counts[kMostAlgorithms] = {};  // how often each has run
  uint32_t reduction_schemes = 0;            // that the heuristic was allowed last
};
EmulatedAlgorithms& Algorithms();

}  // namespace tunesmith::emulation
