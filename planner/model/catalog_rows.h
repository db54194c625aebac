#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "planner/model/model_spec.h"

namespace tunesmith::planner {

struct CatalogRow {
  ModelSpec spec;
  // As the source gives it; a test compares ParameterCount with it.
  int64_t published_parameter_count;
};
const std::vector<CatalogRow>& CatalogRows();
// Those of the other families.
void AddFamilyRows(std::vector<CatalogRow>* rows);

// Models whose name is known but whose family the planner does not plan yet.
struct UnplannedModel {
  std::string_view name;
  std::string_view why;  // "falcon: parallel blocks with LayerNorm"
};
std::span<const UnplannedModel> UnplannedModels();

}  // namespace tunesmith::planner
