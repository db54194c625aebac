#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/model/model_spec.h"
#include "planner/model/model_tensors.h"

namespace tunesmith::trainer {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;  // as checkpoints hold it
  planner::TensorLayout layout = planner::TensorLayout::kPlain;
  planner::TensorRole role = planner::TensorRole::kEmbedding;
  bool bias = false;
};

// Every tensor of a model under its Hugging Face name.
std::vector<NamedShape> TensorsOfModel(const planner::ModelSpec& spec);

// The name, as TensorsOfModel gives it, of a tensor that a checkpoint of the family calls `name`: some have older spellings. Nothing for tensors that
// checkpoints carry and no model reads, such as tables of rotary frequencies and causal masks.
std::optional<std::string> CanonicalTensorName(const planner::ModelSpec& spec,
                                               std::string_view name);

// The name under which a GGUF file holds the tensor of a Hugging Face name; nothing where there is
// no such tensor in these models.
std::optional<std::string> GgufTensorName(std::string_view name);

}  // namespace tunesmith::trainer
