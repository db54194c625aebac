#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/model_spec.h"

// What the closed forms of other runtimes need of a model: sizes, and a few kinds. It covers models whose step the bundled trainer does not run.
namespace tunesmith::runtimes {

struct ModelShape {
  std::string name;
  int64_t layer_count = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t head_count = 0;
  int64_t kv_head_count = 0;
  int64_t head_size = 0;
  int64_t vocab_size = 0;
  int64_t context_limit = 0;
  bool tied_head = false;
  bool gated_mlp = true;            // gate, up and down; else up and down
  bool fused_qkv = false;           // q, k and v are one linear layer
  bool rms_norm = true;             // else LayerNorm
  bool rotary = true;               // else learned positions or ALiBi
  bool upcasts_logits = true;       // transformers turns its logits into fp32 before the loss
  bool soft_capped_logits = false;  // logits pass a tanh before the loss (Gemma 2)
  int64_t parameter_count = 0;      // the tied head once
  std::string source;
};

// Sizes of one linear layer: `rows` of output, `columns` of input.
struct LinearSize {
  int64_t columns = 0;
  int64_t rows = 0;
};

// In the order of planner::LoraTarget: q, k, v, o, gate, up, down. `gate` is 0 x 0 where the MLP is not gated; so are k and v where
// q holds all three.
std::vector<LinearSize> BlockLinears(const ModelShape& shape);

// Parameters of the linear layers of all blocks: what quantization stores in 4 or 8 bits.
int64_t LinearParameterCount(const ModelShape& shape);

// Token embedding and, where untied, the head.
int64_t EmbeddingParameterCount(const ModelShape& shape);

// UNIMPLEMENTED for a mixture of experts. REQUIRES: ValidateModelSpec(spec) is OK.
absl::StatusOr<ModelShape> ShapeFromModelSpec(const planner::ModelSpec& spec);

// Shapes of dense decoders that are in the runtimes' own table; names are unique, ignoring case.
const std::vector<ModelShape>& ShapeTable();

// A name of ShapeTable(), of the planner's catalog, or a size such as "7B". NOT_FOUND with the nearest names.
absl::StatusOr<ModelShape> FindShape(std::string_view name);

}  // namespace tunesmith::runtimes
