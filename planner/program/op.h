#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "planner/model/model_spec.h"

// Ops of a step program. An op is a kind, the buffers it reads and writes, and a few attributes; shapes and dtypes are those of its buffers.
// B rows of T tokens are flattened to B*T rows; C hidden, F intermediate, V vocabulary, H query heads, K key/value heads, D head size, R rank.
namespace tunesmith::planner {

// For every kind: inputs -> outputs. `+=` marks outputs that honour OpAttributes::accumulate (off: overwrite). Products on a CPU that read or
// write bf16 have scratch as one more output (linear_workspace.h).
enum class OpKind : uint8_t {
  // Forward.
  // tokens (BT) i32, weight (V, C)[, y's storage] -> y (BT, C) = scale * rows of the weight; accumulate: +=
  kEmbedding,
  // x (BT, n*C), weight (C) -> y (BT, n*C), rstd (BT*n) f32: each C elements by themselves; y may be x's storage
  kRmsNorm,
  kLayerNorm,  // x (BT, C), weight (C)[, bias (C)] -> y (BT, C), mean (BT) f32, rstd (BT) f32; y may be x's storage
  kLinear,  // x (BT, I), weight (O, I)[, addend (BT, O)] -> y (BT, O) = scale * x weight^T + addend; y may be addend's storage
  // x (BT, I), weight (O, I), bias (O)[, addend (BT, O)] -> y (BT, O) = x weight^T + bias + addend
  kLinearBias,
  kRope,  // x (BT, C) in place, positions (BT) i32 -> x: its first heads * D columns turned; rotate-half form
  kAttention,  // q (BT, H*D), k (BT, K*D), v (BT, K*D), document_starts (BT) i32 -> o (BT, H*D), probabilities (B*H, T, T)
  kFlashAttention,  // q, k, v, document_starts -> o (BT, H*D), log_sum_exp (B*H, T) f32, workspace (see workspace.h)
  // The same by cuDNN: workspace as CudnnWorkspace says. Backward's dq has sums of no fixed order.
  kCudnnAttention,
  kSwiGlu,      // gate (BT, F), up (BT, F) -> y (BT, F) = activation(gate) * up
  kActivation,  // x (BT, F) -> y (BT, F) = activation(x)
  kSum,         // x (BT, C), z (BT, C) -> y (BT, C) = z + x, in z's storage
  kDropout,  // x (N, I), dropout_key (2) u64 -> y (N, I): a share of x dropped, the rest scaled up (see trainer/ops/dropout.h)
  kSoftCap,  // x (N, V) in place -> x = soft_cap * tanh(x / soft_cap)
  // codes (O, I/2) u8, absmax (blocks) f32 | u8[, absmax_scale f32, absmax_offset (1) f32] -> weight (O, I): 4-bit NormalFloat to what is computed
  // in; with double quantization absmax has codes too
  kDequantizeNf4,
  // x (BT, C), rows (N) i32, ascending, -1: none -> y (N, C) = the rows of x that are named, else zeros
  kGatherRows,
  kCrossEntropy,  // logits (N, V), labels (N) i32 -> loss_sum (1) f64 += sum of -log softmax(logits)[label] over labels >= 0
  // Loss and its gradient at once: d logits = (softmax - onehot) * loss_scale overwrite the logits; with soft_cap the gradient is that of what was
  // capped to the logits.
  kCrossEntropyInPlace,  // logits (N, V), labels (N) i32, loss_scale (1) f32 -> dlogits (N, V) in place, loss_sum (1) f64 +=
  // Backward.
  kEmbeddingBackward,  // tokens, dy (BT, C) -> dweight (V, C) += scale * scatter (accumulate off: cleared first)
  kScatterRows,  // dy (N, C), rows (N) -> dx (BT, C): dy in the rows that are named, zeros elsewhere
  kRmsNormBackward,  // dy, x, weight, rstd -> dx (BT, C) +=   (dx may be dy's storage when not accumulating)
  kRmsNormBackwardWeight,  // dy, x, rstd -> dweight (C) +=
  kLayerNormBackward,  // dy, x, weight, mean, rstd -> dx (BT, C) +=   (dx may be dy's storage when not accumulating)
  kLayerNormBackwardWeight,  // dy, x, mean, rstd -> dweight (C) +=
  kLinearBackwardInput,      // dy (BT, O), weight (O, I) -> dx (BT, I) += scale * dy weight
  kLinearBackwardWeight,     // dy (BT, O), x (BT, I) -> dweight (O, I) += scale * dy^T x
  kBiasBackward,             // dy (BT, O) -> dbias (O) += column sums
  kRopeBackward,             // dx (BT, C) in place, positions -> dx
  kAttentionBackward,        // do, q, k, v, probabilities, document_starts -> dq, dk, dv, workspace
  kFlashAttentionBackward,  // do, q, k, v, o, log_sum_exp, document_starts -> dq, dk, dv, workspace
  kCudnnAttentionBackward,  // likewise
  kSwiGluBackward,          // dy, gate, up -> dgate, dup
  kDropoutBackward,         // dy, dropout_key -> dx +=
  kActivationBackward,      // dy, x -> dx
  kAdd,                     // x -> y += x
  // Optimizer. step_scalars (16) f32: see StepScalar.
  kClear,       // -> y = 0
  kSumSquares,  // x -> sum (1) f64 += sum of x^2
  kClipFactor,  // sum (1) f64, step_scalars -> clip_factor (1) f32, gradient_norm (1) f32
  // What an update writes is in place. step_key (1) u64: see HostBuffers. A bf16 parameter without a master, and bf16 moments, are rounded
  // stochastically; u8 moments have scales of kStateBlockSize elements each.
  kAdamW,  // gradient, clip_factor, step_scalars, step_key, parameter, m, v[, m scales, v scales][, master] -> parameter, m, v[, ...][, master]
  kSgd,  // gradient, clip_factor, step_scalars, step_key, parameter[, master] -> parameter[, master]
  // Generation: one token at a time with a key/value cache.
  kCacheAppend,  // x (1, K*D), positions (1) -> cache (context, K*D) row positions[0]
  kDecodeAttention,  // q (1, H*D), k cache, v cache (context, K*D), positions (1) -> o (1, H*D), scores (H, context) f32
  kArgMax,  // logits (1, V) -> token (1) i32
  // Movement.
  kCopy,  // x -> y, dtype converted, += where both have one
  // Between ranks, of a bucket (program.h) or of one scalar; sums are formed in the order of the ranks.
  kAllGather,  // shard -> whole: every rank's shard, in the order of ranks; the shard may lie in the whole, at its place
  kReduceScatter,  // whole -> shard += (this rank's part of the sum over ranks)
  kAllReduce,      // x in place -> x = its sum over ranks
  // Between the S ranks of a micro-batch (OpAttributes::sequence_parallel), each of which has N of its S*N tokens: a matrix of some tokens with all heads
  // becomes one of all tokens with some heads, and back. Where a rank has no head of its own, S*W > C, each is in C / W parts.
  kSplitColumns,  // x (N, C) -> y (S*N, W): part r = columns [r*C/S rounded down to a multiple of W, + W) of x
  kJoinColumns,  // y (S*N, W) -> x (N, C): the way back; what is in several parts is their sum, in the order of the parts
  kAllToAll,  // x (S*N, W) -> y (S*N, W): part r goes to the r-th rank, and what comes from it has its place
};
inline constexpr int kOpKindCount = static_cast<int>(OpKind::kAllToAll) + 1;

// "linear", "rms_norm_backward": as in calibration files and explanations.
std::string_view OpKindName(OpKind kind);

// Indices into step_scalars, the per-step constants that the host writes before the optimizer segment runs.
enum StepScalar {
  kLearningRate,
  kBeta1,
  kBeta2,
  kBiasCorrection1,
  kBiasCorrection2,
  kEpsilon,
  kWeightDecay,
  kMaxGradientNorm
};
inline constexpr int64_t kStepScalarCount = 16;

// Elements of a weight in 4-bit NormalFloat that share a magnitude, and magnitudes that share a scale where they are quantized too.
inline constexpr int64_t kNf4BlockSize = 64;
inline constexpr int64_t kNf4ScaleBlockSize = 256;

// Elements that share a scale where moments are stored in 8 bits.
inline constexpr int64_t kStateBlockSize = 256;

enum class Phase : uint8_t {
  kForward,
  kLoss,
  kRecompute,
  kBackward,
  kOptimizer,
  kEvaluate,
  kGenerate,
  kSave
};
std::string_view PhaseName(Phase phase);

// kHost: ops that the host's processors run on buffers in its memory.
enum class Stream : uint8_t { kCompute, kCommunication, kHostToDevice, kDeviceToHost, kHost };
inline constexpr int kStreamCount = 5;

// A buffer as an op in a repeated block names it: the instance is (index of the run) + shift, or 0 for buffers with one instance.
struct BufferRef {
  int32_t buffer = -1;
  int32_t shift = 0;

  bool operator==(const BufferRef&) const = default;
};

struct OpAttributes {
  double scale = 1.0;
  double epsilon = 0.0;                       // norms and their backward
  double weight_offset = 0.0;                 // kRmsNorm and its backward: added to the weight
  Activation activation = Activation::kSilu;  // kSwiGlu, kActivation and their backward
  int64_t head_count = 0;                     // attention; kRope: heads in x
  int64_t kv_head_count = 0;
  int64_t head_size = 0;
  int64_t context = 0;  // T; kRope: where angles depend on it, else 0
  int64_t window = 0;   // attention: keys that a query sees at most, itself among them; 0: no limit
  // Attention: layers (run indices) without the window. The angles of kRope are the model's, read off ProgramInputs::model.
  LayerPattern full_layers = {};
  double soft_cap = 0.0;        // attention's scores, kSoftCap, kCrossEntropyInPlace; 0: none
  double alibi_bias_max = 0.0;  // attention: ALiBi's slopes (AlibiSlope), 0: none
  double alibi_factor = 1.0;    // of the slopes
  // Attention, kSplitColumns, kJoinColumns, kAllToAll: ranks of a micro-batch. Attention has one of so many shares of the heads, by the rank.
  int32_t sequence_parallel = 1;
  bool accumulate = false;  // add to the output instead of overwriting it
  // The same in every micro-batch but the first of a step: gradients of parameters are born there.
  bool accumulate_later = false;
  bool decays = false;  // kAdamW, kSgd: weight decay applies
  // kAdamW, kSgd: of the parameter's name; kDropout and its backward: of the adapter's. Keys their random numbers.
  uint64_t parameter_key = 0;
  double dropout = 0.0;   // kDropout and its backward: the share that is dropped
  int64_t row_begin = 0;  // likewise: x's first row among the tokens that the rank has
  // kAdamW, kSgd, kSumSquares and what goes between ranks: the index of the bucket whose units the op reads; -1: its buffers are whole tensors.
  int32_t bucket = -1;
  bool of_shard = false;         // they are of the rank's shard, the first of them
  int64_t shard_first = 0;       // being this one of it
  bool last_micro_only = false;  // runs in the last micro-batch of a step alone

  bool operator==(const OpAttributes&) const = default;
};

inline constexpr int kMaxOpInputs = 10;
inline constexpr int kMaxOpOutputs = 6;

struct Op {
  OpKind kind = OpKind::kClear;
  Phase phase = Phase::kForward;
  Stream stream = Stream::kCompute;
  uint8_t waits = 0;  // bit s: starts only after all work issued so far on stream s
  int8_t input_count = 0;
  int8_t output_count = 0;
  std::array<BufferRef, kMaxOpInputs> inputs = {};
  std::array<BufferRef, kMaxOpOutputs> outputs = {};
  OpAttributes attributes = {};

  bool operator==(const Op&) const = default;
};

}  // namespace tunesmith::planner
