#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "planner/model/model_spec.h"

// The size fields of a ModelSpec as a table: what each is called here and in config.json, and the range that is accepted. The upper
// bounds are far above any model that exists; they keep every product of sizes within 63 bits (planner/model/size_limits.h).
namespace tunesmith::planner {

struct SizeField {
  int64_t ModelSpec::*member;
  std::string_view spec_name;
  std::string_view config_name;
  int64_t largest;
};

// The deepest transformer that was trained has 1000 layers (DeepNet, arXiv 2203.00555). More would be all that a search for recompute counts
// does: the ways to give L layers one of five rungs grow as L^4.
inline constexpr int64_t kLargestLayerCount = 1024;

inline constexpr std::array<SizeField, 8> kSizeFields = {{
    {&ModelSpec::layer_count, "layer_count", "num_hidden_layers", kLargestLayerCount},
    {&ModelSpec::hidden_size, "hidden_size", "hidden_size", 1 << 20},
    {&ModelSpec::intermediate_size, "intermediate_size", "intermediate_size", 1 << 23},
    {&ModelSpec::head_count, "head_count", "num_attention_heads", 1 << 14},
    {&ModelSpec::kv_head_count, "kv_head_count", "num_key_value_heads", 1 << 14},
    {&ModelSpec::head_size, "head_size", "head_dim", 1 << 10},
    {&ModelSpec::vocab_size, "vocab_size", "vocab_size", 1 << 24},
    {&ModelSpec::context_limit, "context_limit", "max_position_embeddings", 1 << 30},
}};

// Whose names problems are told in.
enum class FieldNaming { kSpec, kConfigJson };
std::string_view FieldName(const SizeField& field, FieldNaming naming, std::string_view family);

struct ModelProblem {
  std::string_view field;  // the field at fault, or the first of those that contradict each other
  // "layer_count is 0, must be 1 to 10000", "head_count(9) % kv_head_count(2) != 0".
  std::string text;
};

// Everything that is wrong with `spec`; empty if nothing is.
std::vector<ModelProblem> ModelProblems(const ModelSpec& spec, FieldNaming naming);

}  // namespace tunesmith::planner
