#include "trainer/ops/dropout.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/dropout_cpu.h"
#include "trainer/ops/dropout_cuda.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

absl::Status Check(OpKind op, const DropoutArgs& args) {
  const int64_t N = args.x.dims[0], I = args.x.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(op, {
                                                 {"x", args.x, {N, I}, kComputeDTypes},
                                                 {"key", args.key, {2}, DType::kU64},
                                                 {"y", args.y, {N, I}, args.x.dtype},
                                             }));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(op, args.context > 0, "context is not positive"));
  return CheckThat(op, args.share >= 0 && args.share < 1, "the share is not 0 to below 1");
}

}  // namespace

absl::Status Dropout(const OpContext& context, const DropoutArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kDropout, args));
  return Dispatch(context, args, cpu::Dropout, cuda::Dropout);
}

absl::Status DropoutBackward(const OpContext& context, const DropoutArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kDropoutBackward, args));
  return Dispatch(context, args, cpu::Dropout, cuda::Dropout);
}

}  // namespace tunesmith::trainer
