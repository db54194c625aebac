#pragma once

#include <array>
#include <cstdint>

#include "common/dtype.h"
#include "planner/program/program.h"

namespace tunesmith::trainer {

// A view of device memory; owns nothing. Row-major.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::array<int64_t, 3> dims = {1, 1, 1};
  int rank = 0;
  // Of a matrix that is some columns of another: elements from one row to the next. 0: rows lie one behind another, which every op asks for but products, SwiGLU and flash attention.
  int64_t stride = 0;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t element_count() const { return dims[0] * dims[1] * dims[2]; }
  int64_t row_stride() const { return stride > 0 ? stride : dims[1] * dims[2]; }
  // From the first element to past the last.
  int64_t span_bytes() const {
    const int64_t count =
        stride > 0 && dims[0] > 0 ? (dims[0] - 1) * stride + dims[1] : element_count();
    return count * SizeOf(dtype);
  }
};

// One op with its addresses resolved: what the executor hands to the kernels. Inputs and outputs
// are in the order that op.h gives.
struct OpCall {
  planner::OpKind kind = planner::OpKind::kClear;
  planner::OpAttributes attributes;
  const planner::ModelSpec* model = nullptr;  // kRope and its backward: whose angles
  const planner::Bucket* bucket = nullptr;    // whose units the tensors hold; null: whole tensors
  int64_t first_unit = 0;                     // of the bucket, that is the tensors' first
  const planner::Program* program = nullptr;  // where there is a bucket: its parameters
  int64_t first_head =
      0;  // attention over a share of the heads: which of all is the tensors' first
  planner::Stream stream = planner::Stream::kCompute;
  int64_t run_index =
      0;  // of its block: the layer, where the block's buffers have one instance for each
  int input_count = 0;
  int output_count = 0;
  std::array<Tensor, planner::kMaxOpInputs> inputs;
  std::array<Tensor, planner::kMaxOpOutputs> outputs;
};

}  // namespace tunesmith::trainer
