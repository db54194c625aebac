// NCCL's functions for processes of one host whose CUDA is emulated: each call is a task of its stream, and data goes through a file in shared memory. Sums are
// taken from the last rank down, so that nobody can rely on an order. For tests.
#include <cuda_runtime.h>
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "common/float_conversion.h"

namespace {

constexpr int kMaxRanks = 8;
constexpr size_t kSlotBytes = size_t{8} << 20;

struct Board {
  std::atomic<int> joined;
  std::atomic<int> arrived;
  std::atomic<int> generation;
  alignas(64) std::byte slots[kMaxRanks][kSlotBytes];
};

size_t SizeOfType(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
      return 1;
    case ncclBfloat16:
      return 2;
    case ncclFloat32:
      return 4;
    case ncclFloat64:
      return 8;
    default:
      std::abort();
  }
}

double Load(const std::byte* data, size_t i, ncclDataType_t type) {
  if (type == ncclFloat64) return reinterpret_cast<const double*>(data)[i];
  if (type == ncclFloat32) return static_cast<double>(reinterpret_cast<const float*>(data)[i]);
  return static_cast<double>(tunesmith::FloatFromBf16(reinterpret_cast<const uint16_t*>(data)[i]));
}

void Store(double value, std::byte* data, size_t i, ncclDataType_t type) {
  if (type == ncclFloat64) {
    reinterpret_cast<double*>(data)[i] = value;
  } else if (type == ncclFloat32) {
    reinterpret_cast<float*>(data)[i] = static_cast<float>(value);
  } else {
    reinterpret_cast<uint16_t*>(data)[i] = tunesmith::Bf16FromFloat(static_cast<float>(value));
  }
}

struct Exchange {
  bool sends;
  std::byte* data;
  size_t bytes;
  int peer;
};

}  // namespace

struct ncclComm {
  Board* board;
  int rank;
  int size;
  std::vector<Exchange> group;
  cudaStream_t group_stream;

  // Returns when all ranks have come.
  void Meet() {
    const int generation = board->generation;
    if (++board->arrived == size) {
      board->arrived = 0;
      ++board->generation;
      return;
    }
    while (board->generation == generation) std::this_thread::yield();
  }

  std::byte* slot(int r) { return board->slots[r]; }

  void Put(const void* data, size_t bytes) {
    if (bytes > kSlotBytes) std::abort();
    std::memcpy(slot(rank), data, bytes);
    Meet();
  }

  // Of elements [first, first + count) of all slots.
  void Sum(size_t first, size_t count, ncclDataType_t type, std::byte* sums) {
    std::vector<double> values(count);
    for (size_t i = 0; i < count; ++i)
      for (int r = size - 1; r >= 0; --r) values[i] += Load(slot(r), first + i, type);
    Meet();
    for (size_t i = 0; i < count; ++i) Store(values[i], sums, i, type);
  }
};

namespace {

ncclComm* grouping = nullptr;

ncclResult_t OnStream(cudaStream_t stream, std::function<void()> work) {
  const auto run = [](void* data) {
    const std::unique_ptr<std::function<void()>> task(static_cast<std::function<void()>*>(data));
    (*task)();
  };
  return cudaLaunchHostFunc(stream, run, new std::function<void()>(std::move(work))) == cudaSuccess
             ? ncclSuccess
             : ncclUnhandledCudaError;
}

std::byte* Bytes(const void* data) { return static_cast<std::byte*>(const_cast<void*>(data)); }

}  // namespace

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::snprintf(id->internal, sizeof id->internal, "/dev/shm/fake-nccl-%d", getpid());
  const int file = open(id->internal, O_RDWR | O_CREAT | O_TRUNC, 0600);
  const bool ok = file >= 0 && ftruncate(file, sizeof(Board)) == 0;
  if (file >= 0) close(file);
  return ok ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  if (size > kMaxRanks) return ncclInvalidArgument;
  const int file = open(id.internal, O_RDWR);
  if (file < 0) return ncclSystemError;
  void* const data = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (data == MAP_FAILED) return ncclSystemError;
  *comm = new ncclComm{static_cast<Board*>(data), rank, size, {}, nullptr};
  if (++(*comm)->board->joined == size) unlink(id.internal);
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  munmap(comm->board, sizeof(Board));
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) { return ncclCommDestroy(comm); }

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = ncclSuccess;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t) { return "an error of the tests' NCCL"; }
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclAllGather(const void* sent, void* received, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return OnStream(stream, [=, bytes = count * SizeOfType(type)] {
    comm->Put(sent, bytes);
    for (int r = 0; r < comm->size; ++r)
      std::memcpy(Bytes(received) + static_cast<size_t>(r) * bytes, comm->slot(r), bytes);
    comm->Meet();
  });
}

ncclResult_t ncclReduceScatter(const void* sent, void* received, size_t count, ncclDataType_t type,
                               ncclRedOp_t, ncclComm_t comm, cudaStream_t stream) {
  return OnStream(stream, [=] {
    comm->Put(sent, count * SizeOfType(type) * static_cast<size_t>(comm->size));
    comm->Sum(static_cast<size_t>(comm->rank) * count, count, type, Bytes(received));
  });
}

ncclResult_t ncclAllReduce(const void* sent, void* received, size_t count, ncclDataType_t type,
                           ncclRedOp_t, ncclComm_t comm, cudaStream_t stream) {
  return OnStream(stream, [=] {
    comm->Put(sent, count * SizeOfType(type));
    comm->Sum(0, count, type, Bytes(received));
  });
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  comm->group.push_back({true, Bytes(data), count * SizeOfType(type), peer});
  comm->group_stream = stream;
  grouping = comm;
  return ncclSuccess;
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  comm->group.push_back({false, Bytes(data), count * SizeOfType(type), peer});
  comm->group_stream = stream;
  grouping = comm;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  grouping = nullptr;
  return ncclSuccess;
}

// What is sent to rank p lies in the p-th part of the sender's slot.
ncclResult_t ncclGroupEnd() {
  if (grouping == nullptr) return ncclSuccess;
  ncclComm* const comm = grouping;
  return OnStream(comm->group_stream, [comm, group = std::exchange(comm->group, {})] {
    const size_t part = kSlotBytes / kMaxRanks;
    for (const Exchange& e : group) {
      if (e.bytes > part) std::abort();
      if (e.sends)
        std::memcpy(comm->slot(comm->rank) + static_cast<size_t>(e.peer) * part, e.data, e.bytes);
    }
    comm->Meet();
    for (const Exchange& e : group) {
      if (!e.sends)
        std::memcpy(e.data, comm->slot(e.peer) + static_cast<size_t>(comm->rank) * part, e.bytes);
    }
    comm->Meet();
  });
}

}  // extern "C"
