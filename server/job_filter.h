#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// The filters of ListJobs: comparisons joined by AND, a small part of AIP-160's language.
namespace tunesmith::server {

// One comparison, as SQL sees it. Values are always bound, never part of the statement.
struct JobCondition {
  std::string column;         // of the table jobs
  std::string operator_text;  // "=", "!=", "<", "<=", ">", ">="
  bool is_text = false;
  std::string text;
  int64_t integer = 0;
};

// The comparisons of `filter`; none for an empty one. INVALID_ARGUMENT says where it stops making
// sense and what is accepted.
absl::StatusOr<std::vector<JobCondition>> ParseJobFilter(std::string_view filter);

}  // namespace tunesmith::server
