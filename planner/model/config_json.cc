// Hugging Face's config.json. Field names and defaults are those of transformers' configuration files of each family.
#include <algorithm>
#include <limits>
#include <utility>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "nlohmann/json.hpp"
#include "planner/model/config_families.h"
#include "planner/model/config_names.h"
#include "planner/model/config_reader.h"
#include "planner/model/config_rope.h"
#include "planner/model/config_window.h"
#include "planner/model/family.h"
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
  const Family* known = FindFamily(*type);
  if (known != nullptr && known->reads_config) return absl::OkStatus();
  return absl::UnimplementedError(StrCat("config.json of '", name, "': model_type '", *type,
                                         "' is not planned yet; known: ", KnownFamilies()));
}

bool IsOneOf(std::string_view family, std::initializer_list<std::string_view> families) {
  return std::find(families.begin(), families.end(), family) != families.end();
}

// 4 x `size`, or what is out of range where that overflows.
int64_t FourTimes(int64_t size) {
  return size > 0 && size <= std::numeric_limits<int64_t>::max() / 4 ? 4 * size : 0;
}

void ReadMlpSize(ConfigReader& config, const char* field, ModelSpec* spec) {
  if (spec->family == "mpt") {
    const int64_t ratio = config.Integer(field).value_or(4);
    const bool fits =
        ratio > 0 && spec->hidden_size > 0 && ratio <= 1 << 20 && spec->hidden_size <= 1 << 20;
    spec->intermediate_size = fits ? ratio * spec->hidden_size : 0;
  } else if (IsOneOf(spec->family, {"falcon", "gpt2"})) {
    spec->intermediate_size = config.Integer(field).value_or(FourTimes(spec->hidden_size));
  } else {
    spec->intermediate_size = config.RequiredInteger(field).value_or(0);
  }
}

// One key/value head, unless the file says otherwise, is Falcon's first way; Falcon's second way names them.
int64_t FalconKvHeads(ConfigReader& config, const ModelSpec& spec) {
  const bool newer = config.Boolean("new_decoder_architecture").value_or(false);
  if (!newer) return config.Boolean("multi_query").value_or(true) ? 1 : spec.head_count;
  const char* field = config.Has("n_head_kv") ? "n_head_kv" : "num_kv_heads";
  return config.Integer(field).value_or(spec.head_count);
}

// Llama's first files leave num_key_value_heads out and mean one per head. For the families where
// transformers fills in a constant that fits one model only, absence is refused; null
// means one per head everywhere.
void ReadKvHeads(ConfigReader& config, const json& object, ModelSpec* spec) {
  spec->kv_head_count = spec->head_count;
  if (IsOneOf(spec->family, {"gpt_neox", "gpt2", "mpt"})) {
    if (spec->head_count < 1) config.MarkTold("num_key_value_heads");
    return;
  }
  if (spec->family == "falcon") {
    if (spec->head_count < 1) config.MarkTold("num_kv_heads");
    spec->kv_head_count = FalconKvHeads(config, *spec);
    return;
  }
  if (!IsOneOf(spec->family, {"llama", "phi", "phi3"}) && !object.contains("num_key_value_heads"))
    config.Invalid("num_key_value_heads is missing");
  if (!config.Has("num_key_value_heads") && spec->head_count < 1)
    config.MarkTold("num_key_value_heads");
  spec->kv_head_count = config.Integer("num_key_value_heads").value_or(spec->head_count);
}

// Families that transformers gives heads of a constant size where the file names none.
bool NeedsHeadSize(const ModelSpec& spec) {
  return IsOneOf(spec.family, {"gemma", "gemma2", "gemma3_text", "qwen3"});
}

void ReadHeadSize(ConfigReader& config, ModelSpec* spec) {
  const bool has_field = !IsOneOf(spec->family, {"falcon", "gpt_neox", "gpt2", "mpt", "phi"});
  if (const auto explicit_size = has_field ? config.Integer("head_dim") : std::nullopt) {
    spec->head_size = *explicit_size;
    return;
  }
  if (NeedsHeadSize(*spec) && !config.Has("head_dim")) {
    config.RequiredInteger("head_dim");
    return;
  }
  if (spec->head_count < 1 || spec->hidden_size < 1) {
    config.MarkTold("head_dim");
    return;
  }
  if (spec->hidden_size % spec->head_count != 0) {
    config.Invalid(StrCat(ConfigName(spec->family, "hidden_size"), "(", spec->hidden_size, ") % ",
                          ConfigName(spec->family, "num_attention_heads"), "(", spec->head_count,
                          ") != 0", has_field ? " and head_dim is missing" : ""));
    config.MarkTold("head_dim");
  }
  spec->head_size = spec->hidden_size / spec->head_count;
}

void ReadSizes(ConfigReader& config, const json& object, ModelSpec* spec) {
  const auto name = [&](const char* field) { return ConfigName(spec->family, field); };
  spec->layer_count = config.RequiredInteger(name("num_hidden_layers")).value_or(0);
  spec->hidden_size = config.RequiredInteger(name("hidden_size")).value_or(0);
  ReadMlpSize(config, name("intermediate_size"), spec);
  spec->head_count = config.RequiredInteger(name("num_attention_heads")).value_or(0);
  spec->vocab_size = config.RequiredInteger("vocab_size").value_or(0);
  // Falcon's first files leave out what all its models have.
  const char* limit = name("max_position_embeddings");
  const bool falcon = spec->family == "falcon" && !config.Has(limit);
  spec->context_limit = falcon ? 2048 : config.RequiredInteger(limit).value_or(0);
  ReadKvHeads(config, object, spec);
  ReadHeadSize(config, spec);
}

// Adds what is out of range or contradictory, except where the field could not even be read.
void AddModelProblems(const ModelSpec& spec, ConfigProblems* problems) {
  for (ModelProblem& problem : ModelProblems(spec, FieldNaming::kConfigJson)) {
    if (problems->told_fields.contains(problem.field)) continue;
    problems->invalid.push_back(std::move(problem.text));
  }
}

// transformers' defaults.
bool TiesHeadByDefault(std::string_view family) {
  return family.starts_with("gemma") || IsOneOf(family, {"falcon", "gpt2", "mpt", "smollm3"});
}

void ReadFields(ConfigReader& config, const json& object, ModelSpec* spec) {
  ReadSizes(config, object, spec);
  SetFamilyStructure(spec);
  ReadStructure(config, spec);
  const double default_epsilon = spec->norm == NormKind::kLayer ? 1e-5 : 1e-6;
  spec->norm_epsilon =
      config.Real(ConfigName(spec->family, "rms_norm_eps")).value_or(default_epsilon);
  spec->tied_head = config.Boolean("tie_word_embeddings").value_or(TiesHeadByDefault(spec->family));
  ReadRope(config, spec);
  ReadSlidingWindow(config, spec);
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
  ReadFields(config, object, &spec);
  AddModelProblems(spec, &problems);
  TUNESMITH_RETURN_IF_ERROR(problems.ToStatus(name));
  return spec;
}

}  // namespace tunesmith::planner
