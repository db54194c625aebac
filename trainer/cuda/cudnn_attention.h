#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/flash_attention.h"

// The function of flash_attention.h by cuDNN 9's fused attention: an engine beside the project's own kernels, for some shapes, where the library is there
// (docs/adr/0030). Without CUDA or cuDNN's header cudnn_attention_absent.cc is linked, where Create returns UNIMPLEMENTED.
namespace tunesmith::trainer {

struct CudnnAttentionShape {
  AttentionShape attention;
  int64_t rows = 0;  // B
  // As AttentionGraphShape has them.
  int64_t query_stride = 0;
  int64_t key_stride = 0;
  // False: every row is a single document, and document_starts is not read.
  bool documents = true;
};

// OK where the library is there and of a version that is used; else why not, as Create says it.
absl::Status FindCudnn();

// As ops of programs have it.
planner::OpAttributes AttributesOf(const CudnnAttentionShape& shape);

// Attention of one shape on one device: the plans of both directions, compiled once. Not thread safe.
class CudnnAttention {
 public:
  // Takes seconds, because kernels are compiled. Only engines are taken that stay within the workspaces that programs plan
  // (planner/program/cudnn_attention.h). Allocates nothing on the device beside cuDNN's handle and the kernels.
  //
  // Callers use their own kernels on UNIMPLEMENTED (no engine takes the shape, or planner::CheckCudnnTakes), UNAVAILABLE (no cuDNN), FAILED_PRECONDITION (a
  // version that is refused), RESOURCE_EXHAUSTED (every engine needs more than is planned) and INTERNAL (cuDNN fails: parts of it are missing, or its compiler);
  // each says why. INVALID_ARGUMENT: sizes that make no shape.
  static absl::StatusOr<std::unique_ptr<CudnnAttention>> Create(CudaContext& cuda,
                                                                const CudnnAttentionShape& shape);

  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;
  ~CudnnAttention();

  // What args.workspace has at least, aligned to 256 bytes, whatever its dtype. Of no meaning between calls.
  int64_t forward_workspace_bytes() const;
  int64_t backward_workspace_bytes() const;

  // On the compute stream of `cuda`, Create's; nothing is allocated. Of args.shape, Create's shape counts. INVALID_ARGUMENT where a tensor has other elements
  // than the shape's, or an address is not aligned to 16 bytes; RESOURCE_EXHAUSTED where the workspace is too small.
  absl::Status Forward(CudaContext& cuda, const FlashAttentionArgs& args) const;
  // dq is summed in an order that changes from run to run: two runs differ in its last bits.
  absl::Status Backward(CudaContext& cuda, const FlashAttentionBackwardArgs& args) const;

 private:
  struct Impl;
  explicit CudnnAttention(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tunesmith::trainer
