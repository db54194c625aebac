#include "trainer/cuda/cuda_graph.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

// A captured graph until it is made executable.
class CapturedWork {
 public:
  CapturedWork() = default;
  CapturedWork(const CapturedWork&) = delete;
  CapturedWork& operator=(const CapturedWork&) = delete;
  ~CapturedWork() {
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }

  // The capture ends whatever `issue` says: a stream that is left capturing takes nothing else.
  absl::Status Capture(cudaStream_t stream, const std::function<absl::Status()>& issue) {
    CUDA_RETURN_IF_ERROR(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    const absl::Status issued = issue();
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph_);
    TUNESMITH_RETURN_IF_ERROR(issued);
    CUDA_RETURN_IF_ERROR(ended);
    return absl::OkStatus();
  }
  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

}  // namespace

struct CudaGraph::Impl {
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
  }
  cudaGraphExec_t executable = nullptr;
};

CudaGraph::CudaGraph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaGraph::~CudaGraph() = default;

absl::StatusOr<std::unique_ptr<CudaGraph>> CudaGraph::Capture(
    CudaContext& cuda, const std::function<absl::Status()>& issue) {
  CapturedWork captured;
  TUNESMITH_RETURN_IF_ERROR(captured.Capture(cuda.impl().stream.get(), issue));
  auto impl = std::make_unique<Impl>();
  CUDA_RETURN_IF_ERROR(cudaGraphInstantiate(&impl->executable, captured.get(), 0));
  return std::make_unique<CudaGraph>(std::move(impl));
}

absl::Status CudaGraph::Launch(CudaContext& cuda) const {
  CUDA_RETURN_IF_ERROR(cudaGraphLaunch(impl_->executable, cuda.impl().stream.get()));
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
