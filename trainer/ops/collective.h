#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// kAllGather, kReduceScatter, kAllReduce, kAllToAll: what ranks say to each other through the context's communicator; on a GPU queued on the communication stream.
// FAILED_PRECONDITION: there is no communicator. INVALID_ARGUMENT: a tensor is missing or of another type. Errors of the communicator besides.
absl::Status Collective(const OpContext& context, const OpCall& call);

// Runs kAdamW, kSgd or kSumSquares of a bucket as one call for each of its parts that the tensors hold some of. `run` is given the call with its tensors cut
// to that part; what is scaled by block of kStateBlockSize elements is cut accordingly. `first_unit` of that call counts from the part's first.
template <typename Run>
absl::Status ForEachPart(const OpCall& call, Run run);

// The call on `count` units from `begin` on, both of the bucket.
OpCall CutToPart(const OpCall& call, const planner::BucketPart& part, int64_t begin, int64_t count);

template <typename Run>
absl::Status ForEachPart(const OpCall& call, Run run) {
  const int64_t end = call.first_unit + call.inputs[0].element_count();
  for (const planner::BucketPart& part : call.bucket->parts) {
    const int64_t begin = std::max(part.first, call.first_unit),
                  count = std::min(part.first + part.count, end) - begin;
    if (count <= 0) continue;
    if (absl::Status status = run(CutToPart(call, part, begin, count)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
