#include "planner/answer/longest_context.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/size_limits.h"

namespace tunesmith::planner {
namespace {

class ContextFinder {
 public:
  explicit ContextFinder(const Question& question) : question_(question) {
    question_.ranked_count = 1;
    question_.pareto_count = 0;
  }

  absl::StatusOr<LongestContext> Find() {
    SetLimit();
    TUNESMITH_ASSIGN_OR_RETURN(const bool any, Fits(std::min(kContextUnit, found_.limit)));
    if (any) {
      // First the last multiple of kTileUnit that fits, then the last unit before the next one.
      TUNESMITH_RETURN_IF_ERROR(Bisect(0, kTileUnit, found_.limit + 1));
      const int64_t next_start = (found_.context / kTileUnit + 1) * kTileUnit;
      TUNESMITH_RETURN_IF_ERROR(Bisect(found_.context, kContextUnit, next_start));
      if (found_.context < found_.limit) TUNESMITH_RETURN_IF_ERROR(AddNext());
    } else {
      found_.next_context = std::min(kContextUnit, found_.limit);
      found_.nearest = std::move(nearest_);
    }
    found_.binding_sentence = BindingSentence();
    return std::move(found_);
  }

 private:
  void SetLimit() {
    const int64_t rows = std::max<int64_t>(1, question_.workload.rows_per_step);
    found_.limit = std::max<int64_t>(
        1, std::min(ContextLimitOf(question_.model), kLargestStepTokenCount / rows));
  }

  absl::StatusOr<bool> Fits(int64_t context) {
    TUNESMITH_ASSIGN_OR_RETURN(SearchResult result, Recommend(QuestionAt(question_, context)));
    found_.deadline_reached |= result.deadline_reached;
    if (result.ranked.empty()) {
      nearest_ = std::move(result.nearest);
      nearest_context_ = context;
      return false;
    }
    if (context > found_.context) {
      found_.context = context;
      found_.best = std::move(result.ranked.front());
      found_.notes = std::move(result.notes);
    }
    return true;
  }

  // Raises found_.context to the largest of first + k * unit, or the limit itself, that fits. What lies at `end` or beyond does not.
  absl::Status Bisect(int64_t first, int64_t unit, int64_t end) {
    const bool to_limit = end > found_.limit;
    int64_t fits = (found_.context - first) / unit;
    int64_t beyond = CeilDivide((to_limit ? found_.limit : end) - first, unit) + (to_limit ? 1 : 0);
    while (beyond - fits > 1 && !found_.deadline_reached) {
      const int64_t middle = fits + (beyond - fits) / 2;
      TUNESMITH_ASSIGN_OR_RETURN(const bool fitting,
                                 Fits(std::min(first + middle * unit, found_.limit)));
      (fitting ? fits : beyond) = middle;
    }
    return absl::OkStatus();
  }

  // The next longer context is asked about last, or before.
  absl::Status AddNext() {
    found_.next_context =
        std::min((found_.context / kContextUnit + 1) * kContextUnit, found_.limit);
    if (nearest_context_ != found_.next_context && !found_.deadline_reached)
      TUNESMITH_RETURN_IF_ERROR(Fits(found_.next_context).status());
    if (nearest_context_ == found_.next_context) found_.nearest = std::move(nearest_);
    return absl::OkStatus();
  }

  std::string BindingSentence() const {
    if (found_.deadline_reached)
      return StrCat("The search's deadline passed: a longer context may fit than ", found_.context,
                    ".");
    if (found_.context == found_.limit)
      return found_.limit == ContextLimitOf(question_.model)
                 ? StrCat("The model's own limit binds, not memory: ", found_.limit, " tokens.")
                 : StrCat("The tokens of a step bind, not memory: ", kLargestStepTokenCount,
                          " at most.");
    if (!found_.nearest) return "Memory binds.";
    const MemoryPrediction& m = found_.nearest->memory;
    const std::string at = StrCat("At ", found_.next_context, " tokens ");
    if (m.total_bytes <= m.budget_bytes) return at + "the host's memory does not suffice.";
    return StrCat(at, "the smallest mix needs ", FormatBytes(m.total_bytes - m.budget_bytes),
                  " more than the ", FormatBytes(m.budget_bytes),
                  " of a device; it binds at: ", m.binding_instant, ".");
  }

  Question question_;
  LongestContext found_;
  std::optional<Prediction> nearest_;  // of the last context that did not fit
  int64_t nearest_context_ = 0;
};

}  // namespace

Question QuestionAt(const Question& question, int64_t context) {
  Question changed = question;
  Workload& w = changed.workload;
  w.context = context;
  w.document_capacity = std::min(w.document_capacity, context);
  w.loss_token_capacity = std::min(w.loss_token_capacity, context);
  return changed;
}

absl::StatusOr<LongestContext> FindLongestContext(const Question& question) {
  return ContextFinder(question).Find();
}

}  // namespace tunesmith::planner
