#pragma once

#include <array>
#include <cstdint>

#include "planner/program/program.h"

namespace tunesmith::planner {

// The linear layers of a decoder block, in the order of LoraTarget's bits.
enum Projection {
  kProjectionQ,
  kProjectionK,
  kProjectionV,
  kProjectionO,
  kProjectionGate,
  kProjectionUp,
  kProjectionDown
};
inline constexpr int kProjectionCount = 7;

// "self_attn.q_proj": the module's path inside a layer, as in Hugging Face checkpoints.
const char* ProjectionPath(int projection);

struct ProjectionShape {
  int64_t output_size = 0;
  int64_t input_size = 0;
};
ProjectionShape ShapeOfProjection(const ModelSpec& model, int projection);

// Whether every projection can be stored in 4 bits: two elements of a row share a byte.
bool CanQuantize(const ModelSpec& model);

// Indices into Program::parameters; -1 where a model has none.
struct ModelParameters {
  int32_t embedding = -1;
  int32_t head = -1;  // == embedding when tied
  int32_t final_norm = -1;
  int32_t attention_norm = -1;
  int32_t mlp_norm = -1;
  std::array<int32_t, kProjectionCount> weight;
  std::array<int32_t, kProjectionCount> bias;
  std::array<int32_t, kProjectionCount> lora_a;
  std::array<int32_t, kProjectionCount> lora_b;
};

// Adds every weight with its gradient, moments and master copy. Names are Hugging Face's, adapters' end in ".lora_A.weight", ".lora_B.weight".
ModelParameters AddParameters(Program& program);

// dtype of weights and activations, of sums of gradients, and of statistics for these inputs.
DType ComputeDType(const ProgramInputs& inputs);
DType GradientDType(const ProgramInputs& inputs);
DType StatisticDType(const ProgramInputs& inputs);

}  // namespace tunesmith::planner
