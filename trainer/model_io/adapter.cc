#include "trainer/model_io/adapter.h"

#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/json.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kSuffixA = ".lora_A.weight";
constexpr std::string_view kSuffixB = ".lora_B.weight";

constexpr std::string_view kBaseForms[] = {"unknown", "wide", "nf4", "nf4-double"};
constexpr const char* kBaseFormKey = "tunesmith.base";
constexpr const char* kBaseChecksumKey = "tunesmith.base_checksum";

std::string ConfigPath(const std::string& directory) { return directory + "/adapter_config.json"; }
std::string WeightsPath(const std::string& directory) {
  return directory + "/adapter_model.safetensors";
}

absl::Status CheckModule(const Adapter& adapter, const AdapterModule& module) {
  const auto size = [](int64_t a, int64_t b) { return static_cast<size_t>(a * b); };
  if (module.rank == adapter.rank && module.rank > 0 &&
      module.a.size() == size(module.rank, module.input_size) &&
      module.b.size() == size(module.output_size, module.rank)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("adapter module ", module.name, ": rank ", module.rank, " (the adapter's is ",
             adapter.rank, "), A has ", module.a.size(), " elements, B ", module.b.size(),
             ", for a layer of ", module.output_size, " x ", module.input_size));
}

// PEFT matches a module whose path ends in one of these names.
std::set<std::string> TargetModules(const Adapter& adapter) {
  if (!adapter.target_modules.empty()) return adapter.target_modules;
  std::set<std::string> targets;
  for (const AdapterModule& module : adapter.modules)
    targets.insert(module.name.substr(module.name.rfind('.') + 1));
  return targets;
}

// PEFT declares an integer.
json Alpha(const Adapter& adapter) {
  if (adapter.alpha == std::floor(adapter.alpha)) return static_cast<int64_t>(adapter.alpha);
  return adapter.alpha;
}

// Long-standing fields only: old versions of PEFT refuse those that they do not know.
std::string ConfigText(const Adapter& adapter) {
  return FormatJson({{"peft_type", "LORA"},
                     {"task_type", "CAUSAL_LM"},
                     {"base_model_name_or_path", adapter.base_model},
                     {"r", adapter.rank},
                     {"lora_alpha", Alpha(adapter)},
                     {"lora_dropout", adapter.dropout},
                     {"bias", "none"},
                     {"target_modules", TargetModules(adapter)},
                     {"fan_in_fan_out", adapter.fan_in_fan_out},
                     {"inference_mode", true},
                     {"modules_to_save", nullptr},
                     {"use_rslora", adapter.rank_stabilized},
                     {"use_dora", false},
                     {"init_lora_weights", true},
                     {"rank_pattern", json::object()},
                     {"alpha_pattern", json::object()},
                     {"layers_to_transform", nullptr},
                     {"layers_pattern", nullptr},
                     {"revision", nullptr}});
}

absl::Status WriteWeights(const std::string& path, const Adapter& adapter, DType dtype) {
  std::map<std::string, std::string> metadata;
  if (adapter.base_form != BaseForm::kUnknown)
    metadata[kBaseFormKey] = BaseFormName(adapter.base_form);
  if (!adapter.base_checksum.empty()) metadata[kBaseChecksumKey] = adapter.base_checksum;
  std::map<std::string, const std::vector<float>*> values;
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const AdapterModule& module : adapter.modules) {
    const std::string a = StrCat(kPrefix, module.name, kSuffixA);
    const std::string b = StrCat(kPrefix, module.name, kSuffixB);
    declarations.push_back({a, dtype, {module.rank, module.input_size}});
    declarations.push_back({b, dtype, {module.output_size, module.rank}});
    values[a] = &module.a;
    values[b] = &module.b;
  }
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                             SafetensorsWriter::Create(path, std::move(declarations), metadata));
  std::string bytes;
  for (const SafetensorsWriter::Declaration& tensor : writer.order()) {
    TUNESMITH_RETURN_IF_ERROR(BytesFromFloats(dtype, *values.at(tensor.name), &bytes));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(tensor.name, bytes));
  }
  return writer.Commit();
}

// Whether a field of the configuration asks for nothing: absent, null, false, empty, "none".
bool IsNeutral(const json& config, std::string_view field) {
  const auto at = config.find(field);
  return at == config.end() || at->is_null() || *at == json(false) || *at == json("none") ||
         (at->is_structured() && at->empty());
}

// PEFT's ways to begin that take from the base's weights what the adapter begins with. What they save as it is belongs to the rest of the base, which is
// nowhere; what PEFT converts for the base as it was says "init_lora_weights": true.
constexpr std::string_view kStartsThatChangeTheBase[] = {"pissa", "olora", "corda", "loftq",
                                                         "lora_ga"};

absl::Status CheckStart(const json& config, const std::string& path) {
  const auto at = config.find("init_lora_weights");
  if (at == config.end() || !at->is_string()) return absl::OkStatus();
  const auto& start = at->get_ref<const std::string&>();
  for (const std::string_view name : kStartsThatChangeTheBase) {
    if (start.starts_with(name))
      return absl::UnimplementedError(StrCat(
          path, ": \"init_lora_weights\" ", at->dump(),
          ": the adapter is for a base that PEFT has changed; save it in PEFT with "
          "path_initial_model_for_weight_conversion, which makes it one for the base as it is"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Adapter> ReadConfig(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TUNESMITH_ASSIGN_OR_RETURN(const json config, ParseJson(text, path));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string type,
                             JsonField<std::string>(config, "peft_type", path));
  if (type != "LORA")
    return absl::UnimplementedError(
        StrCat(path, ": peft_type ", type, " is not known here; LORA is"));
  for (const char* field : {"use_dora", "modules_to_save", "bias", "rank_pattern", "alpha_pattern",
                            "lora_bias", "layer_replication", "target_parameters",
                            "trainable_token_indices", "alora_invocation_tokens", "use_qalora"}) {
    if (!IsNeutral(config, field))
      return absl::UnimplementedError(
          StrCat(path, ": \"", field, "\" ", config[field].dump(), " is not known here"));
  }
  TUNESMITH_RETURN_IF_ERROR(CheckStart(config, path));
  Adapter adapter;
  TUNESMITH_ASSIGN_OR_RETURN(adapter.base_model,
                             JsonFieldOr<std::string>(config, "base_model_name_or_path", "", path));
  TUNESMITH_ASSIGN_OR_RETURN(adapter.rank, JsonField<int64_t>(config, "r", path));
  TUNESMITH_ASSIGN_OR_RETURN(adapter.alpha, JsonField<double>(config, "lora_alpha", path));
  TUNESMITH_ASSIGN_OR_RETURN(adapter.rank_stabilized,
                             JsonFieldOr<bool>(config, "use_rslora", false, path));
  TUNESMITH_ASSIGN_OR_RETURN(adapter.fan_in_fan_out,
                             JsonFieldOr<bool>(config, "fan_in_fan_out", false, path));
  TUNESMITH_ASSIGN_OR_RETURN(adapter.dropout,
                             JsonFieldOr<double>(config, "lora_dropout", 0.0, path));
  if (adapter.rank < 1)
    return absl::InvalidArgumentError(
        StrCat(path, ": \"r\" must be at least 1, found ", adapter.rank));
  return adapter;
}

struct Halves {
  const SafetensorsTensor* a = nullptr;
  const SafetensorsTensor* b = nullptr;
};

absl::StatusOr<std::map<std::string, Halves>> FindModules(const SafetensorsFile& file,
                                                          const std::string& path) {
  std::map<std::string, Halves> modules;
  for (const SafetensorsTensor& tensor : file.header().tensors) {
    std::string_view name = tensor.name;
    const bool is_a = name.ends_with(kSuffixA);
    if (!name.starts_with(kPrefix) || (!is_a && !name.ends_with(kSuffixB))) {
      return absl::UnimplementedError(
          StrCat(path, ": tensor ", name, " is not one half of a LoRA module"));
    }
    name = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffixA.size());
    Halves& halves = modules[std::string(name)];
    (is_a ? halves.a : halves.b) = &tensor;
  }
  return modules;
}

absl::StatusOr<std::vector<float>> ReadFloats(const SafetensorsFile& file,
                                              const SafetensorsTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.byte_count / SizeOf(tensor.dtype)));
  TUNESMITH_RETURN_IF_ERROR(
      FloatsFromBytes(tensor.dtype, file.Bytes(tensor), absl::MakeSpan(values)));
  return values;
}

absl::StatusOr<AdapterModule> ReadModule(const SafetensorsFile& file, const std::string& name,
                                         const Halves& halves, int64_t rank,
                                         const std::string& path) {
  if (halves.a == nullptr || halves.b == nullptr) {
    return absl::InvalidArgumentError(
        StrCat(path, ": module ", name, " has no ", halves.a == nullptr ? "lora_A" : "lora_B"));
  }
  const std::vector<int64_t>& a = halves.a->shape;
  const std::vector<int64_t>& b = halves.b->shape;
  if (a.size() != 2 || b.size() != 2 || a[0] != rank || b[1] != rank) {
    return absl::InvalidArgumentError(StrCat(path, ": the shapes of module ", name,
                                             " do not fit r = ", rank, " in adapter_config.json"));
  }
  AdapterModule module = {
      .name = name, .rank = rank, .input_size = a[1], .output_size = b[0], .a = {}, .b = {}};
  TUNESMITH_ASSIGN_OR_RETURN(module.a, ReadFloats(file, *halves.a));
  TUNESMITH_ASSIGN_OR_RETURN(module.b, ReadFloats(file, *halves.b));
  return module;
}

}  // namespace

std::string_view BaseFormName(BaseForm form) { return kBaseForms[static_cast<size_t>(form)]; }

BaseForm BaseFormFromName(std::string_view name) {
  for (size_t i = 0; i < std::size(kBaseForms); ++i)
    if (kBaseForms[i] == name) return static_cast<BaseForm>(i);
  return BaseForm::kUnknown;
}

double ScaleOf(const Adapter& adapter) {
  const auto rank = static_cast<double>(adapter.rank);
  return adapter.alpha / (adapter.rank_stabilized ? std::sqrt(rank) : rank);
}

absl::Status WriteAdapter(const std::string& directory, const Adapter& adapter, DType dtype) {
  for (const AdapterModule& module : adapter.modules)
    TUNESMITH_RETURN_IF_ERROR(CheckModule(adapter, module));
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  TUNESMITH_RETURN_IF_ERROR(WriteWeights(WeightsPath(directory), adapter, dtype));
  return WriteFileAtomically(ConfigPath(directory), ConfigText(adapter));
}

absl::StatusOr<Adapter> ReadAdapter(const std::string& directory) {
  TUNESMITH_ASSIGN_OR_RETURN(Adapter adapter, ReadConfig(ConfigPath(directory)));
  const std::string path = WeightsPath(directory);
  TUNESMITH_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const auto& metadata = file.header().metadata;
  if (const auto form = metadata.find(kBaseFormKey); form != metadata.end())
    adapter.base_form = BaseFormFromName(form->second);
  if (const auto sum = metadata.find(kBaseChecksumKey); sum != metadata.end())
    adapter.base_checksum = sum->second;
  TUNESMITH_ASSIGN_OR_RETURN(const auto modules, FindModules(file, path));
  for (const auto& [name, halves] : modules) {
    TUNESMITH_ASSIGN_OR_RETURN(AdapterModule module,
                               ReadModule(file, name, halves, adapter.rank, path));
    adapter.modules.push_back(std::move(module));
  }
  if (!adapter.modules.empty()) return adapter;
  return absl::InvalidArgumentError(StrCat(path, ": the adapter has no modules"));
}

}  // namespace tunesmith::trainer
