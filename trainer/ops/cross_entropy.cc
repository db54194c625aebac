#include "trainer/ops/cross_entropy.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/cross_entropy_cpu.h"
#include "trainer/ops/cross_entropy_cuda.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status CrossEntropy(const OpContext& context, const CrossEntropyArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kCrossEntropy, {
                                              {"logits", args.logits, {N, V}, kComputeDTypes},
                                              {"labels", args.labels, {N}, DType::kI32},
                                              {"loss_sum", args.loss_sum, {1}, DType::kF64},
                                          }));
  return Dispatch(context, args, cpu::CrossEntropy, cuda::CrossEntropy);
}

absl::Status CrossEntropyInPlace(const OpContext& context, const CrossEntropyInPlaceArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(OpKind::kCrossEntropyInPlace,
                                         {
                                             {"logits", args.logits, {N, V}, kComputeDTypes},
                                             {"labels", args.labels, {N}, DType::kI32},
                                             {"loss_scale", args.loss_scale, {1}, kScalarDTypes},
                                             {"loss_sum", args.loss_sum, {1}, DType::kF64},
                                         }));
  return Dispatch(context, args, cpu::CrossEntropyInPlace, cuda::CrossEntropyInPlace);
}

}  // namespace tunesmith::trainer
