#include "planner/model/workload.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/text.h"
#include "planner/model/size_limits.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kLargestRowsPerStep = 1 << 24;
constexpr int64_t kLargestTokenCount = int64_t{1} << 50;
constexpr double kLargestEpochCount = 1e6;
constexpr size_t kMostLengthBins = 4096;
constexpr int64_t kLargestDocument = int64_t{1} << 40;

void CheckHistogram(const LengthHistogram& histogram, std::vector<std::string>& problems) {
  if (histogram.empty()) return;
  const auto add = [&](size_t bin, const auto&... what) {
    problems.push_back(StrCat("length_histogram[", bin, "].", what...));
  };
  if (histogram.size() > kMostLengthBins)
    problems.push_back(StrCat("length_histogram has ", histogram.size(), " bins, at most ",
                              kMostLengthBins, " are taken"));
  int64_t below = 0;
  double tokens = 0;
  for (size_t i = 0; i < histogram.size(); ++i) {
    const LengthBin& bin = histogram[i];
    if (bin.upper_edge <= below || bin.upper_edge > kLargestDocument)
      add(i, "upper_edge is ", bin.upper_edge, ", must be ", below + 1, " to ", kLargestDocument,
          ": edges ascend");
    if (bin.document_count < 0)
      add(i, "document_count is ", bin.document_count, ", must not be negative");
    const double most =
        static_cast<double>(bin.document_count) * static_cast<double>(bin.upper_edge);
    if (bin.predicted_token_count < 0 || static_cast<double>(bin.predicted_token_count) > most)
      add(i, "predicted_token_count is ", bin.predicted_token_count, ", must be 0 to ", most,
          ", the tokens of its documents");
    below = bin.upper_edge;
    tokens += most;
  }
  if (tokens <= 0) problems.push_back("length_histogram has no document; leave it out");
  if (tokens > static_cast<double>(kLargestTokenCount))
    problems.push_back(StrCat("length_histogram has ", tokens, " tokens, at most ",
                              kLargestTokenCount, " are taken"));
}

// Products of sizes; told where the sizes themselves are in range.
void CheckSizes(const Workload& workload, const ModelSpec& model,
                std::vector<std::string>* problems) {
  if (workload.context < 1 || workload.rows_per_step < 1 ||
      workload.context > ContextLimitOf(model) || workload.rows_per_step > kLargestRowsPerStep)
    return;
  const std::string product =
      StrCat("context(", workload.context, ") x rows_per_step(", workload.rows_per_step, ")");
  const int64_t tokens = workload.context * workload.rows_per_step;
  if (tokens > kLargestStepTokenCount) {
    problems->push_back(
        StrCat(product, " = ", tokens, " tokens, must be at most ", kLargestStepTokenCount));
    return;
  }
  const double bytes = MostActivationBytes(model, tokens);
  if (bytes <= kLargestBytes) return;
  problems->push_back(StrCat(product, " tokens in layer_count(", model.layer_count,
                             ") layers of model ", model.name, " may take ", bytes,
                             " bytes, must be at most ", kLargestBytes));
}

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
  const int64_t longest = ContextLimitOf(model);
  if (workload.context > longest) {
    problems.push_back(StrCat("context(", workload.context, ") > context_limit(", longest,
                              ") of model ", model.name, " [", model.source, "]"));
  } else {
    check("context", workload.context, 1, longest);
    check("document_capacity", workload.document_capacity, 0, workload.context);
    check("loss_token_capacity", workload.loss_token_capacity, 0, workload.context);
  }
  CheckHistogram(workload.length_histogram, problems);
  check("rows_per_step", workload.rows_per_step, 1, kLargestRowsPerStep);
  CheckSizes(workload, model, &problems);
  check("dataset_token_count", workload.dataset_token_count, 0, kLargestTokenCount);
  if (!(workload.epoch_count > 0 && workload.epoch_count <= kLargestEpochCount)) {
    problems.push_back(StrCat("epoch_count is ", workload.epoch_count,
                              ", must be above 0 and at most ", kLargestEpochCount));
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("workload: ", StrJoin(problems, "; ")));
}

}  // namespace tunesmith::planner
