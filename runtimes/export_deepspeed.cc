// deepspeed.json, as DeepSpeed's documentation of its configuration names the fields. Bucket sizes are the defaults that the memory forms
// assume (states.cc), written out so that Trainer's "auto" does not change them.
#include <nlohmann/json.hpp>

#include "common/json.h"
#include "runtimes/export.h"

namespace tunesmith::runtimes {
namespace {

using Json = nlohmann::ordered_json;

Json ZeroSection(const RunSetup& setup) {
  Json zero = {{"stage", setup.zero_stage}};
  if (setup.zero_stage == 0) return zero;
  zero["overlap_comm"] = true;
  zero["contiguous_gradients"] = true;
  zero["reduce_bucket_size"] = 500'000'000;
  zero["allgather_bucket_size"] = 500'000'000;
  if (setup.offload_optimizer)
    zero["offload_optimizer"] = {{"device", "cpu"}, {"pin_memory", true}};
  if (setup.zero_stage < 3) return zero;
  if (setup.offload_parameters) zero["offload_param"] = {{"device", "cpu"}, {"pin_memory", true}};
  zero["sub_group_size"] = 1'000'000'000;
  zero["stage3_max_live_parameters"] = 1'000'000'000;
  zero["stage3_max_reuse_distance"] = 1'000'000'000;
  zero["stage3_prefetch_bucket_size"] = 50'000'000;
  zero["stage3_param_persistence_threshold"] = 100'000;
  zero["stage3_gather_16bit_weights_on_model_save"] = true;
  return zero;
}

}  // namespace

std::string DeepSpeedJson(const RunSetup& setup) {
  const Json json = {
      {"train_micro_batch_size_per_gpu", setup.micro_batch},
      {"gradient_accumulation_steps", setup.accumulation_count},
      {"train_batch_size", setup.micro_batch * setup.accumulation_count * setup.gpu_count},
      {setup.half_is_fp16 ? "fp16" : "bf16", {{"enabled", true}}},
      {"zero_optimization", ZeroSection(setup)},
      {"gradient_clipping", 1.0},
      {"steps_per_print", 100},
  };
  return json.dump(2) + "\n";
}

}  // namespace tunesmith::runtimes
