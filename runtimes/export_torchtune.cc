// torchtune.yaml: overrides for `tune run RECIPE --config CONFIG`, whose model builder is the user's choice. torchtune's attention is always sdpa.
#include <cmath>

#include "runtimes/export.h"
#include "runtimes/export_names.h"
#include "runtimes/yaml_text.h"

namespace tunesmith::runtimes {
namespace {

std::string Recipe(const RunSetup& setup) {
  const std::string_view kind = IsFull(setup) ? "full_finetune" : "lora_finetune";
  return StrCat(kind, setup.gpu_count > 1 ? "_distributed" : "_single_device");
}

std::vector<std::string> AttentionModules(const RunSetup& setup) {
  constexpr std::string_view kNames[] = {"q_proj", "k_proj", "v_proj", "output_proj"};
  std::vector<std::string> modules;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if ((setup.lora.targets >> i & 1) != 0) modules.emplace_back(kNames[i]);
  }
  return modules;
}

void AddAdapter(const RunSetup& setup, YamlText& yaml) {
  if (IsFull(setup)) return;
  constexpr uint32_t kMlp = planner::kLoraGate | planner::kLoraUp | planner::kLoraDown;
  yaml.Open("model");
  yaml.List("lora_attn_modules", AttentionModules(setup));
  yaml.Set("apply_lora_to_mlp", (setup.lora.targets & kMlp) != 0);
  yaml.Set("apply_lora_to_output", false);
  yaml.Set("lora_rank", setup.lora.rank);
  // torchtune scales by alpha / rank alone.
  const double alpha = planner::LoraScale(setup.lora) * static_cast<double>(setup.lora.rank);
  yaml.Set("lora_alpha", std::string_view(FormatDouble(alpha)));
  yaml.Set("lora_dropout", std::string_view(Dropout(setup)));
  if (IsQlora(setup)) yaml.Set("quantize_base", true);
  yaml.Close();
}

}  // namespace

bool TorchtuneRuns(const RunSetup& setup) {
  const bool quantizes =
      setup.quantization == Quantization::kNone || setup.quantization == Quantization::kNf4Double;
  const bool whole_epochs = setup.epoch_count == std::floor(setup.epoch_count);
  if (setup.runtime == Runtime::kDeepSpeed || !quantizes || !whole_epochs) return false;
  const bool sharded = setup.runtime == Runtime::kFsdp && setup.zero_stage == 3;
  return setup.shape.gated_mlp && (setup.gpu_count == 1 || sharded) &&
         setup.attention != Attention::kEager && !setup.half_is_fp16;
}

std::string TorchtuneYaml(const RunSetup& setup) {
  YamlText yaml;
  yaml.Comment(FormatSetup(setup));
  yaml.Comment(StrCat(
      "tune run ", setup.gpu_count > 1 ? StrCat("--nproc_per_node ", setup.gpu_count, " ") : "",
      Recipe(setup), " --config torchtune.yaml; add model, tokenizer and checkpointer of ",
      setup.shape.name));
  AddAdapter(setup, yaml);
  yaml.Open("tokenizer");
  yaml.Set("max_seq_len", setup.context);
  yaml.Close();
  yaml.Open("dataset");
  yaml.Set("_component_", "torchtune.datasets.text_completion_dataset");
  yaml.Set("source", "json");
  yaml.Set("data_files", kDatasetPlaceholder);
  yaml.Set("packed", true);
  yaml.Close();
  yaml.Open("optimizer");
  yaml.Set("_component_", "torch.optim.AdamW");
  yaml.Set("lr", std::string_view(LearningRate(setup)));
  yaml.Set("fused", setup.optimizer == OptimizerKind::kAdamWFused);
  yaml.Close();
  yaml.Open("loss");
  yaml.Set("_component_", "torchtune.modules.loss.CEWithChunkedOutputLoss");
  yaml.Close();
  yaml.Set("batch_size", setup.micro_batch);
  yaml.Set("gradient_accumulation_steps", setup.accumulation_count);
  yaml.Set("epochs", std::string_view(Epochs(setup)));
  yaml.Set("dtype", "bf16");
  yaml.Set("device", "cuda");
  yaml.Set("enable_activation_checkpointing", setup.checkpointing);
  yaml.Set("enable_activation_offloading", false);
  if (setup.gpu_count > 1) yaml.Set("fsdp_cpu_offload", setup.offload_parameters);
  yaml.Set("output_dir", "output");
  return yaml.text();
}

}  // namespace tunesmith::runtimes
