#include "trainer/cuda/nccl.h"

#include "common/status_macros.h"
#include "trainer/cuda/library.h"

namespace tunesmith::trainer {
namespace {

absl::StatusOr<Nccl> Load() {
  TUNESMITH_ASSIGN_OR_RETURN(void* library,
                             OpenLibrary("NCCL", "NVIDIA's libnccl2 package", "TUNESMITH_NCCL",
                                         {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2"}));
  Nccl nccl;
  absl::Status status;
  const auto look = [&](const char* name, auto& function) {
    status.Update(Look("NCCL", library, name, function));
  };
  look("ncclGetUniqueId", nccl.get_unique_id);
  look("ncclCommInitRank", nccl.init_rank);
  look("ncclCommDestroy", nccl.destroy);
  look("ncclCommAbort", nccl.abort);
  look("ncclCommGetAsyncError", nccl.async_error);
  look("ncclGetErrorString", nccl.error_string);
  look("ncclGetLastError", nccl.last_error);
  look("ncclAllGather", nccl.all_gather);
  look("ncclReduceScatter", nccl.reduce_scatter);
  look("ncclAllReduce", nccl.all_reduce);
  look("ncclSend", nccl.send);
  look("ncclRecv", nccl.receive);
  look("ncclGroupStart", nccl.group_start);
  look("ncclGroupEnd", nccl.group_end);
  TUNESMITH_RETURN_IF_ERROR(status);
  return nccl;
}

}  // namespace

absl::StatusOr<const Nccl*> LoadNccl() {
  // Leaked, so that communicators that are destroyed at exit still find it.
  static const auto* const loaded = new absl::StatusOr<Nccl>(Load());
  TUNESMITH_RETURN_IF_ERROR(loaded->status());
  return &**loaded;
}

absl::Status NcclStatus(const Nccl& nccl, ncclComm_t comm, ncclResult_t result, const char* call) {
  if (result == ncclSuccess) return absl::OkStatus();
  const char* const logged = nccl.last_error(comm);
  return absl::InternalError(StrCat(call, ": ", nccl.error_string(result),
                                    logged == nullptr || *logged == '\0' ? "" : "; ",
                                    logged == nullptr ? "" : logged));
}

}  // namespace tunesmith::trainer
