#include "trainer/ops/embedding.h"

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/embedding_cpu.h"
#include "trainer/ops/embedding_cuda.h"

namespace tunesmith::trainer {

using planner::OpKind;

absl::Status Embedding(const OpContext& context, const EmbeddingArgs& args) {
  const int64_t BT = args.y.dims[0], V = args.weight.dims[0], C = args.weight.dims[1];
  const DType dtype = args.weight.dtype;
  TUNESMITH_RETURN_IF_ERROR(
      CheckTensors(OpKind::kEmbedding, {
                                           {"weight", args.weight, {V, C}, kComputeDTypes},
                                           {"tokens", args.tokens, {BT}, DType::kI32},
                                           {"y", args.y, {BT, C}, dtype},
                                       }));
  return Dispatch(context, args, cpu::Embedding, cuda::Embedding);
}

absl::Status EmbeddingBackward(const OpContext& context, const EmbeddingBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], C = args.dy.dims[1], V = args.dweight.dims[0];
  const DType dtype = args.dy.dtype;
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(
      OpKind::kEmbeddingBackward, {
                                      {"dy", args.dy, {BT, C}, kComputeDTypes},
                                      {"tokens", args.tokens, {BT}, DType::kI32},
                                      {"dweight", args.dweight, {V, C}, AccumulatorDTypes(dtype)},
                                  }));
  return Dispatch(context, args, cpu::EmbeddingBackward, cuda::EmbeddingBackward);
}

}  // namespace tunesmith::trainer
