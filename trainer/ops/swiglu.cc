#include "trainer/ops/swiglu.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/swiglu_cpu.h"
#include "trainer/ops/swiglu_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status SwiGlu(const OpContext& context, const SwiGluArgs& args) {
  const Dims dims = {args.gate.dims[0], args.gate.dims[1]};
  const DType dtype = args.gate.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kSwiGlu, {
                                        {"gate", args.gate, dims, kComputeDTypes, true},
                                        {"up", args.up, dims, dtype, true},
                                        {"y", args.y, dims, dtype},
                                    }));
  return Dispatch(context, args, cpu::SwiGlu, cuda::SwiGlu);
}

absl::Status SwiGluBackward(const OpContext& context, const SwiGluBackwardArgs& args) {
  const Dims dims = {args.gate.dims[0], args.gate.dims[1]};
  const DType dtype = args.gate.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kSwiGluBackward, {
                                                {"gate", args.gate, dims, kComputeDTypes, true},
                                                {"dy", args.dy, dims, dtype},
                                                {"up", args.up, dims, dtype, true},
                                                {"dgate", args.dgate, dims, dtype, true},
                                                {"dup", args.dup, dims, dtype, true},
                                            }));
  return Dispatch(context, args, cpu::SwiGluBackward, cuda::SwiGluBackward);
}

}  // namespace tunesmith::trainer
