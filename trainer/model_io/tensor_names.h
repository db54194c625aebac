#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/model/model_spec.h"

namespace tunesmith::trainer {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

// Every tensor of a model under its Hugging Face name, embedding first, head last (none where
// tied).
std::vector<NamedShape> TensorsOfModel(const planner::ModelSpec& spec);

// The name under which a GGUF file holds the tensor of a Hugging Face name; nothing where there is
// no such tensor in these models.
std::optional<std::string> GgufTensorName(std::string_view name);

}  // namespace tunesmith::trainer
