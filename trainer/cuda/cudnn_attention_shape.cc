#include "common/str_cat.h"
#include "trainer/cuda/cudnn_attention.h"

namespace tunesmith::trainer {
namespace {

// Heads are read by 16 bytes.
constexpr int64_t kHeadSizeStep = 8;
constexpr int64_t kLargestHeadSize = 256;

absl::Status Refuse(const std::string& why) {
  return absl::UnimplementedError(StrCat("cuDNN's attention takes no ", why));
}

bool MakesAShape(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  return shape.rows > 0 && a.context > 0 && a.head_count > 0 && a.kv_head_count > 0 &&
         a.head_count % a.kv_head_count == 0 && a.head_size > 0 && a.window >= 0;
}

}  // namespace

absl::Status CheckCudnnTakes(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  if (!MakesAShape(shape)) {
    return absl::InvalidArgumentError(StrCat("attention over ", shape.rows, " rows of ", a.context,
                                             " tokens, ", a.head_count, " heads of ", a.head_size,
                                             ", ", a.kv_head_count, " of keys, window ", a.window,
                                             ": sizes must be positive and heads divide evenly"));
  }
  if (shape.dtype != DType::kBF16) return Refuse(StrCat(DTypeName(shape.dtype), "; use bf16"));
  if (a.soft_cap != 0.0) return Refuse("soft cap of scores");
  if (a.alibi_bias_max != 0.0) return Refuse("ALiBi");
  if (a.head_size % kHeadSizeStep != 0 || a.head_size > kLargestHeadSize) {
    return Refuse(StrCat("heads of ", a.head_size, "; multiples of ", kHeadSizeStep, " up to ",
                         kLargestHeadSize));
  }
  if (a.context == 1) return Refuse("rows of one token");
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
