#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "common/gguf.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// From a GGUF file's metadata and tensor shapes; the head is tied where the file has no
// output.weight. INVALID_ARGUMENT names every missing or contradictory key at once; UNIMPLEMENTED
// names an architecture or feature that is not known (the message lists those that are).
absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file, std::string_view name);

}  // namespace tunesmith::planner
