#include "trainer/ops/attention.h"

#include "common/status_macros.h"
#include "trainer/ops/attention_checks.h"
#include "trainer/ops/attention_cpu.h"
#include "trainer/ops/attention_cuda.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status Attention(const OpContext& context, const AttentionArgs& args) {
  constexpr OpKind kOp = OpKind::kAttention;
  TUNESMITH_RETURN_IF_ERROR(
      CheckAttention(kOp, args.shape, args.q, args.k, args.v, args.document_starts));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  const DType dtype = args.q.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(kOp, {
                            {"o", args.o, DimsOf(args.q), dtype},
                            {"probabilities", args.probabilities, {B * H, T, T}, dtype},
                        }));
  return Dispatch(context, args, cpu::Attention, cuda::Attention);
}

absl::Status AttentionBackward(const OpContext& context, const AttentionBackwardArgs& args) {
  constexpr OpKind kOp = OpKind::kAttentionBackward;
  TUNESMITH_RETURN_IF_ERROR(
      CheckAttention(kOp, args.shape, args.q, args.k, args.v, args.document_starts));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  const DType dtype = args.q.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(kOp, {
                            {"do", args.d_o, DimsOf(args.q), dtype},
                            {"probabilities", args.probabilities, {B * H, T, T}, dtype},
                            {"dq", args.dq, DimsOf(args.q), dtype},
                            {"dk", args.dk, DimsOf(args.k), dtype},
                            {"dv", args.dv, DimsOf(args.v), dtype},
                        }));
  return Dispatch(context, args, cpu::AttentionBackward, cuda::AttentionBackward);
}

}  // namespace tunesmith::trainer
