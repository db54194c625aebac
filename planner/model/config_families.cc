#include "planner/model/config_families.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "common/str_cat.h"
#include "planner/model/config_names.h"
#include "planner/model/config_window.h"
#include "planner/model/family.h"

namespace tunesmith::planner {
namespace {

// The first name of each activation is the one that is written.
constexpr std::pair<const char*, Activation> kActivations[] = {
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"quick_gelu", Activation::kQuickGelu},
    {"relu", Activation::kRelu},
};

const char* DefaultActivation(std::string_view family) {
  if (family.starts_with("gemma")) return "gelu_pytorch_tanh";
  if (family == "phi" || family == "gpt2") return "gelu_new";
  if (family == "falcon" || family == "gpt_neox" || family == "mpt") return "gelu";
  return "silu";
}

void ReadActivation(ConfigReader& config, ModelSpec* spec) {
  const char* field = ConfigName(spec->family, "hidden_act");
  // Gemma's first files name another activation in hidden_act than the model was trained with.
  if (spec->family == "gemma" && config.Has("hidden_activation")) field = "hidden_activation";
  if (!config.Has(field) && config.Has("hidden_act")) field = "hidden_act";
  const std::string name = config.Text(field).value_or(DefaultActivation(spec->family));
  for (const auto& [known, activation] : kActivations) {
    if (name != known) continue;
    spec->activation = activation;
    return;
  }
  config.Unsupported(StrCat(field, " '", name,
                            "' is not implemented (known: silu, gelu, gelu_new, "
                            "gelu_pytorch_tanh, quick_gelu, relu)"));
}

void RefuseIfTrue(ConfigReader& config, const char* field) {
  if (!config.Boolean(field).value_or(false)) return;
  config.Unsupported(StrCat(field, " true is not implemented; a model without it can be run"));
}

void ReadAttentionBias(ConfigReader& config, bool by_default, ModelSpec* spec) {
  const bool bias = config.Boolean("attention_bias").value_or(by_default);
  spec->qkv_bias = spec->output_bias = bias;
}

void ReadGemma(ConfigReader& config, ModelSpec* spec) {
  ReadAttentionBias(config, false, spec);
  RefuseIfTrue(config, "use_bidirectional_attention");
  if (spec->family == "gemma") return;
  const double scalar = config.Real("query_pre_attn_scalar").value_or(256);
  if (scalar > 0 && scalar != static_cast<double>(spec->head_size))
    spec->attention_scale = 1 / std::sqrt(scalar);
  const bool capped = spec->family == "gemma2";
  // Absent is gemma2's default, null is none.
  const auto cap = [&](const char* field, double by_default) {
    return config.Contains(field) || !capped ? config.Real(field).value_or(0) : by_default;
  };
  spec->attention_soft_cap = cap("attn_logit_softcapping", 50);
  spec->logit_soft_cap = cap("final_logit_softcapping", 30);
}

void ReadFalcon(ConfigReader& config, ModelSpec* spec) {
  const bool newer = config.Boolean("new_decoder_architecture").value_or(false);
  const bool parallel = newer || config.Boolean("parallel_attn").value_or(true);
  const int64_t norms = config.Integer("num_ln_in_parallel_attn").value_or(newer ? 2 : 1);
  spec->qkv_bias = spec->output_bias = spec->mlp_bias = config.Boolean("bias").value_or(false);
  spec->parallel_blocks = parallel;
  spec->shared_norm = parallel && norms == 1;
  if (config.Boolean("alibi").value_or(false)) spec->positions = Positions::kAlibi;
  if (norms != 1 && !(newer && norms == 2))
    config.Invalid(StrCat("num_ln_in_parallel_attn(", norms,
                          ") must be 1, or 2 with new_decoder_architecture"));
  if (newer && !config.Boolean("parallel_attn").value_or(true))
    config.Unsupported("parallel_attn false with new_decoder_architecture is not implemented");
  SetFamilyStructure(spec);
}

void ReadMpt(ConfigReader& config, ModelSpec* spec) {
  const bool bias = !config.Boolean("no_bias").value_or(true);
  spec->qkv_bias = spec->output_bias = spec->mlp_bias = spec->norm_bias = bias;
  spec->positions = Positions::kAlibi;
  spec->alibi_bias_max = 8;
  if (const nlohmann::json* object = config.Object("attn_config")) {
    ConfigReader attention(*object, "attn_config.", config.problems());
    if (!attention.Boolean("alibi").value_or(true)) spec->positions = Positions::kLearned;
    spec->alibi_bias_max = attention.Real("alibi_bias_max").value_or(8);
    spec->attention_scale = attention.Real("softmax_scale").value_or(0);
    for (const char* field : {"qk_ln", "prefix_lm", "attn_uses_sequence_id"})
      RefuseIfTrue(attention, field);
    if (attention.Real("clip_qkv").value_or(0) != 0)
      config.Unsupported("attn_config.clip_qkv is not implemented");
    if (attention.Text("attn_type").value_or("multihead_attention") != "multihead_attention")
      config.Unsupported("attn_config.attn_type other than multihead_attention is not implemented");
  }
  if (config.Has("logit_scale")) config.Unsupported("logit_scale is not implemented");
  if (spec->positions == Positions::kLearned) spec->alibi_bias_max = 0;
  SetFamilyStructure(spec);
}

// The list says which layers rotate; without it every so manieth layer does not.
void ReadUnrotatedLayers(ConfigReader& config, ModelSpec* spec) {
  std::vector<bool> unrotated(
      static_cast<size_t>(std::clamp<int64_t>(spec->layer_count, 0, 1 << 16)), false);
  if (const nlohmann::json* list = config.Array("no_rope_layers"); list != nullptr) {
    if (list->size() != unrotated.size())
      return config.Invalid(StrCat("no_rope_layers has ", list->size(), " entries for ",
                                   spec->layer_count, " layers; give one for each"));
    for (size_t i = 0; i < list->size(); ++i) unrotated[i] = (*list)[i] == 0;
  } else {
    const int64_t interval = config.Integer("no_rope_layer_interval").value_or(4);
    for (size_t i = 0; interval > 0 && i < unrotated.size(); ++i)
      unrotated[i] = (static_cast<int64_t>(i) + 1) % interval == 0;
  }
  spec->unrotated_layers = PatternOf(unrotated);
  if (spec->unrotated_layers.period != 0) return;
  spec->unrotated_layers = {};
  config.Unsupported("no_rope_layers follows no pattern of at most 64 layers");
}

void ReadExperts(ConfigReader& config, ModelSpec* spec) {
  const char* count = spec->family == "mixtral" ? "num_local_experts" : "num_experts";
  spec->expert_count = config.RequiredInteger(count).value_or(1);
  spec->active_expert_count = config.RequiredInteger("num_experts_per_tok").value_or(1);
}

void ReadGptNeox(ConfigReader& config, ModelSpec* spec) {
  ReadAttentionBias(config, true, spec);
  spec->parallel_blocks = config.Boolean("use_parallel_residual").value_or(true);
}

void ReadGpt2(ConfigReader& config) {
  for (const char* field : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"})
    RefuseIfTrue(config, field);
  if (!config.Boolean("scale_attn_weights").value_or(true))
    config.Unsupported("scale_attn_weights false is not implemented");
}

// What bitsandbytes stored in 4 bits is read; the files say whether it is NF4.
void CheckQuantization(ConfigReader& config) {
  const nlohmann::json* object = config.Object("quantization_config");
  if (object == nullptr) return;
  ConfigReader quantization(*object, "quantization_config.", config.problems());
  const std::string method = quantization.Text("quant_method").value_or("unknown");
  if (method != "bitsandbytes") {
    config.Unsupported(StrCat("quantization_config: weights quantized by ", method,
                              " are not implemented; bitsandbytes' 4-bit ones are"));
  } else if (!quantization.Boolean("load_in_4bit").value_or(false)) {
    config.Unsupported(
        "quantization_config: bitsandbytes' 8-bit weights are not implemented; its 4-bit ones are");
  }
}

}  // namespace

const char* ActivationName(Activation activation) {
  for (const auto& [name, known] : kActivations) {
    if (known == activation) return name;
  }
  return "unknown";
}

void ReadStructure(ConfigReader& config, ModelSpec* spec) {
  const std::string_view family = spec->family;
  ReadActivation(config, spec);
  CheckQuantization(config);
  if (family == "llama" || family == "smollm3") {
    ReadAttentionBias(config, false, spec);
    spec->mlp_bias = config.Boolean("mlp_bias").value_or(false);
  }
  if (family == "smollm3") ReadUnrotatedLayers(config, spec);
  if (family == "qwen3" || family == "qwen3_moe") ReadAttentionBias(config, false, spec);
  if (family == "phi") RefuseIfTrue(config, "qk_layernorm");
  if (family == "falcon") ReadFalcon(config, spec);
  if (family == "gpt2") ReadGpt2(config);
  if (family == "gpt_neox") ReadGptNeox(config, spec);
  if (family == "mpt") ReadMpt(config, spec);
  if (family == "mixtral" || family == "qwen3_moe") ReadExperts(config, spec);
  if (family.starts_with("gemma")) ReadGemma(config, spec);
}

}  // namespace tunesmith::planner
