#include "planner/model/workload.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kLargestRowsPerStep = 1 << 24;
constexpr int64_t kLargestTokenCount = int64_t{1} << 50;
constexpr double kLargestEpochCount = 1e6;

}  // namespace

int64_t LossTokensPerRow(const Workload& workload) {
  return workload.loss_token_capacity > 0 ? workload.loss_token_capacity : workload.context;
}

absl::Status ValidateWorkload(const Workload& workload, const ModelSpec& model) {
  std::vector<std::string> problems;
  const auto check = [&problems](std::string_view name, int64_t value, int64_t lowest,
                                 int64_t highest) {
    if (value >= lowest && value <= highest) return;
    problems.push_back(StrCat(name, " is ", value, ", must be ", lowest, " to ", highest));
  };
  if (workload.context > model.context_limit) {
    problems.push_back(StrCat("context(", workload.context, ") > context_limit(",
                              model.context_limit, ") of model ", model.name, " [", model.source,
                              "]"));
  } else {
    check("context", workload.context, 1, model.context_limit);
    check("document_capacity", workload.document_capacity, 0, workload.context);
    check("loss_token_capacity", workload.loss_token_capacity, 0, workload.context);
  }
  check("rows_per_step", workload.rows_per_step, 1, kLargestRowsPerStep);
  check("dataset_token_count", workload.dataset_token_count, 0, kLargestTokenCount);
  if (!(workload.epoch_count > 0 && workload.epoch_count <= kLargestEpochCount)) {
    problems.push_back(StrCat("epoch_count is ", workload.epoch_count,
                              ", must be above 0 and at most ", kLargestEpochCount));
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("workload: ", StrJoin(problems, "; ")));
}

}  // namespace tunesmith::planner
