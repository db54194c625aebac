#include "trainer/cuda/device_collectives.h"

// Linked in place of device_collectives.cc and what it needs where there is no CUDA toolkit: no CudaContext exists there.
namespace tunesmith::trainer {

absl::StatusOr<std::unique_ptr<Collectives>> OpenDeviceCollectives(CudaContext&, Communicator&) {
  return absl::UnimplementedError("this binary was built without CUDA");
}

}  // namespace tunesmith::trainer
