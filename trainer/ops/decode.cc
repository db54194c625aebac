#include "trainer/ops/decode.h"

#include "common/status_macros.h"
#include "trainer/ops/attention_checks.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/decode_cpu.h"
#include "trainer/ops/decode_cuda.h"
#include "trainer/ops/dispatch.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status CacheAppend(const OpContext& context, const CacheAppendArgs& args) {
  const int64_t T = args.cache.dims[0], KD = args.cache.dims[1];
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kCacheAppend, {
                                             {"cache", args.cache, {T, KD}, kComputeDTypes},
                                             {"x", args.x, {1, KD}, args.cache.dtype},
                                             {"positions", args.positions, {1}, DType::kI32},
                                         }));
  return Dispatch(context, args, cpu::CacheAppend, cuda::CacheAppend);
}

absl::Status DecodeAttention(const OpContext& context, const DecodeAttentionArgs& args) {
  const AttentionShape& shape = args.shape;
  const int64_t T = shape.context, HD = shape.head_count * shape.head_size;
  const int64_t KD = shape.kv_head_count * shape.head_size;
  const DType dtype = args.q.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckHeads(OpKind::kDecodeAttention, shape));
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kDecodeAttention,
                   {
                       {"q", args.q, {1, HD}, kComputeDTypes},
                       {"k_cache", args.k_cache, {T, KD}, dtype},
                       {"v_cache", args.v_cache, {T, KD}, dtype},
                       {"positions", args.positions, {1}, DType::kI32},
                       {"o", args.o, {1, HD}, dtype},
                       {"scores", args.scores, {shape.head_count, T}, StatisticsDType(dtype)},
                   }));
  return Dispatch(context, args, cpu::DecodeAttention, cuda::DecodeAttention);
}

absl::Status ArgMax(const OpContext& context, const ArgMaxArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kArgMax, {
                                        {"logits", args.logits, {N, V}, kComputeDTypes},
                                        {"token", args.token, {N}, DType::kI32},
                                    }));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(OpKind::kArgMax, V > 0, "logits have no columns"));
  return Dispatch(context, args, cpu::ArgMax, cuda::ArgMax);
}

}  // namespace tunesmith::trainer
