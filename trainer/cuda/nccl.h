#pragma once

#include <nccl.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// The functions of NCCL that the project calls, looked up at run time: no binary links the library.
struct Nccl {
  decltype(&::ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&::ncclCommInitRank) init_rank = nullptr;
  decltype(&::ncclCommDestroy) destroy = nullptr;
  decltype(&::ncclCommAbort) abort = nullptr;
  decltype(&::ncclCommGetAsyncError) async_error = nullptr;
  decltype(&::ncclGetErrorString) error_string = nullptr;
  decltype(&::ncclGetLastError) last_error = nullptr;
  decltype(&::ncclAllGather) all_gather = nullptr;
  decltype(&::ncclReduceScatter) reduce_scatter = nullptr;
  decltype(&::ncclAllReduce) all_reduce = nullptr;
  decltype(&::ncclSend) send = nullptr;
  decltype(&::ncclRecv) receive = nullptr;
  decltype(&::ncclGroupStart) group_start = nullptr;
  decltype(&::ncclGroupEnd) group_end = nullptr;
};

// Loads the library once per process; later calls return the same. The file named by the environment variable TUNESMITH_NCCL comes first, then the loader's
// libnccl.so.2, then that of /usr/local/cuda. UNAVAILABLE where none loads, with the loader's reason for each; FAILED_PRECONDITION where it lacks a function.
absl::StatusOr<const Nccl*> LoadNccl();

// OK, or INTERNAL naming the call, the library's reason and what it last logged.
absl::Status NcclStatus(const Nccl& nccl, ncclComm_t comm, ncclResult_t result, const char* call);

}  // namespace tunesmith::trainer
