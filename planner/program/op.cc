#include "planner/program/op.h"

namespace tunesmith::planner {

std::string_view OpKindName(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbedding:
      return "embedding";
    case OpKind::kRmsNorm:
      return "rms_norm";
    case OpKind::kLayerNorm:
      return "layer_norm";
    case OpKind::kLinear:
      return "linear";
    case OpKind::kLinearBias:
      return "linear_bias";
    case OpKind::kRope:
      return "rope";
    case OpKind::kAttention:
      return "attention";
    case OpKind::kFlashAttention:
      return "flash_attention";
    case OpKind::kCudnnAttention:
      return "cudnn_attention";
    case OpKind::kSwiGlu:
      return "swiglu";
    case OpKind::kDequantizeNf4:
      return "dequantize_nf4";
    case OpKind::kActivation:
      return "activation";
    case OpKind::kSum:
      return "sum";
    case OpKind::kDropout:
      return "dropout";
    case OpKind::kSoftCap:
      return "soft_cap";
    case OpKind::kGatherRows:
      return "gather_rows";
    case OpKind::kCrossEntropy:
      return "cross_entropy";
    case OpKind::kCrossEntropyInPlace:
      return "cross_entropy_in_place";
    case OpKind::kEmbeddingBackward:
      return "embedding_backward";
    case OpKind::kScatterRows:
      return "scatter_rows";
    case OpKind::kRmsNormBackward:
      return "rms_norm_backward";
    case OpKind::kRmsNormBackwardWeight:
      return "rms_norm_backward_weight";
    case OpKind::kLayerNormBackward:
      return "layer_norm_backward";
    case OpKind::kLayerNormBackwardWeight:
      return "layer_norm_backward_weight";
    case OpKind::kLinearBackwardInput:
      return "linear_backward_input";
    case OpKind::kLinearBackwardWeight:
      return "linear_backward_weight";
    case OpKind::kBiasBackward:
      return "bias_backward";
    case OpKind::kRopeBackward:
      return "rope_backward";
    case OpKind::kAttentionBackward:
      return "attention_backward";
    case OpKind::kFlashAttentionBackward:
      return "flash_attention_backward";
    case OpKind::kCudnnAttentionBackward:
      return "cudnn_attention_backward";
    case OpKind::kSwiGluBackward:
      return "swiglu_backward";
    case OpKind::kDropoutBackward:
      return "dropout_backward";
    case OpKind::kActivationBackward:
      return "activation_backward";
    case OpKind::kAdd:
      return "add";
    case OpKind::kClear:
      return "clear";
    case OpKind::kSumSquares:
      return "sum_squares";
    case OpKind::kClipFactor:
      return "clip_factor";
    case OpKind::kAdamW:
      return "adamw";
    case OpKind::kSgd:
      return "sgd";
    case OpKind::kCacheAppend:
      return "cache_append";
    case OpKind::kDecodeAttention:
      return "decode_attention";
    case OpKind::kArgMax:
      return "arg_max";
    case OpKind::kCopy:
      return "copy";
    case OpKind::kAllGather:
      return "all_gather";
    case OpKind::kReduceScatter:
      return "reduce_scatter";
    case OpKind::kAllReduce:
      return "all_reduce";
    case OpKind::kSplitColumns:
      return "split_columns";
    case OpKind::kJoinColumns:
      return "join_columns";
    case OpKind::kAllToAll:
      return "all_to_all";
  }
  return "unknown";
}

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "forward";
    case Phase::kLoss:
      return "loss";
    case Phase::kRecompute:
      return "recompute";
    case Phase::kBackward:
      return "backward";
    case Phase::kOptimizer:
      return "optimizer";
    case Phase::kEvaluate:
      return "evaluate";
    case Phase::kGenerate:
      return "generate";
    case Phase::kSave:
      return "save";
  }
  return "unknown";
}

}  // namespace tunesmith::planner
