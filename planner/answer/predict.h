#pragma once

#include "absl/status/statusor.h"
#include "planner/answer/prediction.h"
#include "planner/answer/search.h"
#include "planner/price/price.h"

namespace tunesmith::planner {

struct DeviceMemoryBudget {
  int64_t budget_bytes = 0;         // what the device, or the question, allows
  int64_t outside_arena_bytes = 0;  // what the process takes beside the arena
  // Of the host of a device that has a memory of its own; 0: not limited.
  int64_t pinned_budget_bytes = 0;
  int64_t host_budget_bytes = 0;
  int64_t host_outside_bytes =
      0;  // what the process takes of the host beside pinned memory, at most
};
DeviceMemoryBudget BudgetOf(const Question& question);

// Builds the whole program of one mix, lays it out and prices it.
absl::StatusOr<Prediction> Predict(const Question& question, const Mix& mix,
                                   const PriceTable& prices, const DeviceMemoryBudget& budget);

}  // namespace tunesmith::planner
