#pragma once

#include <cstdint>

#include "common/units.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// Ranks of the plan on each of its nodes; at least one.
int64_t RanksPerNode(const v1::Plan& plan);

// Shim and mpirun of a node, beside what the plan takes. (Resident: 8 MiB the shim, 21 MiB mpirun.)
inline constexpr int64_t kStarterBytes = 64 * kMiB;

// Memory of a host that `rank_count` ranks of the job take there, bytes: what the plan predicts of each (all of it where the trainer computes on the CPU) and, where
// the job merges, the adapter that the first rank then reads back in fp32. The model's weights are merged one after the other, within what the plan counts for loading
// them. REQUIRES: the plan was checked.
int64_t HostBytesOf(const v1::Plan& plan, const v1::JobSpec& spec, int64_t rank_count);

}  // namespace tunesmith::server
