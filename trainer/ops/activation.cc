#include "trainer/ops/activation.h"

#include "common/status_macros.h"
#include "trainer/ops/activation_cpu.h"
#include "trainer/ops/activation_cuda.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status ApplyActivation(const OpContext& context, const ActivationArgs& args) {
  const Dims dims = {args.x.dims[0], args.x.dims[1]};
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kActivation, {
                                            {"x", args.x, dims, kComputeDTypes},
                                            {"y", args.y, dims, args.x.dtype},
                                        }));
  return Dispatch(context, args, cpu::ApplyActivation, cuda::ApplyActivation);
}

absl::Status ActivationBackward(const OpContext& context, const ActivationBackwardArgs& args) {
  const Dims dims = {args.x.dims[0], args.x.dims[1]};
  const DType dtype = args.x.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kActivationBackward, {
                                                    {"x", args.x, dims, kComputeDTypes},
                                                    {"dy", args.dy, dims, dtype},
                                                    {"dx", args.dx, dims, dtype},
                                                }));
  return Dispatch(context, args, cpu::ActivationBackward, cuda::ActivationBackward);
}

}  // namespace tunesmith::trainer
