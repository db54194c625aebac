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

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t element_count() const { return dims[0] * dims[1] * dims[2]; }
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
