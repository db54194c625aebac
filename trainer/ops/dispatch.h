#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "common/str_cat.h"
#include "planner/program/op.h"
#include "trainer/ops/op_context.h"
#include "trainer/ops/storage.h"

// From a checked call to the kernel of its device and dtype.
namespace tunesmith::trainer {

template <typename Args>
absl::Status Dispatch(const OpContext& context, const Args& args,
                      absl::Status (*on_cpu)(ThreadPool&, const Args&),
                      absl::Status (*on_cuda)(CudaContext&, const Args&)) {
  switch (context.device) {
    case planner::BackendKind::kCpu:
      return on_cpu(*context.threads, args);
    case planner::BackendKind::kCuda:
      return on_cuda(*context.cuda, args);
  }
  return absl::InternalError("op context names no device");
}

namespace cpu {

// function(T{}) with T the type of `dtype`; the CPU computes in f32 and f64. Returns UNIMPLEMENTED
// for others, else the function's status.
template <typename Function>
absl::Status VisitComputeType(planner::OpKind op, DType dtype, Function function) {
  switch (dtype) {
    case DType::kF32:
      return function(float{});
    case DType::kF64:
      return function(double{});
    default:
      return absl::UnimplementedError(StrCat(planner::OpKindName(op),
                                             ": the CPU computes in f32 and f64, not in ",
                                             DTypeName(dtype), "; use precision=fp32"));
  }
}

// function(S{}) with the storage type S of `dtype`: f32, f64 or bf16. The checks let no other dtype
// through; INTERNAL if one does.
template <typename Function>
absl::Status VisitStorage(planner::OpKind op, DType dtype, Function function) {
  switch (dtype) {
    case DType::kF32:
      return function(float{});
    case DType::kF64:
      return function(double{});
    case DType::kBF16:
      return function(Bf16{});
    default:
      return absl::InternalError(
          StrCat(planner::OpKindName(op), ": no CPU kernel stores ", DTypeName(dtype)));
  }
}

}  // namespace cpu
}  // namespace tunesmith::trainer
