#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Models known by name, each with its source.
const std::vector<ModelSpec>& ModelCatalog();

// A catalog name (case ignored), else a size such as "7B". NOT_FOUND with the nearest names. Directories are resolved by the caller, which
// reads their config.json.
absl::StatusOr<ModelSpec> FindModel(std::string_view name);

}  // namespace tunesmith::planner
