#include "planner/model/catalog_rows.h"

namespace tunesmith::planner {
namespace {

constexpr UnplannedModel kUnplanned[] = {
    {"bigscience/bloomz-7b1", "bloom: a norm of the embedded tokens"},
    {"GPT-1.3B (bigscience tr3m)", "megatron: a norm of the embedded tokens"},
    {"bigscience/T0_3B", "t5: encoder and decoder"},
    {"bigscience/mt0-xxl", "t5: encoder and decoder"},
};

}  // namespace

std::span<const UnplannedModel> UnplannedModels() { return kUnplanned; }

}  // namespace tunesmith::planner
