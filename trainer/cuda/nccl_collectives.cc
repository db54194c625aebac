#include <array>
#include <cstring>
#include <memory>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/device_collectives.h"
#include "trainer/cuda/nccl.h"
#include "trainer/ops/elementwise_cuda.h"

namespace tunesmith::trainer {
namespace {

std::byte* At(const void* data, int64_t offset_bytes) {
  return static_cast<std::byte*>(const_cast<void*>(data)) + offset_bytes;
}

absl::StatusOr<ncclDataType_t> TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return ncclFloat64;
    case DType::kF32:
      return ncclFloat32;
    case DType::kBF16:
      return ncclBfloat16;
    default:
      return absl::InvalidArgumentError(StrCat("ranks do not sum ", std::string(DTypeName(dtype))));
  }
}

class NcclCollectives final : public Collectives {
 public:
  NcclCollectives(CudaContext& cuda, const Nccl& nccl, ncclComm_t comm, int64_t rank, int64_t size)
      : Collectives(rank, size), cuda_(cuda), nccl_(nccl), comm_(comm) {}

  // A communicator that met an error may have kernels that never end.
  ~NcclCollectives() override {
    if (ended_.ok()) ended_ = AsyncError();
    if (ended_.ok()) {
      nccl_.destroy(comm_);
    } else {
      nccl_.abort(comm_);
    }
  }

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    return Call("ncclAllGather", [&] {
      return nccl_.all_gather(shard, whole, static_cast<size_t>(shard_bytes), ncclInt8, comm_,
                              stream());
    });
  }

  // A sum that is added to the shard is first formed at its own place in the whole, where NCCL works in place: no memory is needed beside the plan's.
  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    TUNESMITH_ASSIGN_OR_RETURN(const ncclDataType_t type, TypeOf(dtype));
    std::byte* const own = At(whole, rank() * shard_count * SizeOf(dtype));
    TUNESMITH_RETURN_IF_ERROR(Call("ncclReduceScatter", [&] {
      return nccl_.reduce_scatter(whole, accumulate ? own : shard, static_cast<size_t>(shard_count),
                                  type, ncclSum, comm_, stream());
    }));
    if (!accumulate) return absl::OkStatus();
    const Tensor x{.data = own, .dtype = dtype, .dims = {shard_count, 1, 1}, .rank = 1};
    Tensor y = x;
    y.data = shard;
    return cuda::Add(cuda_, {.x = x, .y = y, .stream = StreamKind::kCommunication});
  }

  absl::Status AllReduce(void* data, int64_t count, DType dtype) override {
    TUNESMITH_ASSIGN_OR_RETURN(const ncclDataType_t type, TypeOf(dtype));
    return Call("ncclAllReduce", [&] {
      return nccl_.all_reduce(data, data, static_cast<size_t>(count), type, ncclSum, comm_,
                              stream());
    });
  }

  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    TUNESMITH_RETURN_IF_ERROR(CheckGroup(group_size));
    const int64_t first = rank() / group_size * group_size;
    TUNESMITH_RETURN_IF_ERROR(Call("ncclGroupStart", [&] { return nccl_.group_start(); }));
    for (int64_t i = 0; i < group_size && ended_.ok(); ++i) {
      const int peer = static_cast<int>(first + i);
      const auto bytes = static_cast<size_t>(bytes_per_rank);
      (void)Call("ncclSend", [&] {
        return nccl_.send(At(in, i * bytes_per_rank), bytes, ncclInt8, peer, comm_, stream());
      });
      (void)Call("ncclRecv", [&] {
        return nccl_.receive(At(out, i * bytes_per_rank), bytes, ncclInt8, peer, comm_, stream());
      });
    }
    // Whatever was refused: a group that stays open takes in whatever this thread asks of NCCL next, its end included.
    const absl::Status ended = NcclStatus(nccl_, comm_, nccl_.group_end(), "ncclGroupEnd");
    if (ended_.ok()) ended_ = ended;
    return ended_;
  }

 private:
  // After an error nothing more is queued.
  template <typename Function>
  absl::Status Call(const char* name, Function function) {
    if (ended_.ok()) ended_ = NcclStatus(nccl_, comm_, function(), name);
    return ended_;
  }

  absl::Status AsyncError() const {
    ncclResult_t result = ncclSuccess;
    nccl_.async_error(comm_, &result);
    return NcclStatus(nccl_, comm_, result, "NCCL");
  }

  cudaStream_t stream() { return cuda_.impl().StreamOf(StreamKind::kCommunication); }

  CudaContext& cuda_;
  const Nccl& nccl_;
  ncclComm_t comm_;
  absl::Status ended_;
};

}  // namespace

bool FindsNccl() { return LoadNccl().ok(); }

absl::StatusOr<std::unique_ptr<Collectives>> MakeNcclCollectives(CudaContext& cuda,
                                                                 Communicator& ranks) {
  TUNESMITH_ASSIGN_OR_RETURN(const Nccl* nccl, LoadNccl());
  TUNESMITH_RETURN_IF_ERROR(cuda.MakeCurrent());
  // The first rank names the group. Every rank takes part in the broadcast, whatever the first rank met.
  ncclUniqueId id = {};
  absl::Status named;
  if (ranks.rank() == 0)
    named = NcclStatus(*nccl, nullptr, nccl->get_unique_id(&id), "ncclGetUniqueId");
  TUNESMITH_RETURN_IF_ERROR(ranks.Broadcast(&id, sizeof id, 0));
  TUNESMITH_RETURN_IF_ERROR(named);
  ncclComm_t comm = nullptr;
  const absl::Status joined = NcclStatus(
      *nccl, nullptr,
      nccl->init_rank(&comm, static_cast<int>(ranks.size()), id, static_cast<int>(ranks.rank())),
      "ncclCommInitRank");
  if (!joined.ok())
    return absl::FailedPreconditionError(
        StrCat(joined.message(), "; TUNESMITH_COLLECTIVES=host goes without NCCL, slowly"));
  return std::make_unique<NcclCollectives>(cuda, *nccl, comm, ranks.rank(), ranks.size());
}

}  // namespace tunesmith::trainer
