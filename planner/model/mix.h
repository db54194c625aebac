#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// A mix: one complete choice of optimizations. Semantic axes say what is computed; placement axes say where and when, and never change
// the loss or the gradients. Axis names are spelled alike here, in the protos, in JSON and on the command line.
namespace tunesmith::planner {

// kQlora: LoRA on a base whose linear layers are stored in 4-bit NormalFloat.
enum class Method { kFull, kLora, kQlora };
inline constexpr int kMethodCount = 3;
// Dtype of weights, activations and of what GEMMs read.
enum class Precision { kFp32, kBf16 };
// How a gradient changes a weight. SGD is plain: no momentum, no state.
enum class Optimizer { kAdamW, kSgd };
// Dtype of AdamW's two moments. fp32 and int8 (a scale per block of elements) keep an fp32 master copy of bf16 weights; bf16 keeps none, and
// rounds moments and bf16 weights stochastically (docs/adr/0004).
enum class OptimizerState { kFp32, kBf16, kInt8 };
// Dtype in which gradients are summed over micro-batches.
enum class AccumulationDtype { kFp32, kBf16 };
// kCudnn: flash attention by cuDNN's engines, on GPUs in bf16 (docs/adr/0030); the project's own kernels run in their place where the library is missing.
enum class AttentionKernel { kEager, kFlash, kCudnn };
inline constexpr int kAttentionKernelCount = 3;
enum class LossKernel { kFull, kChunked };

// What is kept in the memory of the host, beside layers on the host rung. kOptimizer: states and updates, with a copy of trained weights and of their
// gradients. kAll: also all weights, which come to the device while their block runs.
enum class Offload { kNone, kOptimizer, kAll };

// What a block keeps between forward and backward, from most memory to least. Each rung drops what the one before drops, and more.
enum class Rung {
  kKeep,        // every tensor that backward reads
  kActivation,  // drop the product silu(gate) * up
  kNorms,       // also drop the outputs of both norms
  kGateUp,      // also drop gate and up
  kBlock,       // keep the block's input only
  kHost,        // keep the block's input only, in host memory
};
inline constexpr int kRungCount = 6;

// Bit set of the linear layers of a block that carry an adapter.
enum LoraTarget : uint32_t {
  kLoraQ = 1u << 0,
  kLoraK = 1u << 1,
  kLoraV = 1u << 2,
  kLoraO = 1u << 3,
  kLoraGate = 1u << 4,
  kLoraUp = 1u << 5,
  kLoraDown = 1u << 6,
  kLoraAttention = kLoraQ | kLoraK | kLoraV | kLoraO,
  kLoraAll = (1u << 7) - 1,
};

struct LoraSpec {
  int64_t rank = 16;
  double alpha = 32.0;  // the adapter's output is scaled by alpha / rank
  uint32_t targets = kLoraAll;
  bool rank_stabilized = false;  // scaled by alpha / sqrt(rank) instead (arXiv 2312.03732)
  double dropout = 0.0;          // share of the adapter's inputs that training drops, 0 to below 1

  bool operator==(const LoraSpec&) const = default;
};

// What an adapter's output is multiplied by.
double LoraScale(const LoraSpec& lora);

struct Mix {
  // Semantic axes.
  Method method = Method::kLora;
  LoraSpec lora = {};  // not read when method is kFull
  // kQlora: the magnitudes of blocks are quantized too, to 8 bits.
  bool double_quantization = true;
  Precision precision = Precision::kFp32;
  Optimizer optimizer = Optimizer::kAdamW;
  OptimizerState optimizer_state = OptimizerState::kFp32;
  AccumulationDtype accumulation_dtype = AccumulationDtype::kFp32;
  // Placement axes.
  int64_t zero_stage = 0;
  Offload offload = Offload::kNone;
  // With offload=optimizer, how many per cent of every shard's states, 1 to 100, the host keeps and updates, while the device updates the others
  // (arXiv 2101.06840, and DeepSpeed's "ratio"). 100 with any other offload.
  int64_t offload_percent = 100;
  // Blocks ahead of compute whose weights are gathered, where weights pass through slots (GathersWeights): 1, or 0 for one slot less and gathers that nothing hides.
  int64_t gather_depth = 1;
  // Layers per rung, summing to layer_count; the first layers take the last rungs.
  std::array<int64_t, kRungCount> recompute = {};
  AttentionKernel attention = AttentionKernel::kEager;
  LossKernel loss = LossKernel::kFull;
  int64_t mlp_tile_count = 1;
  // micro_batch x accumulation_count x data_parallel = rows per optimizer step.
  int64_t micro_batch = 1;         // rows of `context` tokens that are computed at once
  int64_t accumulation_count = 1;  // micro-batches per optimizer step and rank
  int64_t data_parallel = 1;       // parts of a step's rows that are computed at the same time
  // Ranks that compute a micro-batch together, each a slice of its tokens and, in attention, a share of its heads (planner/program/token_slice.h).
  int64_t sequence_parallel = 1;

  bool operator==(const Mix&) const = default;
};

// Of a job: data_parallel x sequence_parallel. Ranks of one micro-batch follow one another.
inline int64_t RankCount(const Mix& mix) { return mix.data_parallel * mix.sequence_parallel; }

// Whether whole weights are on the device only while their block runs: ranks share them, or the host keeps them.
bool GathersWeights(const Mix& mix);

// The least zero_stage of several ranks that goes with what they offload: they leave to their hosts what they share.
int64_t LeastZeroStage(Offload offload);

// The rung of layer `layer`. REQUIRES: recompute sums to the model's layer count.
Rung RungOfLayer(const Mix& mix, int64_t layer);

// One line, e.g. "method=lora:r16 zero_stage=0 recompute=block:30 attention=eager loss=chunked batch=4x8". Axes at their default value are
// printed too when a reader would want them; ParseMix(FormatMix(m)) == m
// for every m that passes ValidateMix, except that `lora` is not printed where the method does not read it.
//   method=full | lora:r<rank>[:a<alpha>][:rs][:d<dropout>][:<targets>] | qlora:...[:single]   rs: rank-stabilized; targets: "all", "attention"
//     or module letters joined by "+", as "q+v"; single: without double quantization
//   precision=fp32|bf16  optimizer=adamw|sgd  optimizer_state=fp32|bf16|int8  accumulation=fp32|bf16
//   zero_stage=0..3  offload=none|optimizer|all  offload_percent=1..100  gather_depth=0|1  recompute=<rung>:<layers>[,...]  attention=eager|flash|cudnn  loss=full|chunked  mlp_tiles=<n>
//   sequence_parallel=<ranks of a micro-batch>  batch=<micro>x<accumulation>[x<data ranks>]
std::string FormatMix(const Mix& mix);

// "data_parallel(2) x sequence_parallel(3)", for equations; without the second where it is 1.
std::string RanksText(const Mix& mix);

// Inverse of FormatMix; axes may come in any order and may be left out (their default stays). INVALID_ARGUMENT names the axis, the value and
// what would be accepted.
absl::StatusOr<Mix> ParseMix(std::string_view text);

// INVALID_ARGUMENT naming each axis that is out of range, or the equation that does not hold: "recompute: keep(10) + block(12) != layers(30)".
absl::Status ValidateMix(const Mix& mix, int64_t layer_count);

}  // namespace tunesmith::planner
