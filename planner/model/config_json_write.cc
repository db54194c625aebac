#include <string>

#include "nlohmann/json.hpp"
#include "planner/model/model_fields.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {
namespace {

using nlohmann::ordered_json;

std::string ArchitectureName(std::string_view family) {
  if (family == "mistral") return "MistralForCausalLM";
  if (family == "qwen2") return "Qwen2ForCausalLM";
  return "LlamaForCausalLM";
}

// The spelling before transformers 5, which version 5 reads too.
ordered_json RopeScalingJson(const RopeScaling& scaling) {
  if (scaling.kind == RopeScalingKind::kNone) return nullptr;
  if (scaling.kind == RopeScalingKind::kLinear) {
    return {{"rope_type", "linear"}, {"factor", scaling.factor}};
  }
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_frequency_factor},
          {"high_freq_factor", scaling.high_frequency_factor},
          {"original_max_position_embeddings", scaling.original_context_limit}};
}

}  // namespace

std::string ConfigJsonFromModelSpec(const ModelSpec& spec) {
  ordered_json config;
  config["architectures"] = {ArchitectureName(spec.family)};
  config["model_type"] = spec.family;
  for (const SizeField& field : kSizeFields) {
    config[std::string(field.config_name)] = spec.*field.member;
  }
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = spec.norm_epsilon;
  config["rope_theta"] = spec.rope_theta;
  config["rope_scaling"] = RopeScalingJson(spec.rope_scaling);
  config["tie_word_embeddings"] = spec.tied_head;
  if (spec.family == "llama") config["attention_bias"] = config["mlp_bias"] = false;
  const bool slides = spec.sliding_window > 0;
  if (spec.family == "mistral" && !slides)
    config["sliding_window"] = nullptr;  // else transformers assumes 4096
  if (spec.family == "qwen2") config["use_sliding_window"] = slides;
  if (spec.family == "qwen2" && slides) config["max_window_layers"] = 0;
  if (slides) config["sliding_window"] = spec.sliding_window;
  return config.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace tunesmith::planner
