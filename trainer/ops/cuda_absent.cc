// What the library answers when it is built without CUDA: every function that the *_cuda.h headers
// declare.

#include "absl/status/status.h"
#include "trainer/ops/activation_cuda.h"
#include "trainer/ops/adamw_cuda.h"
#include "trainer/ops/attention_cuda.h"
#include "trainer/ops/cross_entropy_cuda.h"
#include "trainer/ops/decode_cuda.h"
#include "trainer/ops/dequantize_nf4_cuda.h"
#include "trainer/ops/dropout_cuda.h"
#include "trainer/ops/elementwise_cuda.h"
#include "trainer/ops/embedding_cuda.h"
#include "trainer/ops/flash_attention_cuda.h"
#include "trainer/ops/gather_rows_cuda.h"
#include "trainer/ops/gradient_norm_cuda.h"
#include "trainer/ops/layer_norm_cuda.h"
#include "trainer/ops/linear_cuda.h"
#include "trainer/ops/rms_norm_cuda.h"
#include "trainer/ops/rope_cuda.h"
#include "trainer/ops/sgd_cuda.h"
#include "trainer/ops/split_columns_cuda.h"
#include "trainer/ops/swiglu_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

absl::Status Absent() {
  return absl::UnimplementedError(
      "this build has no CUDA kernels; use the CPU, or build where a CUDA toolkit is installed");
}

}  // namespace

absl::Status ApplyActivation(CudaContext&, const ActivationArgs&) { return Absent(); }
absl::Status ActivationBackward(CudaContext&, const ActivationBackwardArgs&) { return Absent(); }
absl::Status AdamW(CudaContext&, const AdamWArgs&) { return Absent(); }
absl::Status Attention(CudaContext&, const AttentionArgs&) { return Absent(); }
absl::Status AttentionBackward(CudaContext&, const AttentionBackwardArgs&) { return Absent(); }
absl::Status CrossEntropy(CudaContext&, const CrossEntropyArgs&) { return Absent(); }
absl::Status CrossEntropyInPlace(CudaContext&, const CrossEntropyInPlaceArgs&) { return Absent(); }
absl::Status CacheAppend(CudaContext&, const CacheAppendArgs&) { return Absent(); }
absl::Status DecodeAttention(CudaContext&, const DecodeAttentionArgs&) { return Absent(); }
absl::Status ArgMax(CudaContext&, const ArgMaxArgs&) { return Absent(); }
absl::Status Add(CudaContext&, const AddArgs&) { return Absent(); }
absl::Status Dropout(CudaContext&, const DropoutArgs&) { return Absent(); }
absl::Status SoftCap(CudaContext&, const SoftCapArgs&) { return Absent(); }
absl::Status Clear(CudaContext&, const ClearArgs&) { return Absent(); }
absl::Status Copy(CudaContext&, const CopyArgs&) { return Absent(); }
absl::Status Embedding(CudaContext&, const EmbeddingArgs&) { return Absent(); }
absl::Status EmbeddingBackward(CudaContext&, const EmbeddingBackwardArgs&) { return Absent(); }
absl::Status FlashAttention(CudaContext&, const FlashAttentionArgs&) { return Absent(); }
absl::Status FlashAttentionBackward(CudaContext&, const FlashAttentionBackwardArgs&) {
  return Absent();
}
absl::Status GatherRows(CudaContext&, const GatherRowsArgs&) { return Absent(); }
absl::Status ScatterRows(CudaContext&, const ScatterRowsArgs&) { return Absent(); }
absl::Status SumSquares(CudaContext&, const SumSquaresArgs&) { return Absent(); }
absl::Status ClipFactor(CudaContext&, const ClipFactorArgs&) { return Absent(); }
absl::Status LayerNorm(CudaContext&, const LayerNormArgs&) { return Absent(); }
absl::Status LayerNormBackward(CudaContext&, const LayerNormBackwardArgs&) { return Absent(); }
absl::Status LayerNormBackwardWeight(CudaContext&, const LayerNormBackwardWeightArgs&) {
  return Absent();
}
absl::Status Linear(CudaContext&, const LinearArgs&) { return Absent(); }
absl::Status LinearBias(CudaContext&, const LinearBiasArgs&) { return Absent(); }
absl::Status LinearBackwardInput(CudaContext&, const LinearBackwardInputArgs&) { return Absent(); }
absl::Status LinearBackwardWeight(CudaContext&, const LinearBackwardWeightArgs&) {
  return Absent();
}
absl::Status BiasBackward(CudaContext&, const BiasBackwardArgs&) { return Absent(); }
absl::Status RmsNorm(CudaContext&, const RmsNormArgs&) { return Absent(); }
absl::Status RmsNormBackward(CudaContext&, const RmsNormBackwardArgs&) { return Absent(); }
absl::Status RmsNormBackwardWeight(CudaContext&, const RmsNormBackwardWeightArgs&) {
  return Absent();
}
absl::Status DequantizeNf4(CudaContext&, const DequantizeNf4Args&) { return Absent(); }
absl::Status Rope(CudaContext&, const RopeArgs&) { return Absent(); }
absl::Status RopeBackward(CudaContext&, const RopeArgs&) { return Absent(); }
absl::Status Sgd(CudaContext&, const SgdArgs&) { return Absent(); }
absl::Status SplitColumns(CudaContext&, const SplitColumnsArgs&) { return Absent(); }
absl::Status JoinColumns(CudaContext&, const JoinColumnsArgs&) { return Absent(); }
absl::Status SwiGlu(CudaContext&, const SwiGluArgs&) { return Absent(); }
absl::Status SwiGluBackward(CudaContext&, const SwiGluBackwardArgs&) { return Absent(); }

}  // namespace tunesmith::trainer::cuda
