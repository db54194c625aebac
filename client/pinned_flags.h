#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tunesmith/v1/recommender.pb.h"

namespace CLI {
class App;
}

// The flags that take an axis out of the search's hands.
namespace tunesmith::client {

struct PinnedFlags {
  std::string attention;
  std::string loss;
  std::string recompute;       // rungs, joined by commas
  int64_t micro_batch = 0;     // 0: free
  int64_t mlp_tile_count = 0;  // 0: free
  int64_t zero_stage = -1;     // -1: free
  std::string offload;
  int64_t offload_percent = 0;    // 0: free
  int64_t gather_depth = -1;      // -1: free
  int64_t sequence_parallel = 0;  // 0: free
};

void AddPinnedFlags(CLI::App& app, PinnedFlags& flags);

// Sets `question.pinned` where a flag was given. INVALID_ARGUMENT names the rung that is not one.
absl::Status SetPinned(const PinnedFlags& flags, v1::Question& question);

}  // namespace tunesmith::client
