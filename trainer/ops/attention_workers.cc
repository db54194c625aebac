#include "trainer/ops/attention_workers.h"

#include <algorithm>
#include <limits>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/checks.h"

namespace tunesmith::trainer::cpu {

absl::Status CheckDocumentStarts(planner::OpKind op, const Tensor& document_starts,
                                 int64_t context) {
  const int32_t* start = document_starts.as<int32_t>();
  for (int64_t i = 0; i < document_starts.dims[0]; ++i) {
    if (start[i] >= 0 && start[i] <= i % context) continue;
    return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": document_starts[", i,
                                             "] is ", start[i], ", outside 0 to ", i % context));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> WorkerCount(planner::OpKind op, const Tensor& workspace, DType dtype,
                                int64_t worker_elements, int64_t shared_elements) {
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(op, {{"workspace", workspace, DimsOf(workspace), dtype}}));
  const int64_t count = (workspace.element_count() - shared_elements) / worker_elements;
  if (count > 0) {
    return static_cast<int>(std::min<int64_t>(count, std::numeric_limits<int>::max()));
  }
  return absl::InvalidArgumentError(
      StrCat(planner::OpKindName(op), ": workspace has ", workspace.element_count(),
             " elements, one worker needs ", worker_elements + shared_elements));
}

}  // namespace tunesmith::trainer::cpu
