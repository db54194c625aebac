// Passes over a block: forward 1, recomputation 1, gradient of inputs 1, gradient of weights 1 where they are trained. Attention's backward is
// 2.5 forwards (it forms the scores again). An elementwise kernel's backward reads and writes about twice what its forward does.
//
// Elementwise bytes per token of a block, forward, 16-bit stream:
//   RMSNorm     eager 32h (fp32 copy, square, mean, product, cast, weight, each read and written); in one kernel 4h. Two of them.
//   LayerNorm   one kernel, 4h
//   rotary      eager 18 (a + k) d (two products, a rotated copy, a sum); in one kernel 4
//   residual    two sums of 6h
//   MLP         gated 10f (silu 4, product 6), in one kernel 6f; plain 8f
//   adapter     in fp32: cast and read of the input 10, products, scale and sum of the output 22; in 16 bits 2 and 8
// The loss moves about 30 bytes per logit (the copies of block.cc, read and written).
#include "runtimes/work.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;

double Count(int64_t count) { return static_cast<double>(count); }

double BlockPasses(const RunSetup& setup) {
  return 2 + (setup.checkpointing ? 1 : 0) + (setup.method == Method::kFull ? 1 : 0);
}

double GemmFlops(const RunSetup& setup, double tokens) {
  const ModelShape& shape = setup.shape;
  const double head = Count(shape.vocab_size) * Count(shape.hidden_size);
  const bool trains_head = setup.method == Method::kFull || setup.trains_embeddings;
  return 2 * tokens *
         (BlockPasses(setup) * Count(LinearParameterCount(shape)) + (trains_head ? 3 : 2) * head);
}

double AttentionFlops(const RunSetup& setup, double tokens) {
  const ModelShape& shape = setup.shape;
  const double forward =
      2 * Count(setup.context) * Count(shape.head_count) * Count(shape.head_size);
  return tokens * Count(shape.layer_count) * forward * (3.5 + (setup.checkpointing ? 1 : 0));
}

double BlockElementwiseBytes(const RunSetup& setup) {
  const ModelShape& shape = setup.shape;
  const double h = Count(shape.hidden_size), f = Count(shape.intermediate_size);
  const double rotated = Count(shape.head_count + shape.kv_head_count) * Count(shape.head_size);
  const bool one_kernel = setup.fused_kernels;
  const double norms = 2 * (shape.rms_norm && !one_kernel ? 32 : 4) * h;
  const double rotary = shape.rotary ? (one_kernel ? 4 : 18) * rotated : 0;
  const double mlp = shape.gated_mlp ? (one_kernel ? 6 : 10) * f : 8 * f;
  return norms + rotary + 12 * h + mlp;
}

double AdapterElementwiseBytes(const RunSetup& setup) {
  if (setup.method == Method::kFull) return 0;
  const double in = setup.adapters_in_fp32 ? 10 : 2, out = setup.adapters_in_fp32 ? 22 : 8;
  const std::vector<LinearSize> linears = BlockLinears(setup.shape);
  double bytes = 0;
  for (size_t i = 0; i < linears.size(); ++i) {
    if ((setup.lora.targets >> i & 1) != 0)
      bytes += in * Count(linears[i].columns) + out * Count(linears[i].rows);
  }
  return bytes;
}

// Eager attention reads and writes its scores some ten times, fp32 in part, in forward and twice that in backward.
double ScoreBytes(const RunSetup& setup) {
  if (setup.attention != Attention::kEager) return 0;
  return 24 * Count(setup.shape.head_count) * Count(setup.context);
}

double ElementwiseBytes(const RunSetup& setup, double tokens) {
  const double block =
      BlockElementwiseBytes(setup) + AdapterElementwiseBytes(setup) + ScoreBytes(setup);
  const double passes = 3 + (setup.checkpointing ? 1 : 0);
  const double width = setup.computes_in_fp32 ? 2 : 1;
  const double loss = setup.loss == Loss::kFusedLinear ? 0 : 30 * Count(setup.shape.vocab_size);
  return tokens * (Count(setup.shape.layer_count) * block * passes * width + loss);
}

// Bytes moved per quantized weight and use: bitsandbytes reads 0.5 and writes 2 in one kernel. AutoGPTQ unpacks in PyTorch (shift, mask, scale):
// 11 measured (Qwen README, Int4 against bf16 at 8,192 tokens), its Triton kernel 2.5 (fms-acceleration).
double DequantizationBytes(const RunSetup& setup) {
  double bytes = 0;
  if (setup.quantization == Quantization::kGptq4) bytes = setup.fused_dequantization ? 2.5 : 11;
  if (setup.quantization == Quantization::kNf4 || setup.quantization == Quantization::kNf4Double)
    bytes = 2.5;
  if (setup.quantization == Quantization::kInt8) bytes = 3;
  return bytes * Count(LinearParameterCount(setup.shape)) * BlockPasses(setup);
}

}  // namespace

MicroWork WorkOf(const RunSetup& setup) {
  const double tokens = Count(MicroTokens(setup));
  return {.gemm_flops = GemmFlops(setup, tokens),
          .attention_flops = AttentionFlops(setup, tokens),
          .elementwise_bytes = ElementwiseBytes(setup, tokens),
          .dequantization_bytes = DequantizationBytes(setup)};
}

}  // namespace tunesmith::runtimes
