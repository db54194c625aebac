#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/cuda/cudnn.h"

// Graphs of operations in the terms of cuDNN's backend: descriptors, the tensors that they connect, and operations on them. For files that include CUDA's
// headers alone. Nothing here needs a device or is thread safe.
namespace tunesmith::trainer {

struct CudnnDescriptorDeleter {
  cudnnStatus_t (*destroy)(cudnnBackendDescriptor_t) = nullptr;
  void operator()(cudnnBackendDescriptor_t descriptor) const { destroy(descriptor); }
};
// cuDNN's type is a pointer to void.
using CudnnPointer = std::unique_ptr<void, CudnnDescriptorDeleter>;

absl::StatusOr<CudnnPointer> MakeCudnnDescriptor(const Cudnn& cudnn,
                                                 cudnnBackendDescriptorType_t type);

// Sets `count` values of an attribute; of one value by the second.
absl::Status SetCudnnValues(const Cudnn& cudnn, cudnnBackendDescriptor_t descriptor,
                            cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            int64_t count, const void* values);
template <typename T>
absl::Status SetCudnnValue(const Cudnn& cudnn, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                           T value) {
  return SetCudnnValues(cudnn, descriptor, name, type, 1, &value);
}

// Everything is of rank 4; strides are in elements.
struct CudnnLayout {
  std::array<int64_t, 4> dims = {1, 1, 1, 1};
  std::array<int64_t, 4> strides = {1, 1, 1, 1};
};

// A tensor of a graph, owned by the graph.
struct CudnnTensor {
  cudnnBackendDescriptor_t descriptor = nullptr;
  CudnnLayout layout;
};

// A finished graph and what it consists of.
struct CudnnGraph {
  std::vector<CudnnPointer> parts;  // tensors, kinds of operations, operations
  int64_t operation_count = 0;
  CudnnPointer graph;
};

// Operations in the order in which they are added. The first error is kept: what follows it does nothing, and Finish returns it.
class CudnnGraphBuilder {
 public:
  explicit CudnnGraphBuilder(const Cudnn& cudnn) : cudnn_(cudnn) {}

  // In memory, at the address that an execution gives for `id`, aligned to 16 bytes.
  CudnnTensor Memory(int64_t id, cudnnDataType_t dtype, const CudnnLayout& layout);
  // A single value, that of the host's address that an execution gives for `id`.
  CudnnTensor Value(int64_t id, cudnnDataType_t dtype);
  // A result of one operation and operand of others that need not exist in memory.
  CudnnTensor Between(cudnnDataType_t dtype, const CudnnLayout& layout);

  // Of each element; the operands that are not as large as x are repeated. The result is as large as x, of `dtype`; comparisons compute in
  // CUDNN_DATA_BOOLEAN, all else in the result's dtype, or f32 where the result is bf16.
  CudnnTensor Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, cudnnDataType_t dtype);
  CudnnTensor Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b,
                        cudnnDataType_t dtype);
  void PointwiseInto(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b,
                     const CudnnTensor& y);
  void CopyInto(const CudnnTensor& x, const CudnnTensor& y);
  // x where `condition` holds, else `otherwise`.
  CudnnTensor Select(const CudnnTensor& condition, const CudnnTensor& x,
                     const CudnnTensor& otherwise);
  // At each element of a tensor like x the index along `axis`, i32.
  CudnnTensor Index(const CudnnTensor& x, int64_t axis);

  // c = a b over the last two dims, in f32.
  void MatmulInto(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& c);
  // y = x reduced over the dims in which y is smaller, in f32.
  void ReduceInto(cudnnReduceTensorOp_t reduction, const CudnnTensor& x, const CudnnTensor& y);
  // The same elements under other dims or strides.
  void ReshapeInto(const CudnnTensor& x, const CudnnTensor& y);

  // `handle` may be null: the graph is then not bound to a device. The builder is spent.
  absl::StatusOr<CudnnGraph> Finish(cudnnHandle_t handle);

 private:
  struct PointwiseKind {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t precision;
    int64_t axis = -1;  // none
  };

  cudnnBackendDescriptor_t Add(cudnnBackendDescriptorType_t type);
  template <typename T>
  void Set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
           cudnnBackendAttributeType_t type, T value);
  void SetDims(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
               const std::array<int64_t, 4>& values);
  void SetPart(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
               cudnnBackendDescriptor_t part);
  void Close(cudnnBackendDescriptor_t descriptor, const char* what);
  void CloseOperation(cudnnBackendDescriptor_t operation, const char* what);
  cudnnBackendDescriptor_t OpenTensor(int64_t id, cudnnDataType_t dtype, const CudnnLayout& layout);
  void AddPointwise(const PointwiseKind& kind, const CudnnTensor& x, cudnnBackendDescriptor_t b,
                    cudnnBackendDescriptor_t t, const CudnnTensor& y);

  const Cudnn& cudnn_;
  absl::Status status_;
  int64_t next_id_ = 1000;  // of tensors that nobody names
  std::vector<CudnnPointer> parts_;
  std::vector<cudnnBackendDescriptor_t> operations_;
};

}  // namespace tunesmith::trainer
