// llama_factory.yaml, for `llamafactory-cli train`: fields of its ModelArguments, DataArguments, FinetuningArguments and of TrainingArguments.
#include "common/text.h"
#include "runtimes/export.h"
#include "runtimes/export_names.h"
#include "runtimes/yaml_text.h"

namespace tunesmith::runtimes {
namespace {

std::string_view FlashAttention(const RunSetup& setup) {
  if (setup.attention == Attention::kEager) return "disabled";
  return setup.attention == Attention::kFlash ? "fa2" : "sdpa";
}

void AddAdapter(const RunSetup& setup, YamlText& yaml) {
  yaml.Set("finetuning_type", IsFull(setup) ? "full" : "lora");
  if (IsFull(setup)) return;
  yaml.Set("lora_rank", setup.lora.rank);
  yaml.Set("lora_alpha", std::string_view(Alpha(setup)));
  yaml.Set("lora_dropout", std::string_view(Dropout(setup)));
  if (setup.lora.rank_stabilized) yaml.Set("use_rslora", true);
  yaml.Set("lora_target",
           std::string_view(AdaptsAllLinears(setup) ? "all" : StrJoin(TargetModules(setup), ",")));
  if (!IsQlora(setup)) return;
  yaml.Set("quantization_bit", int64_t{4});
  yaml.Set("quantization_method", "bnb");
  yaml.Set("double_quantization", setup.quantization == Quantization::kNf4Double);
}

}  // namespace

std::string LlamaFactoryYaml(const RunSetup& setup) {
  YamlText yaml;
  yaml.Comment(FormatSetup(setup));
  yaml.Set("model_name_or_path", std::string_view(setup.shape.name));
  yaml.Set("stage", "pt");
  yaml.Set("do_train", true);
  AddAdapter(setup, yaml);
  yaml.Set("dataset", "my_data");
  yaml.Set("cutoff_len", setup.context);
  yaml.Set("packing", true);
  yaml.Set("output_dir", "output");
  yaml.Set("per_device_train_batch_size", setup.micro_batch);
  yaml.Set("gradient_accumulation_steps", setup.accumulation_count);
  yaml.Set("num_train_epochs", std::string_view(Epochs(setup)));
  yaml.Set("learning_rate", std::string_view(LearningRate(setup)));
  yaml.Set("optim",
           setup.optimizer == OptimizerKind::kAdamW8Bit ? "paged_adamw_8bit" : "adamw_torch");
  if (setup.arithmetic == Arithmetic::kMixed) yaml.Set(setup.half_is_fp16 ? "fp16" : "bf16", true);
  yaml.Set("flash_attn", FlashAttention(setup));
  yaml.Set("disable_gradient_checkpointing", !setup.checkpointing);
  if (setup.runtime == Runtime::kDeepSpeed) yaml.Set("deepspeed", "deepspeed.json");
  return yaml.text();
}

}  // namespace tunesmith::runtimes
