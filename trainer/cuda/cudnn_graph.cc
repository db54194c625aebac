#include "trainer/cuda/cudnn_graph.h"

#include <utility>

#include "common/status_macros.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kAlignmentBytes = 16;

bool IsComparison(cudnnPointwiseMode_t mode) {
  return mode == CUDNN_POINTWISE_CMP_GE || mode == CUDNN_POINTWISE_CMP_GT ||
         mode == CUDNN_POINTWISE_CMP_LT || mode == CUDNN_POINTWISE_CMP_LE;
}

cudnnDataType_t PrecisionOf(cudnnPointwiseMode_t mode, cudnnDataType_t dtype) {
  if (IsComparison(mode)) return CUDNN_DATA_BOOLEAN;
  return dtype == CUDNN_DATA_BFLOAT16 ? CUDNN_DATA_FLOAT : dtype;
}

}  // namespace

absl::StatusOr<CudnnPointer> MakeCudnnDescriptor(const Cudnn& cudnn,
                                                 cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  TUNESMITH_RETURN_IF_ERROR(
      CudnnStatus(cudnn, cudnn.descriptor_create(type, &raw), "cudnnBackendCreateDescriptor"));
  return CudnnPointer(raw, {cudnn.descriptor_destroy});
}

absl::Status SetCudnnValues(const Cudnn& cudnn, cudnnBackendDescriptor_t descriptor,
                            cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            int64_t count, const void* values) {
  return CudnnStatus(cudnn, cudnn.descriptor_set(descriptor, name, type, count, values),
                     "cudnnBackendSetAttribute");
}

cudnnBackendDescriptor_t CudnnGraphBuilder::Add(cudnnBackendDescriptorType_t type) {
  if (!status_.ok()) return nullptr;
  absl::StatusOr<CudnnPointer> made = MakeCudnnDescriptor(cudnn_, type);
  status_.Update(made.status());
  if (!made.ok()) return nullptr;
  parts_.push_back(*std::move(made));
  return parts_.back().get();
}

template <typename T>
void CudnnGraphBuilder::Set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, T value) {
  if (status_.ok()) status_ = SetCudnnValue(cudnn_, descriptor, name, type, value);
}

void CudnnGraphBuilder::SetDims(cudnnBackendDescriptor_t descriptor,
                                cudnnBackendAttributeName_t name,
                                const std::array<int64_t, 4>& values) {
  if (!status_.ok()) return;
  status_ = SetCudnnValues(cudnn_, descriptor, name, CUDNN_TYPE_INT64,
                           static_cast<int64_t>(values.size()), values.data());
}

void CudnnGraphBuilder::SetPart(cudnnBackendDescriptor_t descriptor,
                                cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t part) {
  Set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, part);
}

void CudnnGraphBuilder::Close(cudnnBackendDescriptor_t descriptor, const char* what) {
  if (status_.ok()) status_ = CudnnStatus(cudnn_, cudnn_.descriptor_finalize(descriptor), what);
}

void CudnnGraphBuilder::CloseOperation(cudnnBackendDescriptor_t operation, const char* what) {
  Close(operation, what);
  operations_.push_back(operation);
}

cudnnBackendDescriptor_t CudnnGraphBuilder::OpenTensor(int64_t id, cudnnDataType_t dtype,
                                                       const CudnnLayout& layout) {
  const auto tensor = Add(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  Set(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, dtype);
  SetDims(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, layout.dims);
  SetDims(tensor, CUDNN_ATTR_TENSOR_STRIDES, layout.strides);
  Set(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  Set(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignmentBytes);
  return tensor;
}

CudnnTensor CudnnGraphBuilder::Memory(int64_t id, cudnnDataType_t dtype,
                                      const CudnnLayout& layout) {
  const auto tensor = OpenTensor(id, dtype, layout);
  Close(tensor, "cudnnBackendFinalize of a tensor in memory");
  return {tensor, layout};
}

CudnnTensor CudnnGraphBuilder::Value(int64_t id, cudnnDataType_t dtype) {
  const auto tensor = OpenTensor(id, dtype, {});
  Set(tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, true);
  Close(tensor, "cudnnBackendFinalize of a value");
  return {tensor, {}};
}

CudnnTensor CudnnGraphBuilder::Between(cudnnDataType_t dtype, const CudnnLayout& layout) {
  const auto tensor = OpenTensor(next_id_++, dtype, layout);
  Set(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
  Close(tensor, "cudnnBackendFinalize of a virtual tensor");
  return {tensor, layout};
}

void CudnnGraphBuilder::AddPointwise(const PointwiseKind& kind, const CudnnTensor& x,
                                     cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t t,
                                     const CudnnTensor& y) {
  const auto how = Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  Set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, kind.mode);
  Set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, kind.precision);
  if (kind.axis >= 0) Set(how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, kind.axis);
  Close(how, "cudnnBackendFinalize of a pointwise kind");
  const auto operation = Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  SetPart(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  SetPart(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.descriptor);
  if (b != nullptr) SetPart(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  if (t != nullptr) SetPart(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
  SetPart(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.descriptor);
  CloseOperation(operation, "cudnnBackendFinalize of a pointwise operation");
}

CudnnTensor CudnnGraphBuilder::Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x,
                                         cudnnDataType_t dtype) {
  const CudnnTensor y = Between(dtype, x.layout);
  AddPointwise({mode, PrecisionOf(mode, dtype)}, x, nullptr, nullptr, y);
  return y;
}

CudnnTensor CudnnGraphBuilder::Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x,
                                         const CudnnTensor& b, cudnnDataType_t dtype) {
  const CudnnTensor y = Between(dtype, x.layout);
  AddPointwise({mode, PrecisionOf(mode, dtype)}, x, b.descriptor, nullptr, y);
  return y;
}

void CudnnGraphBuilder::PointwiseInto(cudnnPointwiseMode_t mode, const CudnnTensor& x,
                                      const CudnnTensor& b, const CudnnTensor& y) {
  AddPointwise({mode, CUDNN_DATA_FLOAT}, x, b.descriptor, nullptr, y);
}

void CudnnGraphBuilder::CopyInto(const CudnnTensor& x, const CudnnTensor& y) {
  AddPointwise({CUDNN_POINTWISE_IDENTITY, CUDNN_DATA_FLOAT}, x, nullptr, nullptr, y);
}

CudnnTensor CudnnGraphBuilder::Select(const CudnnTensor& condition, const CudnnTensor& x,
                                      const CudnnTensor& otherwise) {
  const CudnnTensor y = Between(CUDNN_DATA_FLOAT, x.layout);
  AddPointwise({CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT}, x, otherwise.descriptor,
               condition.descriptor, y);
  return y;
}

CudnnTensor CudnnGraphBuilder::Index(const CudnnTensor& x, int64_t axis) {
  const CudnnTensor y = Between(CUDNN_DATA_INT32, x.layout);
  AddPointwise({CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32, axis}, x, nullptr, nullptr, y);
  return y;
}

void CudnnGraphBuilder::MatmulInto(const CudnnTensor& a, const CudnnTensor& b,
                                   const CudnnTensor& c) {
  const auto how = Add(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  Set(how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  Close(how, "cudnnBackendFinalize of a product's kind");
  const auto operation = Add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  SetPart(operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
  SetPart(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.descriptor);
  SetPart(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.descriptor);
  SetPart(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c.descriptor);
  CloseOperation(operation, "cudnnBackendFinalize of a product");
}

void CudnnGraphBuilder::ReduceInto(cudnnReduceTensorOp_t reduction, const CudnnTensor& x,
                                   const CudnnTensor& y) {
  const auto how = Add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  Set(how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, reduction);
  Set(how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  Close(how, "cudnnBackendFinalize of a reduction's kind");
  const auto operation = Add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  SetPart(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
  SetPart(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor);
  SetPart(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.descriptor);
  CloseOperation(operation, "cudnnBackendFinalize of a reduction");
}

void CudnnGraphBuilder::ReshapeInto(const CudnnTensor& x, const CudnnTensor& y) {
  const auto operation = Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  SetPart(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x.descriptor);
  SetPart(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y.descriptor);
  CloseOperation(operation, "cudnnBackendFinalize of a reshape");
}

absl::StatusOr<CudnnGraph> CudnnGraphBuilder::Finish(cudnnHandle_t handle) {
  TUNESMITH_RETURN_IF_ERROR(status_);
  CudnnGraph result;
  TUNESMITH_ASSIGN_OR_RETURN(result.graph,
                             MakeCudnnDescriptor(cudnn_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
  result.operation_count = static_cast<int64_t>(operations_.size());
  if (handle != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(
        cudnn_, result.graph.get(), CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle));
  }
  TUNESMITH_RETURN_IF_ERROR(
      SetCudnnValues(cudnn_, result.graph.get(), CUDNN_ATTR_OPERATIONGRAPH_OPS,
                     CUDNN_TYPE_BACKEND_DESCRIPTOR, result.operation_count, operations_.data()));
  TUNESMITH_RETURN_IF_ERROR(CudnnStatus(cudnn_, cudnn_.descriptor_finalize(result.graph.get()),
                                        "cudnnBackendFinalize of a graph"));
  result.parts = std::move(parts_);
  return result;
}

}  // namespace tunesmith::trainer
