// axolotl.yaml, by the fields of Axolotl's configuration reference.
#include "runtimes/export.h"
#include "runtimes/export_names.h"
#include "runtimes/yaml_text.h"

namespace tunesmith::runtimes {
namespace {

void AddAdapter(const RunSetup& setup, YamlText& yaml) {
  if (IsFull(setup)) return;
  yaml.Set("adapter", IsQlora(setup) ? "qlora" : "lora");
  yaml.Set("lora_r", setup.lora.rank);
  yaml.Set("lora_alpha", std::string_view(Alpha(setup)));
  yaml.Set("lora_dropout", std::string_view(Dropout(setup)));
  if (setup.lora.rank_stabilized) yaml.Set("peft_use_rslora", true);
  if (AdaptsAllLinears(setup)) {
    yaml.Set("lora_target_linear", true);
  } else {
    yaml.List("lora_target_modules", TargetModules(setup));
  }
  if (!IsQlora(setup)) return;
  yaml.Set("load_in_4bit", true);
  if (setup.quantization == Quantization::kNf4Double) return;  // which is Axolotl's own choice
  yaml.Open("bnb_config_kwargs");
  yaml.Set("bnb_4bit_use_double_quant", false);
  yaml.Close();
}

void AddFsdp(const RunSetup& setup, YamlText& yaml) {
  yaml.List("fsdp", {setup.zero_stage == 3 ? "full_shard" : "shard_grad_op", "auto_wrap"});
  yaml.Open("fsdp_config");
  yaml.Set("fsdp_version", int64_t{1});
  yaml.Set("offload_params", setup.offload_parameters);
  yaml.Set("sync_module_states", true);
  yaml.Set("cpu_ram_efficient_loading", true);
  yaml.Set("use_orig_params", IsFull(setup));
  yaml.Set("auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
  yaml.Set("state_dict_type", "SHARDED_STATE_DICT");
  yaml.Close();
}

}  // namespace

std::string AxolotlYaml(const RunSetup& setup) {
  YamlText yaml;
  yaml.Comment(FormatSetup(setup));
  yaml.Set("base_model", std::string_view(setup.shape.name));
  yaml.Open("datasets");
  yaml.Set("- path", kDatasetPlaceholder);
  yaml.Set("  type", "completion");
  yaml.Close();
  yaml.Set("output_dir", "output");
  yaml.Set("sequence_len", setup.context);
  yaml.Set("sample_packing", setup.attention == Attention::kFlash);
  yaml.Set("pad_to_sequence_len", true);
  AddAdapter(setup, yaml);
  yaml.Set("micro_batch_size", setup.micro_batch);
  yaml.Set("gradient_accumulation_steps", setup.accumulation_count);
  yaml.Set("num_epochs", std::string_view(Epochs(setup)));
  yaml.Set("optimizer",
           setup.optimizer == OptimizerKind::kAdamW8Bit ? "paged_adamw_8bit" : "adamw_torch");
  yaml.Set("learning_rate", std::string_view(LearningRate(setup)));
  yaml.Set("lr_scheduler", "cosine");
  yaml.Set(setup.half_is_fp16 ? "fp16" : "bf16", true);
  yaml.Set("gradient_checkpointing", setup.checkpointing);
  yaml.Set("attn_implementation", AttentionImplementation(setup));
  if (setup.runtime == Runtime::kDeepSpeed) yaml.Set("deepspeed", "deepspeed.json");
  if (setup.runtime == Runtime::kFsdp) AddFsdp(setup, yaml);
  return yaml.text();
}

}  // namespace tunesmith::runtimes
