#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/model/hardware.h"
#include "planner/model/mix.h"
#include "runtimes/shape.h"

// One run of a training stack that people use today, in that stack's own axes. Plain data.
namespace tunesmith::runtimes {

// Who shards and drives the step. kHuggingFace is Trainer (or a loop like it) with PEFT on one GPU, or on several with DDP.
enum class Runtime { kHuggingFace, kDeepSpeed, kFsdp };
inline constexpr std::array<std::string_view, 3> kRuntimeNames = {"hf", "deepspeed", "fsdp"};
std::string_view RuntimeName(Runtime runtime);
// INVALID_ARGUMENT naming the ones that there are.
absl::StatusOr<Runtime> ParseRuntime(std::string_view name);

enum class Quantization { kNone, kNf4, kNf4Double, kInt8, kGptq4 };

// How full fine-tuning keeps what it trains.
//   kMixed       fp32 weights and gradients, products under autocast; DeepSpeed: 16-bit weights and gradients, fp32 masters
//   kPure        weights, gradients and AdamW's moments in 16 bits (from_pretrained(torch_dtype=...) without autocast)
//   kFp32        everything in fp32
enum class Arithmetic { kMixed, kPure, kFp32 };

// How attention is computed.
//   kEager       scores in memory
//   kEfficient   PyTorch's memory-efficient kernel: what sdpa is on V100 and T4
//   kFlash       FlashAttention-2 or -3, or sdpa's flash kernel: sm_80 and later
//   kMasked      sdpa with an explicit mask, which rules the flash kernel out
//   kFlashOne    FlashAttention-1 or its Triton kernel (2022 to mid 2023)
enum class Attention { kEager, kEfficient, kFlash, kMasked, kFlashOne };

// How the loss is computed from the last hidden states.
//   kUpcast      transformers up to 4.44: all logits upcast to fp32, then PyTorch's cross-entropy
//   kCompact     a loop that keeps 16-bit logits and forms the fp32 ones in place
//   kTriton      a Triton cross-entropy over whole logits (fms-acceleration "foak")
//   kFusedLinear head and loss in one kernel, chunk by chunk (Liger): no logits
enum class Loss { kUpcast, kCompact, kTriton, kFusedLinear };

// PyTorch's AdamW is the foreach kind unless the fused kind is asked for.
enum class OptimizerKind { kAdamW, kAdamWFused, kAdamW8Bit };

// Versions whose allocations were looked at.
//   kTransformers444   transformers 4.37 to 4.44 with torch 2.1 to 2.4
//   kTransformers448   transformers 4.45 to 4.48 with torch 2.4 to 2.6
//   kTorch213          torch 2.13 (2026)
enum class StackVersion { kTransformers444, kTransformers448, kTorch213 };

struct RunSetup {
  ModelShape shape = {};
  planner::Hardware hardware = {};
  Runtime runtime = Runtime::kHuggingFace;
  StackVersion version = StackVersion::kTransformers448;
  bool version_known = true;  // else intervals are wider
  int64_t gpu_count = 1;
  int64_t gpus_per_node = 8;
  double network_bytes_per_second = 8 * 25e9;  // of a node: a card of 200 Gbit/s for each of 8 GPUs

  planner::Method method = planner::Method::kLora;
  planner::LoraSpec lora = {};
  bool adapters_in_fp32 = true;    // PEFT's autocast_adapter_dtype
  bool trains_embeddings = false;  // modules_to_save: embedding and head, with LoRA
  Quantization quantization = Quantization::kNone;
  bool prepared_for_kbit =
      false;  // prepare_model_for_kbit_training: fp32 norms, residual stream in fp32
  bool head_in_fp32 = false;  // and it reached embedding and head
  Arithmetic arithmetic = Arithmetic::kMixed;
  bool half_is_fp16 = false;      // fp16 where there is no bf16
  bool computes_in_fp32 = false;  // bitsandbytes' default compute dtype: products in fp32

  int64_t zero_stage = 0;  // FSDP: 3 is FULL_SHARD, 2 is SHARD_GRAD_OP, 0 is NO_SHARD
  bool offload_optimizer = false;
  bool offload_parameters = false;
  bool checkpointing = false;  // every block, activations recomputed in backward
  Attention attention = Attention::kFlash;
  Loss loss = Loss::kUpcast;
  bool fused_kernels = false;         // norms, rotary positions and adapters in Triton kernels
  bool fused_dequantization = false;  // GPTQ unpacked by a Triton kernel instead of PyTorch ops
  OptimizerKind optimizer = OptimizerKind::kAdamW;

  int64_t context = 0;  // tokens per row, all filled
  int64_t micro_batch = 1;
  int64_t accumulation_count = 1;
  double epoch_count = 1;  // passes over the data set
};

// Tokens that one GPU computes at once.
int64_t MicroTokens(const RunSetup& setup);

// GPUs over which `shares` are split: gpu_count from stage `from_stage` on, else 1.
int64_t ShardCount(const RunSetup& setup, int64_t from_stage);

// Parameters of the adapters, all blocks; 0 for full fine-tuning.
int64_t AdapterParameterCount(const RunSetup& setup);

// Parameters that are trained: all, or adapters and embeddings that LoRA trains along.
int64_t TrainedParameterCount(const RunSetup& setup);

// What the stack cannot do, all of it, each with what comes nearest ("fsdp shards gradients too; nearest: zero_stage=2 (SHARD_GRAD_OP)"). OK otherwise.
absl::Status ValidateSetup(const RunSetup& setup);

// One line: "runtime=deepspeed method=lora:r16 zero_stage=2 offload=none checkpointing=on attention=flash batch=4x8x1".
std::string FormatSetup(const RunSetup& setup);

}  // namespace tunesmith::runtimes
