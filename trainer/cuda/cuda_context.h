#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/units.h"
#include "planner/program/op.h"

// What the rest of the project may know of CUDA without including its headers. A build without CUDA
// links cuda_context_absent.cc, where every function below returns UNIMPLEMENTED.
//
// A binary built with CUDA starts on every host: the driver and cublasLt are looked up when they
// are first needed, and what is missing is said in the status.
namespace tunesmith::trainer {

// The queues of the step program; several may share one stream of the device.
using StreamKind = planner::Stream;

struct CudaDeviceInfo {
  int index = 0;
  std::string name;  // "NVIDIA H200"
  std::string uuid;  // "GPU-....", as nvidia-smi prints it
  int64_t memory_bytes = 0;
  int64_t free_memory_bytes = 0;  // when it was asked
  int compute_capability = 0;     // 90 for sm_90
  int multiprocessor_count = 0;
  int64_t l2_cache_bytes = 0;
  int driver_version = 0;  // the newest CUDA that the driver runs, as 1000 x major + 10 x minor

  bool operator==(const CudaDeviceInfo&) const = default;
};

// "13.0" for 13000.
std::string CudaVersionText(int version);

// How many devices this process sees; makes no context on any. Errors as ListCudaDevices.
absl::StatusOr<int64_t> CountCudaDevices();

// Every device that this process sees. UNAVAILABLE where there is no driver, the driver is older
// than the CUDA runtime in this binary, or there is no device; the message says which and the cure.
// Asking for free memory creates a CUDA context on each device (some 300 to 500 MB there until the
// process ends).
absl::StatusOr<std::vector<CudaDeviceInfo>> ListCudaDevices();

// A device, the streams on which its ops run in order, cublasLt, and the scratch memory that ops of
// the compute stream share because they run one after the other. One per rank. Not thread safe.
class CudaContext {
 public:
  struct Options {
    int device = 0;
    // The most that cublasLt may use for one product: only algorithms that stay within are taken.
    int64_t gemm_workspace_bytes = 32 * kMiB;
    // Partial sums of reductions and tiles of attention scores.
    int64_t scratch_bytes = 64 * kMiB;
  };

  // What Create allocates on the device beside the CUDA context itself.
  static int64_t AllocatedBytes(const Options& options) {
    return options.gemm_workspace_bytes + options.scratch_bytes;
  }

  // UNAVAILABLE as ListCudaDevices, or where libcublasLt is not found (the message lists the names
  // that were tried); NOT_FOUND where the device does not exist; FAILED_PRECONDITION where it is
  // older than sm_80; RESOURCE_EXHAUSTED where the memory is not free.
  static absl::StatusOr<std::unique_ptr<CudaContext>> Create(const Options& options);

  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;
  ~CudaContext();

  // free_memory_bytes is that at creation, before the workspaces were allocated.
  const CudaDeviceInfo& info() const { return info_; }
  absl::StatusOr<int64_t> FreeMemoryBytes() const;
  // What was found missing and is made up for, in sentences for people that were not told yet.
  std::vector<std::string> TakeNotes();
  void AddNote(std::string note);
  // Whether an op that asked for cuDNN's attention ran on the project's kernels.
  bool LacksCudnn() const;
  // Create made the device current in its own thread; another thread that runs ops calls this
  // first.
  absl::Status MakeCurrent();
  // Runs `ops`; the matrix products in it that were not met before choose the quickest of cublasLt's algorithms by measuring them (gemm_tuner.h), and are not
  // computed: what their outputs hold afterwards is of no meaning. Choices are kept for the device and library in the user's cache directory; where that
  // cannot be written, a note says so. With TUNESMITH_PRODUCT_TUNING=0 nothing is done; INVALID_ARGUMENT for another value than 0 and 1. Errors of `ops`.
  absl::Status TuneProducts(absl::FunctionRef<absl::Status()> ops);
  // Waits for all streams; returns the first error of the work queued on them, work of the host included.
  absl::Status Synchronize();
  // Queues work of the host's processors on a stream, in order with what else is on it. A thread of the driver runs it; it must not call CUDA. After the first
  // error of such work what is queued is left out, on all streams, and Synchronize returns the error.
  absl::Status RunOnHost(StreamKind stream, std::function<absl::Status()> work);
  // Queues a wait on every stream for all work issued so far on any.
  absl::Status Meet();
  // Queues a wait on a stream for all work issued so far on the streams in the bit set.
  absl::Status Wait(StreamKind stream, uint8_t streams);

  // For *_cuda.cu and *_cuda.cc: trainer/cuda/cuda_context_impl.h.
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit CudaContext(CudaDeviceInfo info);

  CudaDeviceInfo info_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tunesmith::trainer
