#include "trainer/cuda/cuda_context.h"

#include <iterator>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "common/environment_flag.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/cudnn_engines.h"
#include "trainer/cuda/gemm_plans.h"
#include "trainer/cuda/gemm_tuner.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

constexpr int kOldestComputeCapability = 80;
constexpr StreamKind kStreams[] = {StreamKind::kCompute, StreamKind::kCommunication,
                                   StreamKind::kHostToDevice, StreamKind::kDeviceToHost,
                                   StreamKind::kHost};
static_assert(std::size(kStreams) == planner::kStreamCount);

struct HostWork {
  std::function<absl::Status()> run;
  HostErrors* errors;
};

void CUDART_CB RunHostWork(void* data) {
  const std::unique_ptr<HostWork> work(static_cast<HostWork*>(data));
  if (work->errors->first().ok()) work->errors->Keep(work->run());
}

// As nvidia-smi prints it: 4-2-2-2-6 bytes.
std::string UuidText(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i) {
    const bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
    absl::StrAppend(&text, dash ? "-" : "",
                    absl::StrFormat("%02x", static_cast<unsigned char>(uuid.bytes[i])));
  }
  return text;
}

// Makes `device` current in this thread.
absl::StatusOr<CudaDeviceInfo> DeviceInfo(int device) {
  CUDA_RETURN_IF_ERROR(cudaSetDevice(device));
  cudaDeviceProp properties{};
  CUDA_RETURN_IF_ERROR(cudaGetDeviceProperties(&properties, device));
  size_t free_bytes = 0, total_bytes = 0;
  CUDA_RETURN_IF_ERROR(cudaMemGetInfo(&free_bytes, &total_bytes));
  CudaDeviceInfo info;
  CUDA_RETURN_IF_ERROR(cudaDriverGetVersion(&info.driver_version));
  info.index = device;
  info.name = properties.name;
  info.uuid = UuidText(properties.uuid);
  info.memory_bytes = static_cast<int64_t>(total_bytes);
  info.free_memory_bytes = static_cast<int64_t>(free_bytes);
  info.compute_capability = 10 * properties.major + properties.minor;
  info.multiprocessor_count = properties.multiProcessorCount;
  info.l2_cache_bytes = properties.l2CacheSize;
  return info;
}

absl::Status CheckUsable(const CudaDeviceInfo& info) {
  if (info.compute_capability >= kOldestComputeCapability) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("device ", info.index, " (", info.name, ") has compute capability ",
             info.compute_capability / 10, ".", info.compute_capability % 10,
             "; the trainer needs 8.0 (Ampere) or newer, or --device cpu"));
}

}  // namespace

CudaContext::Impl::Impl() : cudnn_engines(std::make_unique<CudnnEngines>()) {}

CudaContext::Impl::~Impl() {
  gemm_plans.reset();
  cudnn_engines.reset();
  if (lt_handle != nullptr) lt->destroy(lt_handle);
}

absl::Status CudaContext::Impl::AwaitHostMemory(cudaStream_t copying) const {
  if (has_pageable_memory) CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(copying));
  return absl::OkStatus();
}

CudaContext::CudaContext(CudaDeviceInfo info)
    : info_(std::move(info)), impl_(std::make_unique<Impl>()) {}

CudaContext::~CudaContext() {
  // Work in flight may still use the workspaces.
  for (StreamKind kind : kStreams) {
    if (impl_->StreamOf(kind) != nullptr) cudaStreamSynchronize(impl_->StreamOf(kind));
  }
}

absl::StatusOr<int64_t> CountCudaDevices() {
  int count = 0;
  CUDA_RETURN_IF_ERROR(cudaGetDeviceCount(&count));
  return count;
}

absl::StatusOr<std::vector<CudaDeviceInfo>> ListCudaDevices() {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t count, CountCudaDevices());
  std::vector<CudaDeviceInfo> devices;
  for (int device = 0; device < count; ++device) {
    TUNESMITH_ASSIGN_OR_RETURN(CudaDeviceInfo info, DeviceInfo(device));
    devices.push_back(std::move(info));
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<CudaContext>> CudaContext::Create(const Options& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t count, CountCudaDevices());
  if (options.device < 0 || options.device >= count) {
    return absl::NotFoundError(
        StrCat("there is no CUDA device ", options.device, "; this process sees ", count));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const CublasLt* lt, LoadCublasLt());
  TUNESMITH_ASSIGN_OR_RETURN(CudaDeviceInfo info, DeviceInfo(options.device));
  TUNESMITH_RETURN_IF_ERROR(CheckUsable(info));
  auto context = absl::WrapUnique(new CudaContext(std::move(info)));
  Impl& impl = context->impl();
  TUNESMITH_ASSIGN_OR_RETURN(impl.stream, Stream::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.communication, Stream::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.host, Stream::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.host_to_device, Stream::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.device_to_host, Stream::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.reached, Event::Create());
  TUNESMITH_ASSIGN_OR_RETURN(impl.gemm_workspace,
                             DeviceBuffer::Create(options.gemm_workspace_bytes));
  TUNESMITH_ASSIGN_OR_RETURN(impl.scratch, DeviceBuffer::Create(options.scratch_bytes));
  impl.lt = lt;
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(*lt, lt->create(&impl.lt_handle), "cublasLtCreate"));
  impl.gemm_plans = std::make_unique<GemmPlans>(*lt);
  return context;
}

std::vector<std::string> CudaContext::TakeNotes() { return std::exchange(impl_->notes, {}); }

void CudaContext::AddNote(std::string note) { impl_->notes.push_back(std::move(note)); }

bool CudaContext::LacksCudnn() const { return impl_->cudnn_engines->lacks_some(); }

absl::Status CudaContext::TuneProducts(absl::FunctionRef<absl::Status()> ops) {
  TUNESMITH_ASSIGN_OR_RETURN(const bool tunes, FlagOfEnvironment("TUNESMITH_PRODUCT_TUNING", true));
  if (!tunes) return absl::OkStatus();
  const auto version = static_cast<int64_t>(impl_->lt->version());
  TUNESMITH_ASSIGN_OR_RETURN(impl_->gemm_tuner,
                             GemmTuner::Create(*this, GemmChoicesPath(info_.name, version)));
  const absl::Status status = ops();
  const std::unique_ptr<GemmTuner> tuner = std::move(impl_->gemm_tuner);
  TUNESMITH_RETURN_IF_ERROR(status);
  if (const absl::Status saved = tuner->Save(); !saved.ok()) {
    AddNote(StrCat("matrix products are measured anew at every start: ", ToStd(saved.message()),
                   "; XDG_CACHE_HOME names another directory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CudaContext::FreeMemoryBytes() const {
  size_t free_bytes = 0, total_bytes = 0;
  CUDA_RETURN_IF_ERROR(cudaMemGetInfo(&free_bytes, &total_bytes));
  return static_cast<int64_t>(free_bytes);
}

absl::Status CudaContext::MakeCurrent() {
  CUDA_RETURN_IF_ERROR(cudaSetDevice(info_.index));
  return absl::OkStatus();
}

absl::Status CudaContext::Synchronize() {
  for (StreamKind kind : kStreams)
    CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(impl_->StreamOf(kind)));
  return impl_->host_errors.first();
}

absl::Status CudaContext::RunOnHost(StreamKind stream, std::function<absl::Status()> work) {
  auto queued = std::make_unique<HostWork>(HostWork{std::move(work), &impl_->host_errors});
  CUDA_RETURN_IF_ERROR(cudaLaunchHostFunc(impl_->StreamOf(stream), RunHostWork, queued.get()));
  queued.release();  // RunHostWork deletes it
  return absl::OkStatus();
}

absl::Status CudaContext::Meet() {
  constexpr uint8_t kAll = (1u << planner::kStreamCount) - 1,
                    kCompute = 1u << static_cast<int>(StreamKind::kCompute);
  TUNESMITH_RETURN_IF_ERROR(Wait(StreamKind::kCompute, kAll));
  for (StreamKind kind : kStreams) TUNESMITH_RETURN_IF_ERROR(Wait(kind, kCompute));
  return absl::OkStatus();
}

absl::Status CudaContext::Wait(StreamKind stream, uint8_t streams) {
  for (StreamKind other : kStreams) {
    if ((streams >> static_cast<int>(other) & 1u) == 0 || other == stream) continue;
    // An event may be recorded again at once: the wait holds on to what it was when it was queued.
    CUDA_RETURN_IF_ERROR(cudaEventRecord(impl_->reached.get(), impl_->StreamOf(other)));
    CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(impl_->StreamOf(stream), impl_->reached.get(), 0));
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
