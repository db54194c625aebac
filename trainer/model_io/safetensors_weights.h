#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// The weights of a Hugging Face directory; see OpenModel.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenSafetensorsModel(const std::string& directory);

}  // namespace tunesmith::trainer
