#include <cmath>
#include <string>

#include "nlohmann/json.hpp"
#include "planner/model/config_families.h"
#include "planner/model/config_names.h"
#include "planner/model/family.h"
#include "planner/model/model_fields.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {
namespace {

using nlohmann::ordered_json;

ordered_json LongRopeJson(const RopeScaling& scaling) {
  ordered_json json = {{"rope_type", "longrope"},
                       {"factor", scaling.factor},
                       {"short_factor", scaling.short_factors},
                       {"long_factor", scaling.long_factors},
                       {"original_max_position_embeddings", scaling.original_context_limit}};
  if (scaling.attention_factor > 0) json["attention_factor"] = scaling.attention_factor;
  return json;
}

// The spelling before transformers 5, which version 5 reads too.
ordered_json RopeScalingJson(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScalingKind::kNone:
      return nullptr;
    case RopeScalingKind::kLinear:
      return {{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RopeScalingKind::kDynamic:
      return {{"rope_type", "dynamic"}, {"factor", scaling.factor}};
    case RopeScalingKind::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_frequency_factor},
              {"high_freq_factor", scaling.high_frequency_factor},
              {"original_max_position_embeddings", scaling.original_context_limit}};
    case RopeScalingKind::kLongRope:
      return LongRopeJson(scaling);
    case RopeScalingKind::kYarn:
      break;
  }
  ordered_json yarn = {{"rope_type", "yarn"},
                       {"factor", scaling.factor},
                       {"beta_fast", scaling.beta_fast},
                       {"beta_slow", scaling.beta_slow},
                       {"original_max_position_embeddings", scaling.original_context_limit}};
  if (scaling.attention_factor > 0) yarn["attention_factor"] = scaling.attention_factor;
  return yarn;
}

// transformers declares some numbers as whole that need not be.
ordered_json Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// Collects the fields of one family's file.
class Writer {
 public:
  explicit Writer(const ModelSpec& spec) : spec_(spec), family_(spec.family) {}

  std::string Text() {
    config_["architectures"] = {std::string(FindFamily(family_)->architecture)};
    config_["model_type"] = spec_.family;
    AddSizes();
    Set("hidden_act", ActivationName(spec_.activation));
    Set("rms_norm_eps", spec_.norm_epsilon);
    config_["tie_word_embeddings"] = spec_.tied_head;
    if (family_ != "gpt2" && family_ != "mpt") AddRope();
    AddWindow();
    AddStructure();
    return config_.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
  }

 private:
  bool Is(std::string_view family) const { return family_ == family; }
  template <typename Value>
  void Set(const char* llama_name, const Value& value) {
    config_[ConfigName(family_, llama_name)] = value;
  }

  // Whether the family's file has the field under its own or Llama's name.
  bool Has(std::string_view field) const {
    const bool plain = Is("gpt2") || Is("mpt") || Is("gpt_neox");
    if (field == "num_key_value_heads") return !plain;
    if (field == "head_dim") return !plain && !Is("falcon") && !Is("phi");
    return true;
  }

  void AddSizes() {
    for (const SizeField& field : kSizeFields) {
      if (Has(field.config_name)) Set(field.config_name.data(), spec_.*field.member);
    }
    if (Is("mpt")) config_["expansion_ratio"] = spec_.intermediate_size / spec_.hidden_size;
  }

  void AddRope() {
    config_["rope_theta"] = spec_.rope_theta;
    config_["rope_scaling"] = RopeScalingJson(spec_.rope_scaling);
    if (spec_.rope_scaling.kind == RopeScalingKind::kLongRope)
      config_["original_max_position_embeddings"] = spec_.rope_scaling.original_context_limit;
    const double share = RotatedShare();
    if (spec_.rotary_size > 0 || Is("phi") || Is("gpt_neox"))
      config_["partial_rotary_factor"] = share;
    if (Is("gpt_neox")) config_["rotary_pct"] = share;
    if (Is("gpt_neox")) config_["rotary_emb_base"] = spec_.rope_theta;
    if (spec_.local_rope_theta > 0) config_["rope_local_base_freq"] = spec_.local_rope_theta;
  }

  // Which, times the head's size and cut, is the rotated size.
  double RotatedShare() const {
    const auto size = static_cast<double>(spec_.head_size),
               rotated = static_cast<double>(RotarySize(spec_));
    const double share = rotated / size;
    return share * size >= rotated ? share : std::nextafter(share, 1.0);
  }

  void AddWindow() {
    const bool slides = spec_.sliding_window > 0;
    // Where these say nothing, transformers assumes a window.
    if (Is("mistral") || Is("phi3") || Is("gemma2") || Is("mixtral"))
      config_["sliding_window"] = nullptr;
    const bool asked = Is("qwen2") || Is("qwen3") || Is("smollm3") || Is("qwen3_moe");
    if (asked) config_["use_sliding_window"] = slides;
    if (slides) config_["sliding_window"] = spec_.sliding_window;
    const bool patterned = asked || Is("gemma2") || Is("gemma3_text");
    if (!patterned || (!slides && !Is("gemma3_text"))) return;
    if (!slides) config_["sliding_window"] = spec_.context_limit;
    auto& types = config_["layer_types"] = ordered_json::array();
    for (int64_t layer = 0; layer < spec_.layer_count; ++layer)
      types.push_back(spec_.full_layers.Has(layer) ? "full_attention" : "sliding_attention");
  }

  void AddStructure() {
    if (Is("llama") || Is("smollm3") || Is("qwen3") || Is("qwen3_moe") || Is("gpt_neox") ||
        family_.starts_with("gemma"))
      config_["attention_bias"] = spec_.qkv_bias;
    if (Is("llama") || Is("smollm3")) config_["mlp_bias"] = spec_.mlp_bias;
    if (Is("smollm3")) AddUnrotatedLayers();
    if (Is("gpt_neox")) config_["use_parallel_residual"] = spec_.parallel_blocks;
    if (Is("gemma2") || Is("gemma3_text")) AddGemma();
    if (Is("falcon")) AddFalcon();
    if (Is("mpt")) AddMpt();
    if (spec_.expert_count == 0) return;
    config_[Is("mixtral") ? "num_local_experts" : "num_experts"] = spec_.expert_count;
    config_["num_experts_per_tok"] = spec_.active_expert_count;
  }

  void AddUnrotatedLayers() {
    auto& list = config_["no_rope_layers"] = ordered_json::array();
    for (int64_t layer = 0; layer < spec_.layer_count; ++layer)
      list.push_back(spec_.unrotated_layers.Has(layer) ? 0 : 1);
  }

  void AddGemma() {
    config_["query_pre_attn_scalar"] = Number(QuerySize());
    const auto cap = [](double value) { return value > 0 ? ordered_json(value) : nullptr; };
    config_["attn_logit_softcapping"] = cap(spec_.attention_soft_cap);
    config_["final_logit_softcapping"] = cap(spec_.logit_soft_cap);
  }

  // What the scores are divided by the root of; whole numbers as they were before the root was taken.
  double QuerySize() const {
    if (spec_.attention_scale == 0) return static_cast<double>(spec_.head_size);
    const double size = 1 / (spec_.attention_scale * spec_.attention_scale);
    const double whole = std::round(size);
    return std::abs(size - whole) < 1e-9 * size ? whole : size;
  }

  void AddFalcon() {
    const bool newer = spec_.kv_head_count > 1 && spec_.kv_head_count < spec_.head_count;
    const bool two_norms = spec_.parallel_blocks && !spec_.shared_norm;
    config_["new_decoder_architecture"] = newer || two_norms;
    config_["multi_query"] = spec_.kv_head_count == 1;
    config_["parallel_attn"] = spec_.parallel_blocks;
    config_["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
    config_["bias"] = spec_.qkv_bias;
    config_["alibi"] = spec_.positions == Positions::kAlibi;
  }

  void AddMpt() {
    config_["no_bias"] = !spec_.qkv_bias;
    const bool alibi = spec_.positions == Positions::kAlibi;
    config_["learned_pos_emb"] = !alibi;
    ordered_json attention = {{"alibi", alibi}};
    if (alibi) attention["alibi_bias_max"] = Number(spec_.alibi_bias_max);
    if (spec_.attention_scale > 0) attention["softmax_scale"] = spec_.attention_scale;
    config_["attn_config"] = attention;
  }

  const ModelSpec& spec_;
  const std::string_view family_;
  ordered_json config_;
};

}  // namespace

std::string ConfigJsonFromModelSpec(const ModelSpec& spec) { return Writer(spec).Text(); }

}  // namespace tunesmith::planner
