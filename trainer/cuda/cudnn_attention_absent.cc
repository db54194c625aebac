#include <utility>

#include "trainer/cuda/cudnn_attention.h"

// Linked in place of cudnn_attention.cc and what it stands on where there is no CUDA toolkit or cuDNN's header is not found.
namespace tunesmith::trainer {
namespace {

absl::Status Absent() {
  return absl::UnimplementedError(
      "this binary was built without cuDNN's header; build it where cudnn_graph.h is, or use the "
      "bundle");
}

}  // namespace

absl::Status FindCudnn() { return Absent(); }

struct CudnnAttention::Impl {};

CudnnAttention::CudnnAttention(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudnnAttention::~CudnnAttention() = default;

absl::StatusOr<std::unique_ptr<CudnnAttention>> CudnnAttention::Create(CudaContext&,
                                                                       const CudnnAttentionShape&) {
  return Absent();
}
int64_t CudnnAttention::forward_workspace_bytes() const { return 0; }
int64_t CudnnAttention::backward_workspace_bytes() const { return 0; }
absl::Status CudnnAttention::Forward(CudaContext&, const FlashAttentionArgs&) const {
  return Absent();
}
absl::Status CudnnAttention::Backward(CudaContext&, const FlashAttentionBackwardArgs&) const {
  return Absent();
}

}  // namespace tunesmith::trainer
