#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/cuda/cudnn_graph.h"

// How a graph is computed: cuDNN's heuristics propose engines with their settings, and the first that is taken becomes a plan, whose kernels are compiled then
// and there (half a second to three). For files that include CUDA's headers alone. Not thread safe.
namespace tunesmith::trainer {

struct CudnnPlan {
  CudnnGraph graph;  // first: what follows refers to it
  CudnnPointer config;
  CudnnPointer plan;
  int64_t workspace_bytes = 0;
  int64_t engine = -1;  // cuDNN's number of it, for messages
};

// For which device, and by which handle. Both may be null: the current device.
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  cudnnBackendDescriptor_t device = nullptr;  // of DescribeCudnnDevice
};

// A device that need not be there, by cuDNN's description of it in JSON (cudaDeviceProp's fields by cuDNN's names). For checks of graphs without a GPU.
absl::StatusOr<CudnnPointer> DescribeCudnnDevice(const Cudnn& cudnn, const std::string& json);

// The first plan that cuDNN proposes whose workspace is at most `workspace_cap` bytes. UNIMPLEMENTED, with cuDNN's reason, where no engine takes the graph;
// RESOURCE_EXHAUSTED, with the least workspace, where all need more. Errors of CudnnStatus.
absl::StatusOr<CudnnPlan> FindCudnnPlan(const Cudnn& cudnn, CudnnGraph graph,
                                        const CudnnTarget& target, int64_t workspace_cap);

}  // namespace tunesmith::trainer
