#include "trainer/job/save_result.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "common/file.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/program/layer_parameters.h"
#include "trainer/comm/communicator.h"
#include "trainer/job/shared_weights.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kLoraA = ".lora_A.weight";

// PEFT takes every module whose path ends in a target: the last part of a name, unless another module of the layer ends in it too (gpt2's c_proj).
std::set<std::string> TargetModules(const planner::ModelSpec& model,
                                    const planner::LoraSpec& lora) {
  const auto last_part = [](std::string_view module) {
    return std::string(module.substr(module.rfind('.') + 1));
  };
  std::map<std::string, int> uses;
  std::vector<std::string> modules;
  planner::ForEachLayerTensor(model, [&](const planner::ModelTensor& tensor) {
    if (tensor.first_projection < 0 || tensor.bias) return;
    ++uses[last_part(tensor.module)];
    if (planner::IsAdapted(model, lora, tensor.first_projection)) modules.push_back(tensor.module);
  });
  std::set<std::string> targets;
  for (const std::string& module : modules)
    targets.insert(uses[last_part(module)] > 1 ? module : last_part(module));
  return targets;
}

BaseForm BaseFormOf(const planner::Mix& mix) {
  if (mix.method != planner::Method::kQlora) return BaseForm::kWide;
  return mix.double_quantization ? BaseForm::kNf4Double : BaseForm::kNf4;
}

absl::StatusOr<Adapter> ReadAdapterFrom(Session& session, const std::string& model_path) {
  const planner::Program& program = session.program();
  const planner::LoraSpec& lora = program.inputs.mix.lora;
  Adapter adapter{.base_model = model_path,
                  .rank = lora.rank,
                  .alpha = lora.alpha,
                  .rank_stabilized = lora.rank_stabilized,
                  .dropout = lora.dropout,
                  .fan_in_fan_out = program.inputs.model.family == "gpt2",
                  .target_modules = TargetModules(program.inputs.model, lora),
                  .base_form = BaseFormOf(program.inputs.mix)};
  for (const planner::Parameter& p : program.parameters) {
    const planner::Buffer& a = program.buffers[static_cast<size_t>(p.weight)];
    if (!a.name.Text().ends_with(kLoraA)) continue;
    for (int64_t layer = 0; layer < a.instance_count; ++layer) {
      AdapterModule module;
      const std::string name = a.name.Text(layer);
      module.name = name.substr(0, name.size() - kLoraA.size());
      TUNESMITH_ASSIGN_OR_RETURN(module.a, ReadSharedWeight(session, name));
      TUNESMITH_ASSIGN_OR_RETURN(module.b,
                                 ReadSharedWeight(session, module.name + ".lora_B.weight"));
      module.rank = lora.rank;
      module.input_size = a.dims[1];
      module.output_size = static_cast<int64_t>(module.b.size()) / lora.rank;
      adapter.modules.push_back(std::move(module));
    }
  }
  return adapter;
}

// What a GGUF file keeps with its tokenizer, and Hugging Face in the config.json: without it, generation would not end.
absl::Status AddSpecialTokens(const std::string& gguf_path, const std::string& directory) {
  const std::string path = directory + "/config.json";
  TUNESMITH_ASSIGN_OR_RETURN(const Tokenizer tokenizer, OpenTokenizer(gguf_path));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TUNESMITH_ASSIGN_OR_RETURN(nlohmann::json config, ParseJson(text, path));
  if (tokenizer.bos_id()) config["bos_token_id"] = *tokenizer.bos_id();
  if (tokenizer.eos_id()) config["eos_token_id"] = *tokenizer.eos_id();
  return WriteFileAtomically(path, FormatJson(config));
}

// The source's config.json holds more than a spec does, such as the ids of special tokens: where there is one, it is kept.
absl::Status KeepConfig(const std::string& model_path, const std::string& directory,
                        const planner::ModelSpec& model, DType dtype) {
  if (!std::filesystem::is_directory(model_path)) return AddSpecialTokens(model_path, directory);
  const std::string source = model_path + "/config.json";
  if (!std::filesystem::exists(source)) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(source));
  TUNESMITH_ASSIGN_OR_RETURN(nlohmann::json config, ParseJson(text, source));
  config["tie_word_embeddings"] = model.tied_head;
  config.erase("quantization_config");  // what is written is not
  config[config.contains("torch_dtype") ? "torch_dtype" : "dtype"] =
      dtype == DType::kBF16 ? "bfloat16" : "float32";
  return WriteFileAtomically(directory + "/config.json", FormatJson(config));
}

absl::Status WriteResult(Session& session, const std::string& base_checksum,
                         const std::string& model_path, const std::string& directory) {
  if (session.program().inputs.mix.method != planner::Method::kFull) {
    TUNESMITH_ASSIGN_OR_RETURN(Adapter adapter, ReadAdapterFrom(session, model_path));
    adapter.base_checksum = base_checksum;
    TUNESMITH_RETURN_IF_ERROR(WriteAdapter(directory, adapter));
  } else {
    const DType dtype = session.program().inputs.mix.precision == planner::Precision::kBf16
                            ? DType::kBF16
                            : DType::kF32;
    const planner::ModelSpec& model = session.program().inputs.model;
    const auto read = [&session](std::string_view name, absl::Span<float> out) {
      return ReadSharedWeight(session, std::string(name), out);
    };
    TUNESMITH_RETURN_IF_ERROR(WriteModel(directory, model, dtype, read));
    TUNESMITH_RETURN_IF_ERROR(KeepConfig(model_path, directory, model, dtype));
  }
  TUNESMITH_RETURN_IF_ERROR(EndSharedReads(session));
  return WriteTokenizerFiles(model_path, directory);
}

}  // namespace

absl::Status SaveResult(Session& session, const std::string& base_checksum,
                        const std::string& model_path, const std::string& directory) {
  const Communicator* comm = session.executor().context().comm;
  if (comm != nullptr && comm->rank() > 0) return FollowSharedReads(session);
  return WriteResult(session, base_checksum, model_path, directory);
}

absl::Status SaveModel(const WeightSource& weights, const std::string& model_path, DType dtype,
                       const std::string& directory, int64_t shard_bytes) {
  // First what is quick and may not be known, then what takes long.
  TUNESMITH_RETURN_IF_ERROR(WriteTokenizerFiles(model_path, directory));
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    return weights.Read(name, out);
  };
  TUNESMITH_RETURN_IF_ERROR(WriteModel(directory, weights.spec(), dtype, read, shard_bytes));
  return KeepConfig(model_path, directory, weights.spec(), dtype);
}

}  // namespace tunesmith::trainer
