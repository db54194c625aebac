#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "planner/model/model_tensors.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Of one norm, by index into Program::parameters; -1: none.
struct NormParameters {
  int32_t weight = -1;
  int32_t bias = -1;
};

// Of one projection: rows [first_row, first_row + row_count) of a weight, a bias and an adapter's B, which it may share with others; it then shares
// the adapter's A too.
struct ProjectionParameters {
  int32_t weight = -1;
  int32_t bias = -1;
  int32_t lora_a = -1;
  int32_t lora_b = -1;
  int32_t stack = -1;     // of Program::stacks, that its A is in; -1: none
  int64_t stack_row = 0;  // where A's rows begin there
  int64_t first_row = 0;
  int64_t row_count = 0;
};

// Projections of one input without adapters, as one: of a weight that they share, or of a stack of theirs; -1: none. Neither: they are apart.
struct FusedParameters {
  int32_t weight = -1;
  int32_t weight_stack = -1;
  int32_t bias = -1;
  int32_t bias_stack = -1;

  bool exist() const { return weight >= 0 || weight_stack >= 0; }
  bool has_bias() const { return bias >= 0 || bias_stack >= 0; }
};

// Whether every projection can be stored in 4 bits: two elements of a row share a byte.
bool CanQuantize(const ModelSpec& model);

// Indices into Program::parameters; -1 where a model has none.
struct ModelParameters {
  int32_t embedding = -1;
  int32_t positions = -1;
  int32_t head = -1;  // == embedding when tied
  int32_t head_bias = -1;
  NormParameters final_norm = {};
  NormParameters attention_norm = {};
  NormParameters mlp_norm = {};  // parallel blocks with one norm: none
  NormParameters attention_post_norm = {};
  NormParameters mlp_post_norm = {};
  int32_t q_norm = -1;
  int32_t k_norm = -1;
  int32_t router = -1;
  std::array<ProjectionParameters, kProjectionCount> projections = {};
  FusedParameters qkv = {};
  FusedParameters gate_up = {};
};

// Whether an adapter on these targets has a part for the projection: all that a module fuses are targeted as one, experts are not.
bool IsAdapted(const ModelSpec& model, const LoraSpec& lora, int projection);

// INVALID_ARGUMENT where targets name a part of a fused module, or nothing that the model has.
absl::Status CheckTargets(const ModelSpec& model, const LoraSpec& lora);

// Adds every weight with its gradient, moments and master copy. Names are Hugging Face's, adapters' end in ".lora_A.weight", ".lora_B.weight".
ModelParameters AddParameters(Program& program);

// dtype of weights and activations, of sums of gradients, and of statistics for these inputs.
DType ComputeDType(const ProgramInputs& inputs);
DType GradientDType(const ProgramInputs& inputs);
DType StatisticDType(const ProgramInputs& inputs);

}  // namespace tunesmith::planner
