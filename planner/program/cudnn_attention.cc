#include "planner/program/cudnn_attention.h"

#include <string>

#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::planner {
namespace {

// Heads are read by 16 bytes.
constexpr int64_t kHeadSizeStep = 8;
constexpr int64_t kHopper = 90;
// Gradients of heads beyond the first are known to sm_90 alone.
constexpr int64_t kLargestHeadSize = 128, kLargestHopperHeadSize = 256;
constexpr int64_t kAlignmentBytes = 256;
// Of cuDNN's own part, for what it aligns.
constexpr int64_t kSlackBytes = 16 * kKiB;

absl::Status Refuse(const std::string& why) {
  return absl::UnimplementedError(StrCat("cuDNN's attention takes no ", why));
}

bool MakesAShape(const OpAttributes& a, int64_t rows) {
  return rows > 0 && a.context > 0 && a.head_count > 0 && a.kv_head_count > 0 &&
         a.head_count % a.kv_head_count == 0 && a.head_size > 0 && a.window >= 0;
}

int64_t F32Bytes(int64_t count) { return AlignUp(count * SizeOf(DType::kF32), kAlignmentBytes); }

// What engines ask for beside the project's own parts: a gradient of k and v in bf16 for each query head where heads share them, and before sm_90 another sum of dq.
int64_t EngineBytes(const OpAttributes& a, int64_t query_elements, int64_t compute_capability) {
  const int64_t grouped = a.head_count != a.kv_head_count ? 4 : 0,
                older = compute_capability == kHopper ? 0 : 4;
  return AlignUp((grouped + older) * query_elements + kSlackBytes, kAlignmentBytes);
}

}  // namespace

absl::Status CheckCudnnTakes(const OpAttributes& a, DType dtype, int64_t rows,
                             int64_t compute_capability) {
  if (!MakesAShape(a, rows)) {
    return absl::InvalidArgumentError(StrCat("attention over ", rows, " rows of ", a.context,
                                             " tokens, ", a.head_count, " heads of ", a.head_size,
                                             ", ", a.kv_head_count, " of keys, window ", a.window,
                                             ": sizes must be positive and heads divide evenly"));
  }
  if (dtype != DType::kBF16) return Refuse(StrCat(DTypeName(dtype), "; use bf16"));
  if (a.soft_cap != 0.0) return Refuse("soft cap of scores");
  if (a.alibi_bias_max != 0.0) return Refuse("ALiBi");
  const int64_t largest = compute_capability == kHopper || compute_capability == 0
                              ? kLargestHopperHeadSize
                              : kLargestHeadSize;
  if (a.head_size % kHeadSizeStep != 0 || a.head_size > largest) {
    return Refuse(StrCat("heads of ", a.head_size, " there; multiples of ", kHeadSizeStep,
                         " up to ", largest));
  }
  if (a.context == 1) return Refuse("rows of one token");
  return absl::OkStatus();
}

CudnnWorkspace CudnnForwardWorkspace(const OpAttributes& a, int64_t rows) {
  CudnnWorkspace w;
  w.cudnn = AlignUp(rows * a.context * SizeOf(DType::kI32), kAlignmentBytes);
  w.deltas = w.dq_sums = w.cudnn;
  w.end = w.cudnn + kSlackBytes;
  return w;
}

CudnnWorkspace CudnnBackwardWorkspace(const OpAttributes& a, int64_t rows,
                                      int64_t compute_capability) {
  const int64_t queries = rows * a.context * a.head_count;
  CudnnWorkspace w = CudnnForwardWorkspace(a, rows);
  w.dq_sums = w.deltas + F32Bytes(queries);
  w.cudnn = w.dq_sums + F32Bytes(queries * a.head_size);
  w.end = w.cudnn + EngineBytes(a, queries * a.head_size, compute_capability);
  return w;
}

}  // namespace tunesmith::planner
