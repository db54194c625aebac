// Hugging Face's config.json for model_type llama, mistral and qwen2. Field names and defaults are
// those of transformers' configuration_llama.py, configuration_mistral.py and
// configuration_qwen2.py.
#include <utility>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "nlohmann/json.hpp"
#include "planner/model/config_reader.h"
#include "planner/model/config_rope.h"
#include "planner/model/config_window.h"
#include "planner/model/model_fields.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {
namespace {

using nlohmann::json;

absl::StatusOr<json> ParseObject(std::string_view text, std::string_view name) {
  const std::string what = StrCat("config.json of '", name, "'");
  TUNESMITH_ASSIGN_OR_RETURN(json parsed, ParseJsonWithUniqueKeys(text, what));
  if (parsed.is_object()) return parsed;
  return absl::InvalidArgumentError(what + " is not a JSON object");
}

absl::Status CheckFamily(ConfigReader& config, std::string_view name, std::string* family) {
  const auto type = config.RequiredText("model_type");
  if (!type) return absl::OkStatus();  // told with the other problems
  *family = *type;
  if (IsKnownFamily(*type)) return absl::OkStatus();
  return absl::UnimplementedError(
      StrCat("config.json of '", name, "': model_type '", *type,
             "' is not planned yet; known: ", StrJoin(kFamilies, ", ")));
}

// Llama's first files leave num_key_value_heads out and mean one per head. For the other families
// transformers fills in a constant that fits one model only, so there absence is refused; null
// means one per head everywhere.
void ReadKvHeads(ConfigReader& config, const json& object, ModelSpec* spec) {
  if (spec->family != "llama" && !object.contains("num_key_value_heads")) {
    config.Invalid("num_key_value_heads is missing");
  }
  if (!config.Has("num_key_value_heads") && spec->head_count < 1)
    config.MarkTold("num_key_value_heads");
  spec->kv_head_count = config.Integer("num_key_value_heads").value_or(spec->head_count);
}

void ReadHeadSize(ConfigReader& config, ModelSpec* spec) {
  if (const auto explicit_size = config.Integer("head_dim")) {
    spec->head_size = *explicit_size;
    return;
  }
  if (spec->head_count < 1 || spec->hidden_size < 1) {
    config.MarkTold("head_dim");
    return;
  }
  if (spec->hidden_size % spec->head_count != 0) {
    config.Invalid(StrCat("hidden_size(", spec->hidden_size, ") % num_attention_heads(",
                          spec->head_count, ") != 0 and head_dim is missing"));
    config.MarkTold("head_dim");
  }
  spec->head_size = spec->hidden_size / spec->head_count;
}

void ReadSizes(ConfigReader& config, const json& object, ModelSpec* spec) {
  spec->layer_count = config.RequiredInteger("num_hidden_layers").value_or(0);
  spec->hidden_size = config.RequiredInteger("hidden_size").value_or(0);
  spec->intermediate_size = config.RequiredInteger("intermediate_size").value_or(0);
  spec->head_count = config.RequiredInteger("num_attention_heads").value_or(0);
  spec->vocab_size = config.RequiredInteger("vocab_size").value_or(0);
  spec->context_limit = config.RequiredInteger("max_position_embeddings").value_or(0);
  ReadKvHeads(config, object, spec);
  ReadHeadSize(config, spec);
}

void RefuseIfTrue(ConfigReader& config, const char* field) {
  if (!config.Boolean(field).value_or(false)) return;
  config.Unsupported(StrCat(field, " true is not implemented"));
}

// Fields that would change what is computed.
void RefuseUnsupported(ConfigReader& config) {
  RefuseIfTrue(config, "attention_bias");
  RefuseIfTrue(config, "mlp_bias");
  const std::string activation = config.Text("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish") {
    config.Unsupported(StrCat("hidden_act '", activation, "' is not implemented (known: silu)"));
  }
  if (config.Has("quantization_config")) {
    config.Unsupported("quantization_config: quantized weights are not implemented");
  }
}

// Adds what is out of range or contradictory, except where the field could not even be read.
void AddModelProblems(const ModelSpec& spec, ConfigProblems* problems) {
  for (ModelProblem& problem : ModelProblems(spec, FieldNaming::kConfigJson)) {
    if (problems->told_fields.contains(problem.field)) continue;
    problems->invalid.push_back(std::move(problem.text));
  }
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromConfigJson(std::string_view text, std::string_view name) {
  TUNESMITH_ASSIGN_OR_RETURN(const json object, ParseObject(text, name));
  ConfigProblems problems;
  ConfigReader config(object, "", &problems);
  ModelSpec spec;
  spec.name = name;
  spec.source = StrCat("config.json of ", name);
  TUNESMITH_RETURN_IF_ERROR(CheckFamily(config, name, &spec.family));
  spec.qkv_bias = spec.family == "qwen2";
  ReadSizes(config, object, &spec);
  spec.norm_epsilon = config.Real("rms_norm_eps").value_or(1e-6);
  spec.tied_head = config.Boolean("tie_word_embeddings").value_or(false);
  ReadRope(config, &spec);
  RefuseUnsupported(config);
  ReadSlidingWindow(config, &spec);
  AddModelProblems(spec, &problems);
  TUNESMITH_RETURN_IF_ERROR(problems.ToStatus(name));
  return spec;
}

}  // namespace tunesmith::planner
