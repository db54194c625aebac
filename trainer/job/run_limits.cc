#include "trainer/job/run_limits.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/reworded.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr size_t kNamedRows = 12;

}  // namespace

std::string RowsOf(absl::Span<const Batch> micro_batches, const std::string& dataset_path,
                   const RankShare& share) {
  std::vector<int64_t> rows;
  for (const Batch& batch : micro_batches)
    rows.insert(rows.end(), batch.documents.begin(), batch.documents.end());
  std::string text;
  for (size_t i = 0; i < std::min(rows.size(), kNamedRows); ++i)
    text += StrCat(i == 0 ? "" : ", ", rows[i]);
  if (rows.size() > kNamedRows) text += StrCat(" and ", rows.size() - kNamedRows, " more");
  return StrCat(rows.size() == 1 ? "line " : "lines ", text, " of ",
                std::filesystem::path(dataset_path).filename().string(),
                share.size > 1 ? StrCat(", the share of rank ", share.rank) : "");
}

absl::Status StepFailure(const absl::Status& status, int64_t step, const std::string& rows) {
  std::string text = StrCat("step ", step, " (", rows, "): ", std::string(status.message()));
  if (status.code() == absl::StatusCode::kDataLoss) {
    text += step == 1 ? "; at the first step the model's weights or these rows are to blame"
                      : "; lower the learning rate, lengthen the warm-up, or look at these rows. "
                        "The last checkpoint is from before";
  }
  return Reworded(status, text);
}

absl::Status EvaluationFailure(double loss, int64_t step) {
  return absl::DataLossError(StrCat("the held-out loss after step ", step, " is ", loss,
                                    step == 0
                                        ? "; the model's weights or the held-out rows are to blame"
                                        : "; lower the learning rate or lengthen the warm-up. The "
                                          "last checkpoint is from before"));
}

std::string SpikeText(double loss, double ratio) {
  return absl::StrFormat("the loss is %.4f, %.1f times the median of the steps before", loss,
                         ratio);
}

}  // namespace tunesmith::trainer
