#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Models known by name, each with its source.
const std::vector<ModelSpec>& ModelCatalog();

// "HuggingFaceTB/SmolLM2-135M-Instruct" is "SmolLM2-135M-Instruct". A view into `name`.
std::string_view WithoutOrganization(std::string_view name);

// A catalog name (case, organization and the words of its tuning ignored), else a size such as "7B". NOT_FOUND with the nearest names. Directories are resolved by the caller, which
// reads their config.json.
absl::StatusOr<ModelSpec> FindModel(std::string_view name);

// What a reader must know of a model that was found by its size, or by the name of another of its shape, from its `source`; else empty.
std::string NoteOnShape(std::string_view name, std::string_view source);

}  // namespace tunesmith::planner
