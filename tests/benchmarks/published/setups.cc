#include "tests/benchmarks/published/setups.h"

#include <cmath>

#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/mix.h"
#include "tests/benchmarks/published/model_names.h"

namespace tunesmith::published {
namespace {

using runtimes::Arithmetic;
using runtimes::Attention;
using runtimes::Loss;
using runtimes::Quantization;
using runtimes::RunSetup;
using runtimes::Runtime;
using runtimes::StackVersion;

bool Contains(std::string_view text, std::string_view part) {
  return ContainsIgnoreCase(text, part);
}

absl::Status OutOfScope(std::string_view why) { return absl::FailedPreconditionError(ToAbsl(why)); }

// Frameworks whose step is transformers' own blocks under PyTorch, driven by Trainer or a loop like it.
bool IsKnownStack(std::string_view framework) {
  for (const std::string_view known :
       {"hf transformers", "hf+", "hf + ", "hf trainer", "hf trl", "LLaMA-Factory", "axolotl",
        "xtuner+deepspeed", "composer+fsdp", "universal-llm-trainer (hf", "ms-swift (hf",
        "pytorch FSDP (fsdp_qlora"}) {
    if (Contains(framework, known)) return true;
  }
  return false;
}

absl::Status CheckScope(const Row& row) {
  const std::string& framework = row.Text("framework");
  if (!IsKnownStack(framework)) return OutOfScope(StrCat("stack not in runtimes/: ", framework));
  for (const std::string_view part : {"fp8", "float8", "mxfp8", "nvfp4"}) {
    if (Contains(row.Text("dtype"), part)) return OutOfScope("8-bit or 4-bit products");
  }
  for (const std::string_view axis : {"tp", "pp", "cp"}) {
    if (row.Number(axis).value_or(1) > 1) return OutOfScope("tensor, pipeline or context parallel");
  }
  const std::string& recompute = row.Text("grad_checkpoint");
  if (recompute.empty()) return OutOfScope("recompute not stated");
  if (recompute != "full" && recompute != "none")
    return OutOfScope("recompute of parts of a block");
  if (row.Text("seq_exact") != "exact") return OutOfScope("length not exact");
  for (const std::string_view column : {"n_gpus", "seq_len", "micro_batch"}) {
    if (!row.Number(column)) return OutOfScope(StrCat(column, " not stated"));
  }
  if (Contains(row.Text("offload"), "activation")) return OutOfScope("activations offloaded");
  return absl::OkStatus();
}

struct DeviceName {
  std::string_view published, known;
};
constexpr DeviceName kDevices[] = {{"A100-SXM4-40GB", "A100-40GB"},
                                   {"A100-40GB", "A100-40GB"},
                                   {"A100", "A100-80GB"},
                                   {"A800-80GB", "A100-80GB"},
                                   {"H100-PCIe", "H100-PCIe"},
                                   {"H100", "H100-SXM"},
                                   {"H200", "H200"},
                                   {"B200", "B200"},
                                   {"V100-SXM2-32GB", "V100-32GB"},
                                   {"V100-SXM2-16GB", "V100-16GB"},
                                   {"T4", "T4"},
                                   {"A10G", "A10G"},
                                   {"L40S", "L40S"},
                                   {"L4", "L4"},
                                   {"RTX3090", "RTX-3090"},
                                   {"RTX4090", "RTX-4090"},
                                   {"RTX4080", "RTX-4080"},
                                   {"RTX5090", "RTX-5090"},
                                   {"RTXA6000", "RTX-A6000"},
                                   {"RTXA5000", "RTX-A5000"},
                                   {"A6000", "RTX-A6000"},
                                   {"A5000", "RTX-A5000"},
                                   {"RTXPRO6000", "RTX-PRO-6000"}};

absl::StatusOr<planner::Hardware> DeviceOf(const Row& row) {
  const std::string& gpu = row.Text("gpu");
  for (const DeviceName& device : kDevices) {
    if (std::string_view(gpu).substr(0, device.published.size()) == device.published)
      return planner::FindHardware(device.known);
  }
  return OutOfScope(StrCat("device not in the catalog: ", gpu.empty() ? "not stated" : gpu));
}

// "bnb-nf4" of fms-acceleration is loaded with double quantization (its plugin's default); fitcheck's says that it is not.
absl::StatusOr<Quantization> QuantizationOf(const Row& row) {
  const std::string& quant = row.Text("quant");
  if (quant.empty() || quant == "none") return Quantization::kNone;
  if (Contains(quant, "gptq-int4")) return Quantization::kGptq4;
  if (Contains(quant, "int8")) return Quantization::kInt8;
  if (quant == "bnb-nf4-dq" ||
      (quant == "bnb-nf4" && Contains(row.Text("framework"), "fms-hf-tuning")))
    return Quantization::kNf4Double;
  if (Contains(quant, "nf4")) return Quantization::kNf4;
  return OutOfScope(StrCat("quantization not in runtimes/: ", quant));
}

// Targets as transformers' models name them. c_attn holds q, k and v; c_proj is the output of attention and of the MLP.
absl::StatusOr<uint32_t> TargetsOf(const Row& row, const runtimes::ModelShape& shape) {
  struct Name {
    std::string_view published;
    uint32_t targets;
  };
  constexpr Name kNames[] = {
      {"q_proj", planner::kLoraQ},       {"k_proj", planner::kLoraK},
      {"v_proj", planner::kLoraV},       {"o_proj", planner::kLoraO},
      {"gate_proj", planner::kLoraGate}, {"up_proj", planner::kLoraUp},
      {"down_proj", planner::kLoraDown}, {"query_key_value", planner::kLoraQ},
      {"W_pack", planner::kLoraQ},       {"w1", planner::kLoraUp},
      {"w2", planner::kLoraGate}};
  uint32_t targets = 0;
  const std::string& text = row.Text("lora_targets");
  for (const std::string_view part : StrSplitSkipEmpty(text, ", ")) {
    for (const Name& name : kNames) {
      // A model with one layer for q, k and v has no q_proj.
      const bool attention =
          (name.targets & planner::kLoraAttention) != 0 && name.published.substr(1, 1) == "_";
      if (part == name.published && !(attention && shape.fused_qkv)) targets |= name.targets;
    }
    if (part == "c_attn" && shape.fused_qkv) targets |= planner::kLoraQ;
    if (part == "c_proj") targets |= planner::kLoraO | planner::kLoraDown;
    if (Contains(part, "all")) targets |= planner::kLoraAll;
  }
  if (targets == 0) return OutOfScope("LoRA targets not stated");
  return targets;
}

absl::Status ReadMethod(const Row& row, RunSetup& setup) {
  const std::string& method = row.Text("method");
  if (method == "full") {
    setup.method = planner::Method::kFull;
    return absl::OkStatus();
  }
  if (method != "lora" && method != "qlora")
    return OutOfScope(StrCat("method not in runtimes/: ", method));
  if (!row.Number("lora_rank")) return OutOfScope("LoRA rank not stated");
  setup.method = planner::Method::kLora;
  setup.lora.rank = std::llround(*row.Number("lora_rank"));
  TUNESMITH_ASSIGN_OR_RETURN(setup.lora.targets, TargetsOf(row, setup.shape));
  TUNESMITH_ASSIGN_OR_RETURN(setup.quantization, QuantizationOf(row));
  // Qwen's base models are trained with embedding and head (finetune.py: modules_to_save unless the name says chat).
  setup.trains_embeddings = Contains(row.Text("notes"), "modules_to_save");
  return absl::OkStatus();
}

absl::Status ReadSharding(const Row& row, RunSetup& setup) {
  const std::string& stage = row.Text("zero_stage");
  const bool deepspeed = stage == "1" || stage == "2" || stage == "3";
  const bool fsdp = stage == "fsdp-full";
  if (!deepspeed && !fsdp && stage != "0")
    return OutOfScope(StrCat("sharding not stated: '", stage, "'"));
  if (deepspeed) setup.runtime = Runtime::kDeepSpeed;
  if (fsdp) setup.runtime = Runtime::kFsdp;
  setup.zero_stage = fsdp ? 3 : std::stoll(stage);
  const std::string& offload = row.Text("offload");
  setup.offload_optimizer = Contains(offload, "optimizer");
  setup.offload_parameters = Contains(offload, "param");
  return absl::OkStatus();
}

void ReadPrecision(const Row& row, RunSetup& setup) {
  const std::string& dtype = row.Text("dtype");
  const bool fms = Contains(row.Text("framework"), "fms-hf-tuning");
  setup.half_is_fp16 = Contains(dtype, "fp16");
  if (Contains(dtype, "pure")) setup.arithmetic = Arithmetic::kPure;
  // Weights loaded in 16 bits stay so under autocast, except that accelerate upcasts what FSDP trains.
  if (Contains(dtype, "bf16 weights") && setup.runtime != Runtime::kFsdp)
    setup.arithmetic = Arithmetic::kPure;
  if (Contains(row.Text("framework"), "fsdp_qlora")) setup.adapters_in_fp32 = false;
  if (Contains(dtype, "rest fp32")) setup.computes_in_fp32 = setup.head_in_fp32 = true;

  const bool bits = setup.quantization == Quantization::kNf4 ||
                    setup.quantization == Quantization::kNf4Double ||
                    setup.quantization == Quantization::kInt8;
  const bool own_loop = Contains(row.Text("framework"), "fsdp_qlora");
  if (!bits || setup.computes_in_fp32 || setup.runtime == Runtime::kFsdp || own_loop) return;
  // fms-acceleration's own plugin leaves preparation out; its baseline calls it, on weights that stay 16 bits.
  setup.prepared_for_kbit =
      !fms || Contains(row.Text("notes"), "framework_config=baseline-peft-bnb");
  setup.head_in_fp32 = setup.prepared_for_kbit && !fms;
}

void ReadKernels(const Row& row, RunSetup& setup) {
  const std::string& attention = row.Text("attention");
  const bool old_device = setup.hardware.compute_capability < 80;
  setup.attention = old_device ? Attention::kEfficient : Attention::kFlash;
  if (attention == "eager") setup.attention = Attention::kEager;
  if (attention == "flash" && !old_device) setup.attention = Attention::kFlashOne;
  // This trainer hands sdpa a mask.
  if (Contains(row.Text("framework"), "universal-llm-trainer"))
    setup.attention = Attention::kMasked;

  const std::string& notes = row.Text("notes");
  const bool foak = Contains(notes, "foak-fast-kernels") || Contains(notes, "-foak");
  const bool liger = (Contains(notes, "framework_config=") && Contains(notes, "-liger")) ||
                     Contains(notes, "Liger fused CE") || Contains(notes, "Liger on");
  setup.fused_kernels = foak || liger;
  setup.fused_dequantization = Contains(notes, "accelerated-peft-autogptq");
  if (foak) setup.loss = Loss::kTriton;
  if (liger) setup.loss = Loss::kFusedLinear;
  if (Contains(row.Text("framework"), "universal-llm-trainer")) setup.loss = Loss::kCompact;
  // fms-acceleration measured its first table before transformers 4.45, the one with Liger after.
  const bool later = !Contains(row.Text("source"), "refs/a100_80gb.csv");
  if (Contains(notes, "torch 2.13"))
    setup.version = StackVersion::kTorch213;
  else
    setup.version = later ? StackVersion::kTransformers448 : StackVersion::kTransformers444;

  // Its full fine-tuning of 8.19e9 parameters on 80 GB leaves no room for the foreach kind's temporary.
  if (Contains(row.Text("framework"), "universal-llm-trainer"))
    setup.optimizer = runtimes::OptimizerKind::kAdamWFused;
  const std::string& optimizer = row.Text("optimizer");
  if (Contains(optimizer, "8bit")) setup.optimizer = runtimes::OptimizerKind::kAdamW8Bit;
  if (Contains(optimizer, "fused")) setup.optimizer = runtimes::OptimizerKind::kAdamWFused;
}

}  // namespace

absl::StatusOr<RunSetup> SetupOfRow(const Row& row) {
  TUNESMITH_RETURN_IF_ERROR(CheckScope(row));
  RunSetup setup;
  const auto shape = runtimes::FindShape(KnownModelName(row.Text("model")));
  if (!shape.ok()) return OutOfScope(StrCat("model not dense or not known: ", row.Text("model")));
  setup.shape = *shape;
  TUNESMITH_ASSIGN_OR_RETURN(setup.hardware, DeviceOf(row));
  setup.gpu_count = std::llround(*row.Number("n_gpus"));
  setup.context = std::llround(*row.Number("seq_len"));
  setup.micro_batch = std::llround(*row.Number("micro_batch"));
  setup.accumulation_count = std::llround(row.Number("grad_accum").value_or(1));
  setup.checkpointing = row.Text("grad_checkpoint") == "full";
  TUNESMITH_RETURN_IF_ERROR(ReadMethod(row, setup));
  TUNESMITH_RETURN_IF_ERROR(ReadSharding(row, setup));
  ReadPrecision(row, setup);
  ReadKernels(row, setup);
  if (const absl::Status valid = runtimes::ValidateSetup(setup); !valid.ok()) {
    return OutOfScope(StrCat("not a mix of runtimes/: ", std::string(valid.message())));
  }
  return setup;
}

}  // namespace tunesmith::published
