#include "planner/model/config_rope.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

void ReadLlama3(ConfigReader& rope, RopeScaling* scaling) {
  scaling->low_frequency_factor = rope.RequiredReal("low_freq_factor").value_or(1.0);
  scaling->high_frequency_factor = rope.RequiredReal("high_freq_factor").value_or(4.0);
  scaling->original_context_limit =
      rope.RequiredInteger("original_max_position_embeddings").value_or(8192);
}

void ReadYarn(ConfigReader& rope, const ModelSpec& spec, RopeScaling* scaling) {
  scaling->original_context_limit =
      rope.Integer("original_max_position_embeddings").value_or(spec.context_limit);
  scaling->beta_fast = rope.Real("beta_fast").value_or(32);
  scaling->beta_slow = rope.Real("beta_slow").value_or(1);
  scaling->attention_factor = rope.Real("attention_factor").value_or(0);
  for (const char* field : {"mscale", "mscale_all_dim"}) {
    if (rope.Has(field)) rope.Unsupported(StrCat(rope.path(), field, " is not implemented"));
  }
  if (!rope.Boolean("truncate").value_or(true))
    rope.Unsupported(StrCat(rope.path(), "truncate false is not implemented"));
}

// The factor is usually left to be the extension of the context; the original limit usually stands beside the object, not in it.
void ReadLongRope(ConfigReader& config, ConfigReader& rope, const ModelSpec& spec,
                  RopeScaling* scaling) {
  const char* limit = "original_max_position_embeddings";
  const auto inside = rope.Integer(limit), beside = config.Integer(limit);
  scaling->original_context_limit = beside.value_or(inside.value_or(spec.context_limit));
  if (scaling->original_context_limit > 0)
    scaling->factor =
        rope.Real("factor").value_or(static_cast<double>(spec.context_limit) /
                                     static_cast<double>(scaling->original_context_limit));
  scaling->attention_factor = rope.Real("attention_factor").value_or(0);
  scaling->short_factors = rope.RequiredReals("short_factor").value_or(std::vector<double>());
  scaling->long_factors = rope.RequiredReals("long_factor").value_or(std::vector<double>());
}

RopeScaling ReadScaling(ConfigReader& config, ConfigReader& rope, const ModelSpec& spec) {
  constexpr std::pair<std::string_view, RopeScalingKind> kKinds[] = {
      {"default", RopeScalingKind::kNone},    {"linear", RopeScalingKind::kLinear},
      {"dynamic", RopeScalingKind::kDynamic}, {"llama3", RopeScalingKind::kLlama3},
      {"yarn", RopeScalingKind::kYarn},       {"longrope", RopeScalingKind::kLongRope}};
  RopeScaling scaling;
  const char* type_field =
      rope.Has("rope_type") ? "rope_type" : "type";  // "type" is the older spelling
  std::string type = rope.RequiredText(type_field).value_or("default");
  // Phi-3's first files call LongRoPE so.
  if (spec.family == "phi3" && (type == "su" || rope.Has("short_factor"))) type = "longrope";
  const auto* known = std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const auto& kind) { return kind.first == type; });
  if (known == std::end(kKinds)) {
    rope.Unsupported(
        StrCat(rope.path(), type_field, " '", type,
               "' is not implemented (known: default, linear, dynamic, llama3, yarn, longrope)"));
    return scaling;
  }
  scaling.kind = known->second;
  if (scaling.kind == RopeScalingKind::kNone) return scaling;
  if (scaling.kind == RopeScalingKind::kLongRope) {
    ReadLongRope(config, rope, spec, &scaling);
    return scaling;
  }
  scaling.factor = rope.RequiredReal("factor").value_or(1.0);
  if (scaling.kind == RopeScalingKind::kLlama3) ReadLlama3(rope, &scaling);
  if (scaling.kind == RopeScalingKind::kYarn) ReadYarn(rope, spec, &scaling);
  return scaling;
}

double DefaultRotatedShare(std::string_view family) {
  if (family == "phi") return 0.5;
  return family == "gpt_neox" ? 0.25 : 1.0;
}

void SetRotatedShare(ConfigReader& fields, const char* field, double share, ModelSpec* spec) {
  const bool partial =
      spec->family == "phi" || spec->family == "phi3" || spec->family == "gpt_neox";
  if (!partial && share != 1.0)
    return fields.Unsupported(
        StrCat(fields.path(), field, " other than 1 is not implemented for ", spec->family));
  const auto size = static_cast<int64_t>(static_cast<double>(spec->head_size) * share);
  if (!(share > 0 && share <= 1)) {
    fields.Invalid(StrCat(fields.path(), field, " is ", share, ", must be above 0 and at most 1"));
    return;
  }
  spec->rotary_size = size == spec->head_size ? 0 : size;
  if (size % 2 == 0 && size > 0) return;
  fields.Invalid(StrCat(fields.path(), field, "(", share, ") of a head of ", spec->head_size,
                        " elements is ", size, ": rotary positions turn pairs of elements"));
}

void ReadRotatedShare(ConfigReader& config, ConfigReader* rope, ModelSpec* spec) {
  const char* older = "rotary_pct";  // gpt_neox
  std::optional<double> share = config.Real("partial_rotary_factor");
  if (!share && spec->family == "gpt_neox") share = config.Real(older);
  if (!share && rope != nullptr) share = rope->Real("partial_rotary_factor");
  SetRotatedShare(config, "partial_rotary_factor",
                  share.value_or(DefaultRotatedShare(spec->family)), spec);
}

// Gemma 3 rotates layers with a window by a base of their own, unscaled.
void ReadByLayerType(ConfigReader& config, const nlohmann::json& object, ModelSpec* spec) {
  ConfigReader types(object, "rope_parameters.", config.problems());
  const nlohmann::json* full = types.Object("full_attention");
  const nlohmann::json* sliding = types.Object("sliding_attention");
  if (full == nullptr || sliding == nullptr)
    return config.Invalid("rope_parameters needs full_attention and sliding_attention");
  ConfigReader rope(*full, "rope_parameters.full_attention.", config.problems());
  ConfigReader local(*sliding, "rope_parameters.sliding_attention.", config.problems());
  spec->rope_scaling = ReadScaling(config, rope, *spec);
  spec->rope_theta = rope.Real("rope_theta").value_or(1e6);
  spec->local_rope_theta = local.Real("rope_theta").value_or(1e4);
  if (ReadScaling(config, local, *spec).kind != RopeScalingKind::kNone)
    config.Unsupported("rope_parameters.sliding_attention: scaling is not implemented there");
}

}  // namespace

void ReadRope(ConfigReader& config, ModelSpec* spec) {
  if (spec->family == "gpt2" || spec->family == "mpt") return;
  const char* theta_field = spec->family == "gpt_neox" && config.Has("rotary_emb_base")
                                ? "rotary_emb_base"
                                : "rope_theta";
  const auto top_theta = config.Real(theta_field);
  const nlohmann::json* old_style = config.Object("rope_scaling");
  const nlohmann::json* new_style = config.Object("rope_parameters");
  if (spec->family == "gemma3_text" && new_style != nullptr)
    return ReadByLayerType(config, *new_style, spec);
  if (spec->family == "gemma3_text")
    spec->local_rope_theta = config.Real("rope_local_base_freq").value_or(1e4);
  spec->rope_theta = top_theta.value_or(spec->family == "gemma3_text" ? 1e6 : 10000.0);
  if (old_style != nullptr) {
    ConfigReader rope(*old_style, "rope_scaling.", config.problems());
    spec->rope_scaling = ReadScaling(config, rope, *spec);
  }
  if (new_style == nullptr) return ReadRotatedShare(config, nullptr, spec);

  ConfigReader rope(*new_style, "rope_parameters.", config.problems());
  ReadRotatedShare(config, &rope, spec);
  const RopeScaling scaling = ReadScaling(config, rope, *spec);
  const auto theta = rope.Real("rope_theta");
  if (old_style != nullptr && !(scaling == spec->rope_scaling)) {
    config.Invalid("rope_scaling and rope_parameters contradict each other; keep one");
  }
  if (top_theta && theta && *top_theta != *theta) {
    config.Invalid(
        StrCat("rope_theta(", *top_theta, ") != rope_parameters.rope_theta(", *theta, ")"));
  }
  spec->rope_scaling = scaling;
  if (theta) spec->rope_theta = *theta;
}

}  // namespace tunesmith::planner
