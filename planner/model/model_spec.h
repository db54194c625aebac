#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// What the planner and the trainer need to know of a decoder-only transformer. Plain data; every size is a count of elements.
namespace tunesmith::planner {

enum class RopeScalingKind { kNone, kLinear, kLlama3 };

// Scaling of the rotary frequencies. kLlama3 is defined in Hugging Face's modeling_rope_utils.py; see trainer/ops/rope.h.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  int64_t original_context_limit = 8192;

  bool operator==(const RopeScaling&) const = default;
};

struct ModelSpec {
  std::string name;    // what the user called it: a catalog name, a directory, "7B"
  std::string family;  // Hugging Face's model_type: "llama", "mistral", "qwen2"
  int64_t layer_count = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t head_count = 0;
  int64_t kv_head_count = 0;
  int64_t head_size = 0;
  int64_t vocab_size = 0;
  int64_t context_limit = 0;  // max_position_embeddings
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling = {};
  bool tied_head = false;  // the output head is the token embedding
  bool qkv_bias = false;   // q, k and v projections have a bias (qwen2)
  // Keys that a query sees at most, itself among them, in every layer; 0: all of its document. Below context_limit.
  int64_t sliding_window = 0;
  // Where the numbers come from, for the catalog; the assumption, for a synthesized model.
  std::string source;

  bool operator==(const ModelSpec&) const = default;
};

// From the text of a Hugging Face config.json. INVALID_ARGUMENT names every missing or contradictory field at once;
// UNIMPLEMENTED names a model_type that is not known (the message lists those that are).
absl::StatusOr<ModelSpec> ModelSpecFromConfigJson(std::string_view json, std::string_view name);

// From a size such as "7B", "1.5B" or "350M": a Llama-style model whose parameter count is within 2 % of the size. `source` says what
// was assumed. INVALID_ARGUMENT if the text is not a size or lies outside 1M to 1000B.
absl::StatusOr<ModelSpec> ModelSpecFromParameterCount(std::string_view size);

// INVALID_ARGUMENT naming each field that is out of range or contradicts another ("head_count(9) % kv_head_count(2) != 0"). Everything
// downstream of the planner's entry points may assume a spec that passed.
absl::Status ValidateModelSpec(const ModelSpec& spec);

// Parameters, the tied head counted once.
int64_t ParameterCount(const ModelSpec& spec);

// A Hugging Face config.json that loads as this model (LlamaForCausalLM and its kin). Inverse of ModelSpecFromConfigJson up to `name`, `source`.
std::string ConfigJsonFromModelSpec(const ModelSpec& spec);

}  // namespace tunesmith::planner
