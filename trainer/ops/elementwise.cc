#include "trainer/ops/elementwise.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/elementwise_cpu.h"
#include "trainer/ops/elementwise_cuda.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

constexpr DTypeSet kConvertible = kComputeDTypes | DType::kF16;

absl::Status CheckAdd(OpKind op, const AddArgs& args) {
  return CheckTensors(op, {
                              {"x", args.x, DimsOf(args.x), kComputeDTypes},
                              {"y", args.y, DimsOf(args.x), args.x.dtype},
                          });
}

}  // namespace

absl::Status Add(const OpContext& context, const AddArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckAdd(OpKind::kAdd, args));
  return Dispatch(context, args, cpu::Add, cuda::Add);
}

absl::Status Sum(const OpContext& context, const AddArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckAdd(OpKind::kSum, args));
  return Dispatch(context, args, cpu::Add, cuda::Add);
}

absl::Status SoftCap(const OpContext& context, const SoftCapArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kSoftCap, {{"x", args.x, DimsOf(args.x), kComputeDTypes}}));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(OpKind::kSoftCap, args.cap > 0, "soft_cap is not positive"));
  return Dispatch(context, args, cpu::SoftCap, cuda::SoftCap);
}

absl::Status Clear(const OpContext& context, const ClearArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kClear, {{"y", args.y, DimsOf(args.y), args.y.dtype}}));
  return Dispatch(context, args, cpu::Clear, cuda::Clear);
}

absl::Status Copy(const OpContext& context, const CopyArgs& args) {
  const bool same = args.x.dtype == args.y.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kCopy,
                   {
                       {"x", args.x, DimsOf(args.x), same ? DTypeSet(args.x.dtype) : kConvertible},
                       {"y", args.y, DimsOf(args.y), same ? DTypeSet(args.x.dtype) : kConvertible},
                   }));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(OpKind::kCopy,
                                      args.x.element_count() == args.y.element_count(),
                                      "x and y do not have the same number of elements"));
  return Dispatch(context, args, cpu::Copy, cuda::Copy);
}

}  // namespace tunesmith::trainer
