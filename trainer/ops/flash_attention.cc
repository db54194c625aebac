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
  TUNESMITH_RETURN_IF_ERROR(CheckAttention(op, args.shape, args.q, args.k, args.v,
                                           args.document_starts, /*columns=*/true));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      op, {
              {"o", args.o, DimsOf(args.q), args.q.dtype},
              {"log_sum_exp", args.log_sum_exp, {B * H, T}, StatisticsDType(args.q.dtype)},
          }));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(op, args.k.row_stride() == args.v.row_stride(),
                                      "rows of k and v lie differently apart"));
  return Dispatch(context, args, cpu::FlashAttention, cuda::FlashAttention);
}

absl::Status FlashAttentionBackward(const OpContext& context,
                                    const FlashAttentionBackwardArgs& args) {
  const OpKind op = args.cudnn ? OpKind::kCudnnAttentionBackward : OpKind::kFlashAttentionBackward;
  TUNESMITH_RETURN_IF_ERROR(CheckAttention(op, args.shape, args.q, args.k, args.v,
                                           args.document_starts, /*columns=*/true));
  const int64_t T = args.shape.context, B = args.q.dims[0] / T, H = args.shape.head_count;
  const DType dtype = args.q.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(op, {
                           {"do", args.d_o, DimsOf(args.q), dtype},
                           {"o", args.o, DimsOf(args.q), dtype},
                           {"log_sum_exp", args.log_sum_exp, {B * H, T}, StatisticsDType(dtype)},
                           {"dq", args.dq, DimsOf(args.q), dtype, true},
                           {"dk", args.dk, DimsOf(args.k), dtype, true},
                           {"dv", args.dv, DimsOf(args.v), dtype, true},
                       }));
  // Kernels find an element of a gradient as they find it in what that is the gradient of.
  TUNESMITH_RETURN_IF_ERROR(CheckThat(
      op,
      args.dq.row_stride() == args.q.row_stride() && args.dk.row_stride() == args.k.row_stride() &&
          args.dv.row_stride() == args.v.row_stride() && args.k.row_stride() == args.v.row_stride(),
      "rows of k and v, or of gradients, lie differently apart"));
  return Dispatch(context, args, cpu::FlashAttentionBackward, cuda::FlashAttentionBackward);
}

}  // namespace tunesmith::trainer
