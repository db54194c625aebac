#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// The weights of a GGUF file; see OpenModel.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenGgufModel(const std::string& path);

}  // namespace tunesmith::trainer
