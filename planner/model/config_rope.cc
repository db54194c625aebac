#include "planner/model/config_rope.h"

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

void ReadLlama3(ConfigReader& rope, RopeScaling* scaling) {
  scaling->low_frequency_factor = rope.RequiredReal("low_freq_factor").value_or(1.0);
  scaling->high_frequency_factor = rope.RequiredReal("high_freq_factor").value_or(4.0);
  scaling->original_context_limit =
      rope.RequiredInteger("original_max_position_embeddings").value_or(8192);
}

RopeScaling ReadScaling(ConfigReader& rope) {
  RopeScaling scaling;
  const char* type_field =
      rope.Has("rope_type") ? "rope_type" : "type";  // "type" is the older spelling
  const std::string type = rope.RequiredText(type_field).value_or("default");
  if (type == "default") return scaling;
  if (type != "linear" && type != "llama3") {
    rope.Unsupported(StrCat(rope.path(), type_field, " '", type,
                            "' is not implemented (known: default, linear, llama3)"));
    return scaling;
  }
  scaling.kind = type == "linear" ? RopeScalingKind::kLinear : RopeScalingKind::kLlama3;
  scaling.factor = rope.RequiredReal("factor").value_or(1.0);
  if (scaling.kind == RopeScalingKind::kLlama3) ReadLlama3(rope, &scaling);
  return scaling;
}

void CheckPartialRotation(ConfigReader& fields) {
  if (fields.Real("partial_rotary_factor").value_or(1.0) == 1.0) return;
  fields.Unsupported(
      StrCat(fields.path(), "partial_rotary_factor other than 1 is not implemented"));
}

}  // namespace

void ReadRope(ConfigReader& config, ModelSpec* spec) {
  const auto top_theta = config.Real("rope_theta");
  const nlohmann::json* old_style = config.Object("rope_scaling");
  const nlohmann::json* new_style = config.Object("rope_parameters");
  CheckPartialRotation(config);
  spec->rope_theta = top_theta.value_or(10000.0);
  if (old_style != nullptr) {
    ConfigReader rope(*old_style, "rope_scaling.", config.problems());
    spec->rope_scaling = ReadScaling(rope);
  }
  if (new_style == nullptr) return;

  ConfigReader rope(*new_style, "rope_parameters.", config.problems());
  CheckPartialRotation(rope);
  const RopeScaling scaling = ReadScaling(rope);
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
