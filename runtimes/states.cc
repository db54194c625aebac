// Bytes per trained parameter, w weights, g gradients, o optimizer, t temporary of the step:
//
//   PyTorch AdamW, pure 16 bit     w 2  g 2  o 4  t 2 (foreach; none when fused)     Mistral-7B: 10 P measured to 0.03 % (fms-acceleration)
//   PyTorch AdamW under autocast   w 4  g 4  o 8  t 4                                20 P / N measured (fms-acceleration, FSDP; accelerate upcasts)
//   DeepSpeed 16 bit               w 2  g 2  o 12 (fp32 master, two moments)  t 4 for the sub-group in work (fp32 gradients, at most 1e9)
//   adapters in fp32               w 4  g 4  o 8  t 4, or o 2 with 8-bit moments
//
// Frozen weights: 2, NF4 0.5 + 4/64 = 0.5625, with double quantization 0.5 + 1/64 + 4/(64 x 256) = 0.5159, GPTQ with groups of 128: 0.5 + 2/128
// (scales) + 0.5/128 (zeros) = 0.5195, int8 1.
#include "runtimes/states.h"

#include <algorithm>

namespace tunesmith::runtimes {
namespace {

using planner::Method;

// DeepSpeed's defaults, in elements (docs/_pages/config-json.md): stage3_max_live_parameters, sub_group_size, reduce_bucket_size.
constexpr double kMaxLiveParameters = 1e9;
constexpr double kSubGroupParameters = 1e9;
constexpr double kBucketParameters = 5e8;

double Count(int64_t count) { return static_cast<double>(count); }

struct TrainedBytes {
  double weight, gradient, optimizer, temporary;
};

double MomentBytes(const RunSetup& setup, double plain) {
  return setup.optimizer == OptimizerKind::kAdamW8Bit ? 2 : plain;
}

TrainedBytes FullBytes(const RunSetup& setup) {
  if (setup.runtime == Runtime::kDeepSpeed) return {2, 2, 12, 0};
  const bool pure = setup.arithmetic == Arithmetic::kPure;
  const double width = pure ? 2 : 4;
  const bool foreach = setup.optimizer == OptimizerKind::kAdamW;
  return {width, width, MomentBytes(setup, 2 * width), foreach ? width : 0};
}

TrainedBytes AdapterBytes(const RunSetup& setup) {
  if (setup.runtime == Runtime::kDeepSpeed) return {2, 2, 12, 4};
  if (setup.adapters_in_fp32) return {4, 4, MomentBytes(setup, 8), 4};
  return {2, 2, MomentBytes(setup, 4), 2};
}

double FrozenBytes(const RunSetup& setup) {
  const double linear = Count(LinearParameterCount(setup.shape));
  const double rest = Count(setup.shape.parameter_count) - linear;
  const double rest_width = setup.head_in_fp32 || setup.computes_in_fp32 ? 4 : 2;
  return linear * LinearWeightBytes(setup) + rest * rest_width;
}

double LayerParameters(const RunSetup& setup) {
  return Count(LinearParameterCount(setup.shape)) / Count(setup.shape.layer_count);
}

// FSDP gathers the root unit (embedding and head, which it holds from forward to the end of backward) and one block at a time.
double FsdpWindow(const RunSetup& setup) {
  return 2 * Count(EmbeddingParameterCount(setup.shape)) +
         LayerParameters(setup) * LinearWeightBytes(setup);
}

// Stage 3 keeps what it gathered until max_live_parameters; embedding and head come whole, and when trained so do their gradients. Gradients
// leave through two buckets.
double DeepSpeedWindow(const RunSetup& setup) {
  const double trained = Count(TrainedParameterCount(setup));
  const double buckets = setup.zero_stage == 0 ? 0 : 2 * 2 * std::min(kBucketParameters, trained);
  if (setup.zero_stage < 3) return buckets;
  const double embeddings = 2 * Count(EmbeddingParameterCount(setup.shape));
  const bool full = setup.method == Method::kFull;
  return buckets + 2 * std::min(kMaxLiveParameters, Count(setup.shape.parameter_count)) +
         embeddings * (full ? 2 : 1);
}

// Several GPUs without sharding: DistributedDataParallel's buckets hold every gradient once more.
double Window(const RunSetup& setup, double gradient_bytes) {
  const bool whole = setup.zero_stage < 3;
  switch (setup.runtime) {
    case Runtime::kDeepSpeed:
      return DeepSpeedWindow(setup);
    case Runtime::kFsdp:
      if (setup.gpu_count > 1 && !whole) return FsdpWindow(setup);
      break;
    case Runtime::kHuggingFace:
      break;
  }
  return setup.gpu_count > 1 && setup.zero_stage == 0 ? gradient_bytes : 0;
}

double OptimizerTemporary(const RunSetup& setup, double trained, double bytes) {
  if (setup.runtime != Runtime::kDeepSpeed) return trained * bytes;
  return setup.offload_optimizer ? 0 : 4 * std::min(trained, kSubGroupParameters);
}

// transformers' Trainer accumulates under no_sync, where FSDP leaves gradients whole, in 16 bits, until the last micro-batch (fms-acceleration, Mistral-7B in full on 2, 4 and 8
// GPUs: 6 P / N + 2 P + 2.4 to 2.8 GiB).
double WholeGradientBytes(const RunSetup& setup, double trained) {
  const bool accumulates = setup.runtime == Runtime::kFsdp && setup.gpu_count > 1 &&
                           setup.zero_stage > 0 && setup.accumulation_count > 1;
  return accumulates && setup.method == Method::kFull ? 2 * trained : 0;
}

// Embedding and head that LoRA trains along (modules_to_save) are copies in the model's 16 bits, with 16-bit gradients and moments: 10 bytes at the
// step (Qwen README, base models against chat models).
void AddTrainedEmbeddings(const RunSetup& setup, double weight_share, double gradient_share,
                          double optimizer_share, StateBytes& state) {
  if (setup.method == Method::kFull || !setup.trains_embeddings) return;
  const double count = Count(EmbeddingParameterCount(setup.shape));
  state.weights += 2 * count * weight_share;
  state.gradients += 2 * count * gradient_share;
  state.optimizer += 4 * count * optimizer_share;
  state.optimizer_temporary += 2 * count * optimizer_share;
}

}  // namespace

double LinearWeightBytes(const RunSetup& setup) {
  switch (setup.quantization) {
    case Quantization::kNf4:
      return 0.5 + 4.0 / 64;
    case Quantization::kNf4Double:
      return 0.5 + 1.0 / 64 + 4.0 / (64 * 256);
    case Quantization::kGptq4:
      return 0.5 + 2.5 / 128;
    case Quantization::kInt8:
      return 1;
    case Quantization::kNone:
      break;
  }
  return setup.arithmetic == Arithmetic::kFp32 ? 4 : 2;
}

StateBytes StateBytesPerGpu(const RunSetup& setup) {
  const bool full = setup.method == Method::kFull;
  const TrainedBytes bytes = full ? FullBytes(setup) : AdapterBytes(setup);
  const double trained = Count(full ? setup.shape.parameter_count : AdapterParameterCount(setup));
  const double weight_share = 1 / Count(ShardCount(setup, 3));
  const double gradient_share = 1 / Count(ShardCount(setup, 2));
  const double optimizer_share = 1 / Count(ShardCount(setup, 1));

  StateBytes state;
  state.weights = (trained * bytes.weight + (full ? 0 : FrozenBytes(setup))) * weight_share;
  state.gradients = trained * bytes.gradient * gradient_share;
  state.whole_gradients = WholeGradientBytes(setup, trained);
  state.optimizer = trained * bytes.optimizer * optimizer_share;
  state.optimizer_temporary = OptimizerTemporary(setup, trained * optimizer_share, bytes.temporary);
  AddTrainedEmbeddings(setup, weight_share, gradient_share, optimizer_share, state);
  state.window = Window(setup, trained * bytes.gradient);
  if (full && setup.runtime != Runtime::kDeepSpeed) {
    state.early_gradients =
        2 * (Count(EmbeddingParameterCount(setup.shape)) + LayerParameters(setup));
  }
  if (setup.offload_optimizer) state.host += state.optimizer, state.optimizer = 0;
  if (setup.offload_optimizer && setup.runtime == Runtime::kFsdp) {
    state.host += state.gradients;
    state.gradients = 0;
    state.optimizer_temporary = 0;
  }
  if (setup.offload_parameters) state.host += state.weights, state.weights = 0;
  return state;
}

}  // namespace tunesmith::runtimes
