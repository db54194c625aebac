#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/comm/communicator.h"
#include "trainer/cuda/cuda_context.h"

// Collectives over the memory of CUDA devices, one of which each rank has. Calls are queued on the context's communication stream: arguments must stay valid,
// and results are there, when that stream has come so far. Their errors are returned by the context's Synchronize too. Both arguments must outlive the result.
namespace tunesmith::trainer {

// By NCCL where every rank finds it and has a device of its own, through the host's memory elsewhere; TUNESMITH_COLLECTIVES=nccl or =host chooses. Every rank
// must call. INVALID_ARGUMENT: another choice. UNAVAILABLE: nccl was chosen, and a rank does not find it. Errors of `ranks`.
absl::StatusOr<std::unique_ptr<Collectives>> OpenDeviceCollectives(CudaContext& cuda,
                                                                   Communicator& ranks);

// Through pinned memory of the host, a part at a time, and `ranks`: slow, with the same bits as on CPUs, for any number of ranks on a device. RESOURCE_EXHAUSTED:
// the host has no memory for it. While calls are queued, nobody else may use `ranks`.
absl::StatusOr<std::unique_ptr<Collectives>> MakeStagedCollectives(CudaContext& cuda,
                                                                   Communicator& ranks);

// By NCCL, whose sums have an order of their own. FAILED_PRECONDITION: NCCL does not take these devices. UNAVAILABLE: it is not there.
absl::StatusOr<std::unique_ptr<Collectives>> MakeNcclCollectives(CudaContext& cuda,
                                                                 Communicator& ranks);
// Whether this process does.
bool FindsNccl();

}  // namespace tunesmith::trainer
