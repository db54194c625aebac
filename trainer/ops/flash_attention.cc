#include "trainer/ops/flash_attention.h"

#include "common/status_macros.h"
#include "trainer/ops/attention_checks.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/flash_attention_cpu.h"
#include "trainer/ops/flash_attention_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status FlashAttention(const OpContext& context, const FlashAttentionArgs& args) {
  const OpKind op = args.cudnn ? OpKind::kCudnnAttention : OpKind::kFlashAttention;
  TUNESMITH_RETURN_IF_ERROR(
      CheckAttention(op, args.shape, args.q, args.k, args.v, args.document_starts));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      op, {
              {"o", args.o, DimsOf(args.q), args.q.dtype},
              {"log_sum_exp", args.log_sum_exp, {B * H, T}, StatisticsDType(args.q.dtype)},
          }));
  return Dispatch(context, args, cpu::FlashAttention, cuda::FlashAttention);
}

absl::Status FlashAttentionBackward(const OpContext& context,
                                    const FlashAttentionBackwardArgs& args) {
  const OpKind op = args.cudnn ? OpKind::kCudnnAttentionBackward : OpKind::kFlashAttentionBackward;
  TUNESMITH_RETURN_IF_ERROR(
      CheckAttention(op, args.shape, args.q, args.k, args.v, args.document_starts));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  const DType dtype = args.q.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(op, {
                           {"do", args.d_o, DimsOf(args.q), dtype},
                           {"o", args.o, DimsOf(args.q), dtype},
                           {"log_sum_exp", args.log_sum_exp, {B * H, T}, StatisticsDType(dtype)},
                           {"dq", args.dq, DimsOf(args.q), dtype},
                           {"dk", args.dk, DimsOf(args.k), dtype},
                           {"dv", args.dv, DimsOf(args.v), dtype},
                       }));
  return Dispatch(context, args, cpu::FlashAttentionBackward, cuda::FlashAttentionBackward);
}

}  // namespace tunesmith::trainer
