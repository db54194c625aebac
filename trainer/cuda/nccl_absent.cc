#include "trainer/cuda/device_collectives.h"

// Linked in place of nccl.cc and nccl_collectives.cc where NCCL's header is not found.
namespace tunesmith::trainer {

absl::StatusOr<std::unique_ptr<Collectives>> MakeNcclCollectives(CudaContext&, Communicator&) {
  return absl::UnavailableError(
      "this binary was built without NCCL's header; build it where nccl.h is, or use the bundle");
}

bool FindsNccl() { return false; }

}  // namespace tunesmith::trainer
