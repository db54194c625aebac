#include "planner/program/token_slice.h"

#include <algorithm>

#include "common/str_cat.h"

namespace tunesmith::planner {

int64_t SliceTokenCount(const Mix& mix, const Workload& workload) {
  return mix.micro_batch * workload.context / mix.sequence_parallel;
}

int64_t SliceLossTokenCount(const Mix& mix, const Workload& workload) {
  return std::min(SliceTokenCount(mix, workload), mix.micro_batch * LossTokensPerRow(workload));
}

absl::Status CheckTokenSlices(const ModelSpec& model, const Workload& workload, const Mix& mix) {
  const int64_t ranks = mix.sequence_parallel, tokens = mix.micro_batch * workload.context,
                heads = model.head_count, kv_heads = model.kv_head_count;
  if (tokens % ranks != 0)
    return absl::InvalidArgumentError(
        StrCat("sequence_parallel: micro_batch(", mix.micro_batch, ") x context(", workload.context,
               ") tokens % sequence_parallel(", ranks, ") = ", tokens % ranks, ", must be 0"));
  if (heads % ranks != 0)
    return absl::InvalidArgumentError(StrCat("sequence_parallel: heads(", heads,
                                             ") % sequence_parallel(", ranks, ") = ", heads % ranks,
                                             ", must be 0: every rank attends with as many"));
  if (kv_heads % ranks != 0 && ranks % kv_heads != 0)
    return absl::InvalidArgumentError(
        StrCat("sequence_parallel: key/value heads(", kv_heads, ") % sequence_parallel(", ranks,
               ") = ", kv_heads % ranks, " and sequence_parallel(", ranks, ") % key/value heads(",
               kv_heads, ") = ", ranks % kv_heads, ", one must be 0"));
  return absl::OkStatus();
}

}  // namespace tunesmith::planner
