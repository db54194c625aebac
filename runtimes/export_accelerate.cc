// accelerate.yaml, for `accelerate launch --config_file`. Field names are those that `accelerate config` writes.
#include "runtimes/export.h"
#include "runtimes/export_names.h"
#include "runtimes/yaml_text.h"

namespace tunesmith::runtimes {
namespace {

std::string_view DistributedType(const RunSetup& setup) {
  if (setup.runtime == Runtime::kDeepSpeed) return "DEEPSPEED";
  if (setup.runtime == Runtime::kFsdp) return "FSDP";
  return setup.gpu_count > 1 ? "MULTI_GPU" : "NO";
}

// Under FSDP a frozen base stays in 16 bits and trained weights are fp32 under autocast.
std::string_view MixedPrecision(const RunSetup& setup) {
  if (setup.arithmetic != Arithmetic::kMixed) return "no";
  return setup.half_is_fp16 ? "fp16" : "bf16";
}

void AddFsdp(const RunSetup& setup, YamlText& yaml) {
  yaml.Open("fsdp_config");
  yaml.Set("fsdp_version", int64_t{1});
  yaml.Set("fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
  yaml.Set("fsdp_sharding_strategy", setup.zero_stage == 3 ? "FULL_SHARD" : "SHARD_GRAD_OP");
  yaml.Set("fsdp_backward_prefetch", "BACKWARD_PRE");
  yaml.Set("fsdp_forward_prefetch", false);
  yaml.Set("fsdp_offload_params", setup.offload_parameters);
  yaml.Set("fsdp_state_dict_type", "SHARDED_STATE_DICT");
  yaml.Set("fsdp_cpu_ram_efficient_loading", true);
  yaml.Set("fsdp_sync_module_states", true);
  yaml.Set("fsdp_use_orig_params", IsFull(setup) ? true : false);
  yaml.Set("fsdp_activation_checkpointing", false);
  yaml.Close();
}

void AddDeepSpeed(const RunSetup& setup, YamlText& yaml) {
  yaml.Open("deepspeed_config");
  yaml.Set("deepspeed_config_file", "deepspeed.json");
  yaml.Set("zero3_init_flag", setup.zero_stage == 3);
  yaml.Close();
}

}  // namespace

std::string AccelerateYaml(const RunSetup& setup) {
  const int64_t machines = (setup.gpu_count + setup.gpus_per_node - 1) / setup.gpus_per_node;
  YamlText yaml;
  yaml.Comment(FormatSetup(setup));
  yaml.Set("compute_environment", "LOCAL_MACHINE");
  yaml.Set("debug", false);
  yaml.SetQuoted("distributed_type", DistributedType(setup));
  yaml.Set("downcast_bf16", "'no'");
  if (setup.runtime == Runtime::kFsdp) AddFsdp(setup, yaml);
  if (setup.runtime == Runtime::kDeepSpeed) AddDeepSpeed(setup, yaml);
  yaml.Set("machine_rank", int64_t{0});
  yaml.Set("main_training_function", "main");
  // Beside a DeepSpeed file accelerate takes the precision from there.
  if (setup.runtime != Runtime::kDeepSpeed)
    yaml.SetQuoted("mixed_precision", MixedPrecision(setup));
  yaml.Set("num_machines", machines);
  yaml.Set("num_processes", setup.gpu_count);
  yaml.Set("rdzv_backend", "static");
  yaml.Set("same_network", true);
  yaml.Set("use_cpu", false);
  return yaml.text();
}

}  // namespace tunesmith::runtimes
