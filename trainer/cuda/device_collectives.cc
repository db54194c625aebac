#include "trainer/cuda/device_collectives.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr char kVariable[] = "TUNESMITH_COLLECTIVES";

// Whether every rank finds NCCL, and no two have the same device: NCCL takes one rank on each.
absl::StatusOr<bool> AllMayUseNccl(CudaContext& cuda, Communicator& ranks) {
  struct Rank {
    uint64_t device;
    uint64_t finds_nccl;
  };
  const Rank self = {RandomKey(0, cuda.info().uuid), FindsNccl() ? 1u : 0u};
  std::vector<Rank> all(static_cast<size_t>(ranks.size()));
  TUNESMITH_RETURN_IF_ERROR(ranks.AllGather(&self, all.data(), sizeof self));
  std::sort(all.begin(), all.end(),
            [](const Rank& a, const Rank& b) { return a.device < b.device; });
  const bool shared = std::adjacent_find(all.begin(), all.end(), [](const Rank& a, const Rank& b) {
                        return a.device == b.device;
                      }) != all.end();
  return !shared &&
         std::all_of(all.begin(), all.end(), [](const Rank& rank) { return rank.finds_nccl == 1; });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Collectives>> OpenDeviceCollectives(CudaContext& cuda,
                                                                   Communicator& ranks) {
  const char* const named = std::getenv(kVariable);
  const std::string choice = named == nullptr ? "" : named;
  if (choice == "host") return MakeStagedCollectives(cuda, ranks);
  if (choice == "nccl") return MakeNcclCollectives(cuda, ranks);
  if (!choice.empty())
    return absl::InvalidArgumentError(
        StrCat(kVariable, " is '", choice, "'; give nccl or host, or leave it out"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool by_nccl, AllMayUseNccl(cuda, ranks));
  return by_nccl ? MakeNcclCollectives(cuda, ranks) : MakeStagedCollectives(cuda, ranks);
}

}  // namespace tunesmith::trainer
