#include "trainer/job/announcement.h"

#include "absl/strings/str_format.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

std::string PlanLine(const planner::Mix& mix, const planner::Workload& workload, const Loader& data,
                     int64_t step_count) {
  const int64_t context = workload.context;
  const double filled =
      static_cast<double>(data.token_count()) / static_cast<double>(data.rows_in_epoch() * context);
  return StrCat("plan: ", planner::FormatMix(mix), "; data: ", data.document_count(),
                " documents, ", data.token_count(), " tokens, ", data.predicted_token_count(),
                " of them learned, in ", data.rows_in_epoch(), " rows of ", context, " (",
                absl::StrFormat("%.1f", 100 * filled), " % filled); ", step_count, " steps of ",
                workload.rows_per_step, " rows");
}

std::string BeyondCapacityText(const Loader& data, int64_t loss_token_capacity) {
  return StrCat(data.masked_document_count(), " documents have more tokens to predict than the ",
                loss_token_capacity, " of a row that the plan allows: ", data.masked_token_count(),
                " of ", data.predicted_token_count() + data.masked_token_count(),
                " are not learned; a plan with a larger --loss-tokens-per-row would learn them");
}

}  // namespace

std::vector<LogLine> AnnouncementOf(const planner::Mix& mix, const planner::Workload& workload,
                                    const JobData& data, int64_t step_count) {
  const Loader& rows = data.training;
  std::vector<LogLine> lines = {{v1::LOG_SEVERITY_INFO, PlanLine(mix, workload, rows, step_count)}};
  const auto warn = [&](const std::string& text) {
    lines.push_back({v1::LOG_SEVERITY_WARNING, text});
  };
  if (data.skipped_row_count > 0)
    warn(StrCat(data.skipped_row_count, " rows could not be used and were skipped"));
  if (data.held_out_document_count > 0)
    lines.push_back({v1::LOG_SEVERITY_INFO, StrCat("held out: ", HeldOutText(data))});
  if (rows.unlearned_document_count() > 0)
    warn(StrCat(rows.unlearned_document_count(),
                " documents have no token to learn within the context and are left out"));
  if (rows.masked_document_count() > 0)
    warn(BeyondCapacityText(rows, workload.loss_token_capacity));
  if (rows.dropped_document_count() > 0)
    warn(StrCat(rows.dropped_document_count(),
                " documents are longer than the context and were dropped; a longer context would "
                "keep them"));
  if (rows.cut_document_count() > 0)
    warn(StrCat(rows.cut_document_count(), " documents are longer than the context and were cut (",
                rows.cut_token_count(), " tokens left out); a longer context would keep them"));
  return lines;
}

}  // namespace tunesmith::trainer
