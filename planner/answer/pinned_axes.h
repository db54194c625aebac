#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "planner/model/mix.h"

namespace tunesmith::planner {

// Bit set of rungs.
inline constexpr uint32_t BitOf(Rung rung) { return 1u << static_cast<uint32_t>(rung); }
inline constexpr uint32_t kAnyRung = (1u << kRungCount) - 1;

// Placement axes that the question fixes; the search chooses the others. Pins never change what is learned.
struct PinnedAxes {
  std::optional<AttentionKernel> attention;
  std::optional<LossKernel> loss;
  std::optional<int64_t> micro_batch;
  std::optional<int64_t> mlp_tile_count;
  std::optional<int64_t> zero_stage;  // read where there are several devices
  std::optional<Offload> offload;
  std::optional<int64_t> offload_percent;    // read where the host keeps states alone
  std::optional<int64_t> gather_depth;       // read where weights pass through slots
  std::optional<int64_t> sequence_parallel;  // ranks of a micro-batch
  uint32_t rungs = kAnyRung;                 // the rungs that layers may take

  bool operator==(const PinnedAxes&) const = default;
};

// True where every layer of `recompute` takes a rung of the set.
inline bool TakesOnly(const std::array<int64_t, kRungCount>& recompute, uint32_t rungs) {
  for (size_t rung = 0; rung < kRungCount; ++rung) {
    if (recompute[rung] > 0 && (rungs >> rung & 1u) == 0) return false;
  }
  return true;
}

}  // namespace tunesmith::planner
