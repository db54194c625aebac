#include <utility>

#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/cuda_graph.h"
#include "trainer/cuda/device_memory_cuda.h"
#include "trainer/cuda/device_timer_cuda.h"

// Linked in place of cuda_context.cc, cuda_graph.cc, device_memory_cuda.cc and device_timer_cuda.cc where there is no CUDA toolkit.
namespace tunesmith::trainer {
namespace {

absl::Status Absent() {
  return absl::UnimplementedError(
      "this binary was built without CUDA; build it where nvcc is on PATH, or use the bundle");
}

}  // namespace

struct CudaContext::Impl {};

CudaContext::CudaContext(CudaDeviceInfo info) : info_(std::move(info)) {}
CudaContext::~CudaContext() = default;

absl::StatusOr<int64_t> CountCudaDevices() { return Absent(); }
absl::StatusOr<std::vector<CudaDeviceInfo>> ListCudaDevices() { return Absent(); }
absl::StatusOr<std::unique_ptr<CudaContext>> CudaContext::Create(const Options&) {
  return Absent();
}
absl::StatusOr<int64_t> CudaContext::FreeMemoryBytes() const { return Absent(); }
std::vector<std::string> CudaContext::TakeNotes() { return {}; }
void CudaContext::AddNote(std::string) {}
bool CudaContext::LacksCudnn() const { return true; }
absl::Status CudaContext::MakeCurrent() { return Absent(); }
absl::Status CudaContext::TuneProducts(absl::FunctionRef<absl::Status()>) { return Absent(); }
absl::Status CudaContext::Synchronize() { return Absent(); }
absl::Status CudaContext::Meet() { return Absent(); }
absl::Status CudaContext::Wait(StreamKind, uint8_t) { return Absent(); }
absl::Status CudaContext::RunOnHost(StreamKind, std::function<absl::Status()>) { return Absent(); }

struct CudaGraph::Impl {};
CudaGraph::CudaGraph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaGraph::~CudaGraph() = default;
absl::StatusOr<std::unique_ptr<CudaGraph>> CudaGraph::Capture(
    CudaContext&, const std::function<absl::Status()>&) {
  return Absent();
}
absl::Status CudaGraph::Launch(CudaContext&) const { return Absent(); }

absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateCudaMemory(CudaContext&, int64_t) {
  return Absent();
}
absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocatePinnedMemory(CudaContext&, int64_t) {
  return Absent();
}
absl::StatusOr<std::unique_ptr<DeviceTimer>> CreateCudaTimer(CudaContext&, planner::Stream) {
  return Absent();
}

}  // namespace tunesmith::trainer
