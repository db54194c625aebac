#include "runtimes/setup.h"

#include <vector>

#include "common/suggest.h"
#include "common/text.h"

namespace tunesmith::runtimes {
namespace {

constexpr int64_t kFlashComputeCapability = 80;

class Problems {
 public:
  void AddIf(bool wrong, std::string_view what) {
    if (wrong) problems_.emplace_back(what);
  }
  absl::Status ToStatus() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(StrJoin(problems_, "; "));
  }

 private:
  std::vector<std::string> problems_;
};

std::string OldDevice(const RunSetup& setup) {
  return StrCat(setup.hardware.name, " is sm_", setup.hardware.compute_capability);
}

void CheckDevice(const RunSetup& setup, Problems& problems) {
  const bool old = setup.hardware.compute_capability < kFlashComputeCapability;
  problems.AddIf(
      old && setup.attention == Attention::kFlash,
      StrCat("FlashAttention-2 needs sm_80, ", OldDevice(setup),
             "; nearest: sdpa's memory-efficient kernel, which is planned where attention "
             "is left open"));
  problems.AddIf(setup.hardware.bf16_dense_flops_per_second == 0 && !setup.half_is_fp16 &&
                     setup.arithmetic != Arithmetic::kFp32,
                 StrCat("bf16 needs tensor cores of sm_80, ", OldDevice(setup), "; nearest: fp16"));
}

void CheckSharding(const RunSetup& setup, Problems& problems) {
  const std::string_view name = RuntimeName(setup.runtime);
  problems.AddIf(setup.runtime == Runtime::kHuggingFace && setup.zero_stage != 0,
                 StrCat(name, " alone does not shard: zero_stage(", setup.zero_stage,
                        ") != 0; nearest: runtime=deepspeed or runtime=fsdp"));
  problems.AddIf(setup.runtime == Runtime::kFsdp && setup.zero_stage == 1,
                 "fsdp shards gradients too; nearest: zero_stage=2 (SHARD_GRAD_OP)");
  problems.AddIf(setup.offload_optimizer && setup.zero_stage == 0,
                 StrCat(name, " offloads only what it shards; nearest: zero_stage=2"));
  problems.AddIf(setup.offload_parameters && setup.zero_stage != 3,
                 "parameters are offloaded from zero_stage=3 only; nearest: zero_stage=3");
  problems.AddIf(
      setup.runtime == Runtime::kFsdp && setup.offload_optimizer != setup.offload_parameters,
      "fsdp's CPU offload moves parameters and optimizer together; nearest: both or none");
  problems.AddIf(
      setup.runtime == Runtime::kDeepSpeed && setup.zero_stage == 3 &&
          (setup.quantization == Quantization::kNf4 ||
           setup.quantization == Quantization::kNf4Double ||
           setup.quantization == Quantization::kInt8),
      "deepspeed's zero_stage=3 cannot split bitsandbytes weights; nearest: zero_stage=2, or "
      "runtime=fsdp with 4-bit storage in bf16");
}

void CheckMethod(const RunSetup& setup, Problems& problems) {
  problems.AddIf(
      setup.method == planner::Method::kFull && setup.quantization != Quantization::kNone,
      "quantized weights cannot be trained in full; nearest: method=lora");
  problems.AddIf(
      setup.runtime == Runtime::kDeepSpeed && setup.optimizer == OptimizerKind::kAdamW8Bit,
      "deepspeed keeps AdamW's moments in fp32; nearest: optimizer_state=fp32, or runtime=hf");
  problems.AddIf(setup.method == planner::Method::kFull && setup.trains_embeddings,
                 "full fine-tuning trains embeddings anyway");
}

void CheckCounts(const RunSetup& setup, Problems& problems) {
  const auto at_least_one = [&](std::string_view what, int64_t value) {
    problems.AddIf(value < 1, StrCat(what, " is ", value, ", must be at least 1"));
  };
  at_least_one("gpu_count", setup.gpu_count);
  at_least_one("context", setup.context);
  at_least_one("micro_batch", setup.micro_batch);
  at_least_one("accumulation_count", setup.accumulation_count);
  problems.AddIf(setup.zero_stage < 0 || setup.zero_stage > 3,
                 StrCat("zero_stage is ", setup.zero_stage, ", must be 0 to 3"));
}

std::string_view AttentionName(Attention attention) {
  constexpr std::array<std::string_view, 5> kNames = {"eager", "efficient", "flash", "masked",
                                                      "flash1"};
  return kNames[static_cast<size_t>(attention)];
}

std::string MethodText(const RunSetup& setup) {
  if (setup.method == planner::Method::kFull) return "full";
  constexpr std::array<std::string_view, 5> kSuffixes = {"", ":nf4", ":nf4-double", ":int8",
                                                         ":gptq4"};
  return StrCat("lora:r", setup.lora.rank, kSuffixes[static_cast<size_t>(setup.quantization)]);
}

std::string_view OffloadText(const RunSetup& setup) {
  if (setup.offload_parameters) return "optimizer+parameters";
  return setup.offload_optimizer ? "optimizer" : "none";
}

}  // namespace

std::string_view RuntimeName(Runtime runtime) {
  return kRuntimeNames[static_cast<size_t>(runtime)];
}

absl::StatusOr<Runtime> ParseRuntime(std::string_view name) {
  for (size_t i = 0; i < kRuntimeNames.size(); ++i) {
    if (EqualsIgnoreCase(name, kRuntimeNames[i])) return static_cast<Runtime>(i);
  }
  return absl::InvalidArgumentError(
      StrCat("no runtime '", name, "'; known: ", StrJoin(kRuntimeNames, ", ")));
}

int64_t MicroTokens(const RunSetup& setup) { return setup.context * setup.micro_batch; }

int64_t ShardCount(const RunSetup& setup, int64_t from_stage) {
  return setup.zero_stage >= from_stage ? setup.gpu_count : 1;
}

int64_t AdapterParameterCount(const RunSetup& setup) {
  if (setup.method == planner::Method::kFull) return 0;
  int64_t count = 0;
  const std::vector<LinearSize> linears = BlockLinears(setup.shape);
  for (size_t i = 0; i < linears.size(); ++i) {
    const bool targeted = (setup.lora.targets >> i & 1) != 0 && linears[i].rows > 0;
    if (targeted) count += setup.lora.rank * (linears[i].rows + linears[i].columns);
  }
  return count * setup.shape.layer_count;
}

int64_t TrainedParameterCount(const RunSetup& setup) {
  if (setup.method == planner::Method::kFull) return setup.shape.parameter_count;
  return AdapterParameterCount(setup) +
         (setup.trains_embeddings ? EmbeddingParameterCount(setup.shape) : 0);
}

absl::Status ValidateSetup(const RunSetup& setup) {
  Problems problems;
  CheckCounts(setup, problems);
  CheckDevice(setup, problems);
  CheckSharding(setup, problems);
  CheckMethod(setup, problems);
  return problems.ToStatus();
}

std::string FormatSetup(const RunSetup& setup) {
  return StrCat("runtime=", RuntimeName(setup.runtime), " method=", MethodText(setup),
                " zero_stage=", setup.zero_stage, " offload=", OffloadText(setup),
                " checkpointing=", setup.checkpointing ? "on" : "off",
                " attention=", AttentionName(setup.attention), " batch=", setup.micro_batch, "x",
                setup.accumulation_count, "x", setup.gpu_count);
}

}  // namespace tunesmith::runtimes
