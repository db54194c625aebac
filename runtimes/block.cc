// A block, bytes per token, h hidden, a heads, k KV heads, d head size, f MLP width, s context, 16-bit activations:
//
//   mlp      gate 2f, up 2f, silu(gate) 2f; their product 2f where down_proj's input is needed (full, or LoRA on the MLP). Without a gate: 4f, 6f.
//            After prepare_model_for_kbit_training the residual stream is fp32, and the 4-bit linears return what they were given: gate, up,
//            silu, product in fp32 (16f), and the product cast for down_proj (2f).
//   heads    q 2ad, k and v 4kd, output 2ad, log-sum-exp 4a
//   norms    eager RMSNorm: the fp32 copy and the normalized one, 4h each; full fine-tuning keeps the 16-bit input of weights too (8h for both
//            norms), LoRA on the MLP 2h. In one kernel: 2h, and 4h where a weight is trained.
//   casts    PEFT's adapters are fp32 and cast what they read: 4 bytes for each input of a wrapped linear
//   scores   eager attention only
#include "runtimes/block.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;

struct Sizes {
  double h, a, k, d, f, s;
};
Sizes SizesOf(const RunSetup& setup) {
  const ModelShape& shape = setup.shape;
  return {static_cast<double>(shape.hidden_size),       static_cast<double>(shape.head_count),
          static_cast<double>(shape.kv_head_count),     static_cast<double>(shape.head_size),
          static_cast<double>(shape.intermediate_size), static_cast<double>(setup.context)};
}

bool AdaptsMlp(const RunSetup& setup) {
  constexpr uint32_t kMlp = planner::kLoraGate | planner::kLoraUp | planner::kLoraDown;
  return setup.method == Method::kLora && (setup.lora.targets & kMlp) != 0;
}
bool ReadsMlpInputs(const RunSetup& setup) {
  return setup.method == Method::kFull || AdaptsMlp(setup);
}

double MlpBytes(const RunSetup& setup, const Sizes& n) {
  if (!setup.shape.gated_mlp) return (ReadsMlpInputs(setup) ? 6 : 4) * n.f;
  if (setup.prepared_for_kbit) return 18 * n.f;
  return (ReadsMlpInputs(setup) ? 8 : 6) * n.f;
}

double NormBytes(const RunSetup& setup, const Sizes& n) {
  const bool eager = setup.shape.rms_norm && !setup.fused_kernels;
  if (!eager) return 2 * n.h + (ReadsMlpInputs(setup) ? 4 * n.h : 0);
  if (setup.method == Method::kFull) return 16 * n.h;
  return (AdaptsMlp(setup) ? 10 : 8) * n.h;
}

// q, k and v read the same norm's output, gate and up the other's; PEFT casts it anew for each of them.
double CastBytes(const RunSetup& setup) {
  if (setup.method == Method::kFull || !setup.adapters_in_fp32 || setup.computes_in_fp32) return 0;
  const std::vector<LinearSize> linears = BlockLinears(setup.shape);
  double columns = 0;
  for (size_t i = 0; i < linears.size(); ++i) {
    if ((setup.lora.targets >> i & 1) != 0) columns += static_cast<double>(linears[i].columns);
  }
  return 4 * columns;
}

// Eager attention, bytes per score. Kept without checkpointing: the fp32 softmax and its 16-bit copy. In a live block: products, mask added, softmax,
// copy and the gradients of those; with fp32 heads (k-bit) more of them are fp32. Measured on T4 (fitcheck 047 and 068; 046): 15 and 18.
double ScoreBytes(const RunSetup& setup, const Sizes& n) {
  if (setup.attention != Attention::kEager) return 0;
  const double live = setup.prepared_for_kbit ? 18 : 15;
  return (setup.checkpointing ? live : 6) * n.a * n.s;
}

}  // namespace

BlockBytes BlockBytesPerToken(const RunSetup& setup) {
  const Sizes n = SizesOf(setup);
  const double heads = 4 * n.a * n.d + 4 * n.k * n.d + 4 * n.a;
  const double width = setup.computes_in_fp32 || setup.arithmetic == Arithmetic::kFp32 ? 2 : 1;
  BlockBytes bytes;
  bytes.input = (setup.prepared_for_kbit ? 4 : 2 * width) * n.h;
  bytes.kept = width * (MlpBytes(setup, n) + heads + NormBytes(setup, n)) + CastBytes(setup) +
               ScoreBytes(setup, n);
  // d(product), d(gate), d(up) and the gradient of the residual stream. With torch 2.13 they take the place of what was read last: the whole
  // is no more than what is kept (ml-engineering: 457 KB a token of which 2hL are 262, ZeRO-3 of Llama-3.1-8B, kept 201).
  const bool in_place = setup.version == StackVersion::kTorch213;
  bytes.backward = bytes.kept + (in_place ? 0 : width * (6 * n.f + 2 * n.h));
  return bytes;
}

namespace {

// Bytes per logit. Counted from what transformers, Triton or PyTorch keep of them at once.
double BytesPerLogit(const RunSetup& setup, bool fp32) {
  const bool full = setup.method == Method::kFull;
  // Without autocast cross-entropy stays in 16 bits: pure full fine-tuning, and DeepSpeed, which casts the model itself.
  const bool pure =
      (full && setup.arithmetic == Arithmetic::kPure) || setup.runtime == Runtime::kDeepSpeed;
  const bool upcast = setup.shape.upcasts_logits;
  switch (setup.loss) {
    case Loss::kFusedLinear:
      return 0;
    case Loss::kTriton:
      // Logits, the upcast copy and the gradient, some freed early: fms-acceleration's tables, 10 with transformers 4.44 and 8 with 4.48. Without
      // the model's own upcast 6, or 14 where autocast turns cross-entropy into fp32 (santacoder).
      if (!upcast) return pure ? 6 : 14;
      return setup.version == StackVersion::kTransformers444 ? 10 : 8;
    case Loss::kCompact:
      // Logits, log-softmax and gradient in the logits' type; autocast turns the latter two into fp32 ones.
      if (fp32) return 12;
      return full && setup.arithmetic == Arithmetic::kMixed ? 10 : 6;
    case Loss::kUpcast:
      break;
  }
  // Logits, shifted copy, log-softmax, gradient: four fp32 ones, or 2 + 3 x 4. Without an upcast four of 2, or 18 under autocast.
  if (fp32) return 16;
  if (!upcast) return pure ? 8 : 18;
  return 14;
}

// What is made of the last hidden states themselves.
double BytesPerHidden(const RunSetup& setup, bool fp32) {
  if (setup.loss == Loss::kFusedLinear) return 4;
  if (!setup.shape.upcasts_logits || (fp32 && setup.loss == Loss::kUpcast)) return 8;
  return setup.loss == Loss::kTriton ? 4 : 6;
}

}  // namespace

double LossBytesPerToken(const RunSetup& setup) {
  const bool fp32 =
      setup.head_in_fp32 || setup.computes_in_fp32 || setup.arithmetic == Arithmetic::kFp32;
  // The tanh's output is kept for its backward.
  const double cap =
      setup.shape.soft_capped_logits && setup.loss != Loss::kFusedLinear ? (fp32 ? 4 : 2) : 0;
  return (BytesPerLogit(setup, fp32) + cap) * static_cast<double>(setup.shape.vocab_size) +
         BytesPerHidden(setup, fp32) * static_cast<double>(setup.shape.hidden_size);
}

double MaskBytes(const RunSetup& setup) {
  if (setup.attention != Attention::kEager) return 0;
  // A 16-bit mask s x s for each row; after k-bit preparation also an fp32 one, part of the time (measured 4.7 to 5.5 bytes, fitcheck).
  const double s = static_cast<double>(setup.context);
  return (setup.prepared_for_kbit ? 5 : 2) * static_cast<double>(setup.micro_batch) * s * s;
}

}  // namespace tunesmith::runtimes
