#include "trainer/ops/run_op.h"

#include "planner/program/collectives.h"
#include "trainer/ops/activation.h"
#include "trainer/ops/adamw.h"
#include "trainer/ops/attention.h"
#include "trainer/ops/collective.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/ops/decode.h"
#include "trainer/ops/dequantize_nf4.h"
#include "trainer/ops/dropout.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/embedding.h"
#include "trainer/ops/flash_attention.h"
#include "trainer/ops/gather_rows.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/ops/layer_norm.h"
#include "trainer/ops/linear.h"
#include "trainer/ops/rms_norm.h"
#include "trainer/ops/rope.h"
#include "trainer/ops/sgd.h"
#include "trainer/ops/split_columns.h"
#include "trainer/ops/swiglu.h"

namespace tunesmith::trainer {
namespace {

using planner::OpAttributes;
using planner::OpKind;

// Tensors that a call leaves out stay empty: the ops' checks name them.
AttentionShape ShapeOf(const OpCall& call) {
  const OpAttributes& attributes = call.attributes;
  return {.context = attributes.context,
          .head_count = attributes.head_count,
          .kv_head_count = attributes.kv_head_count,
          .head_size = attributes.head_size,
          .scale = attributes.scale,
          .window = attributes.full_layers.Has(call.run_index) ? 0 : attributes.window,
          .soft_cap = attributes.soft_cap,
          .alibi_bias_max = attributes.alibi_bias_max,
          .alibi_factor = attributes.alibi_factor,
          .first_head = call.first_head,
          .all_head_count = attributes.head_count * attributes.sequence_parallel};
}

// In the layer that runs.
bool Rotates(const OpCall& call) { return !call.model->unrotated_layers.Has(call.run_index); }

RopeArgs RopeArgsOf(const OpCall& call) {
  const OpAttributes& attributes = call.attributes;
  const planner::ModelSpec& model = *call.model;
  const bool local = model.local_rope_theta > 0 && !model.full_layers.Has(call.run_index);
  return {.x = call.outputs[0],
          .positions = call.inputs[1],
          .head_count = attributes.head_count,
          .head_size = attributes.head_size,
          .rotary_size = planner::RotarySize(model),
          .theta = local ? model.local_rope_theta : model.rope_theta,
          .scaling = local ? nullptr : &model.rope_scaling,
          .context = attributes.context};
}

DropoutArgs DropoutArgsOf(const OpCall& call) {
  const OpAttributes& attributes = call.attributes;
  return {.x = call.inputs[0],
          .key = call.inputs[1],
          .y = call.outputs[0],
          .share = attributes.dropout,
          .module_key = attributes.parameter_key,
          .layer = call.run_index,
          .context = attributes.context,
          .row_begin = attributes.row_begin,
          .accumulate = attributes.accumulate};
}

AdamWArgs AdamWArgsOf(const OpCall& call) {
  const auto& in = call.inputs;
  const auto& out = call.outputs;
  AdamWArgs args{.gradient = in[0],
                 .clip_factor = in[1],
                 .step_scalars = in[2],
                 .step_key = in[3],
                 .parameter = out[0],
                 .moment1 = out[1],
                 .moment2 = out[2],
                 .decays = call.attributes.decays,
                 .parameter_key = call.attributes.parameter_key,
                 .instance = call.run_index,
                 .first_element = call.first_unit};
  if (args.moment1.dtype != DType::kU8) {
    args.master = out[3];
    return args;
  }
  args.moment1_scale = out[3];
  args.moment2_scale = out[4];
  args.master = out[5];
  return args;
}

absl::Status RunForward(const OpContext& context, const OpCall& call) {
  const auto& in = call.inputs;
  const auto& out = call.outputs;
  const OpAttributes& attributes = call.attributes;
  switch (call.kind) {
    case OpKind::kEmbedding:
      return Embedding(context, {.tokens = in[0],
                                 .weight = in[1],
                                 .y = out[0],
                                 .scale = attributes.scale,
                                 .accumulate = attributes.accumulate});
    case OpKind::kRmsNorm:
      return RmsNorm(context, {.x = in[0],
                               .weight = in[1],
                               .y = out[0],
                               .rstd = out[1],
                               .epsilon = attributes.epsilon,
                               .weight_offset = attributes.weight_offset});
    case OpKind::kLayerNorm:
      return LayerNorm(context, {.x = in[0],
                                 .weight = in[1],
                                 .bias = in[2],
                                 .y = out[0],
                                 .mean = out[1],
                                 .rstd = out[2],
                                 .epsilon = attributes.epsilon});
    case OpKind::kLinear:
      return Linear(context, {.x = in[0],
                              .weight = in[1],
                              .addend = in[2],
                              .y = out[0],
                              .scale = attributes.scale,
                              .workspace = out[1]});
    case OpKind::kLinearBias:
      return LinearBias(context, {.x = in[0],
                                  .weight = in[1],
                                  .bias = in[2],
                                  .addend = in[3],
                                  .y = out[0],
                                  .workspace = out[1]});
    case OpKind::kRope:
      return Rotates(call) ? Rope(context, RopeArgsOf(call)) : absl::OkStatus();
    case OpKind::kAttention:
      return Attention(context, {.q = in[0],
                                 .k = in[1],
                                 .v = in[2],
                                 .document_starts = in[3],
                                 .o = out[0],
                                 .probabilities = out[1],
                                 .shape = ShapeOf(call)});
    case OpKind::kFlashAttention:
    case OpKind::kCudnnAttention:
      return FlashAttention(context, {.q = in[0],
                                      .k = in[1],
                                      .v = in[2],
                                      .document_starts = in[3],
                                      .o = out[0],
                                      .log_sum_exp = out[1],
                                      .workspace = out[2],
                                      .shape = ShapeOf(call),
                                      .cudnn = call.kind == OpKind::kCudnnAttention});
    case OpKind::kDequantizeNf4:
      return DequantizeNf4(context, {.codes = in[0],
                                     .absmax = in[1],
                                     .absmax_scale = in[2],
                                     .absmax_offset = in[3],
                                     .y = out[0]});
    case OpKind::kSwiGlu:
      return SwiGlu(context,
                    {.gate = in[0], .up = in[1], .y = out[0], .activation = attributes.activation});
    case OpKind::kActivation:
      return ApplyActivation(context,
                             {.x = in[0], .y = out[0], .activation = attributes.activation});
    case OpKind::kSum:
      return Sum(context, {.x = in[0], .y = out[0]});
    case OpKind::kDropout:
      return Dropout(context, DropoutArgsOf(call));
    case OpKind::kSoftCap:
      return SoftCap(context, {.x = out[0], .cap = attributes.soft_cap});
    case OpKind::kGatherRows:
      return GatherRows(context, {.x = in[0], .rows = in[1], .y = out[0]});
    case OpKind::kCrossEntropy:
      return CrossEntropy(context, {.logits = in[0], .labels = in[1], .loss_sum = out[0]});
    case OpKind::kCrossEntropyInPlace:
      return CrossEntropyInPlace(context, {.logits = out[0],
                                           .labels = in[1],
                                           .loss_scale = in[2],
                                           .loss_sum = out[1],
                                           .soft_cap = attributes.soft_cap});
    default:
      return absl::InternalError("not a forward op");
  }
}

absl::Status RunBackward(const OpContext& context, const OpCall& call) {
  const auto& in = call.inputs;
  const auto& out = call.outputs;
  const OpAttributes& attributes = call.attributes;
  const bool accumulate = attributes.accumulate;
  switch (call.kind) {
    case OpKind::kEmbeddingBackward:
      return EmbeddingBackward(context, {.tokens = in[0],
                                         .dy = in[1],
                                         .dweight = out[0],
                                         .scale = attributes.scale,
                                         .accumulate = accumulate});
    case OpKind::kScatterRows:
      return ScatterRows(context, {.dy = in[0], .rows = in[1], .dx = out[0]});
    case OpKind::kRmsNormBackward:
      return RmsNormBackward(context, {.dy = in[0],
                                       .x = in[1],
                                       .weight = in[2],
                                       .rstd = in[3],
                                       .dx = out[0],
                                       .weight_offset = attributes.weight_offset,
                                       .accumulate = accumulate});
    case OpKind::kRmsNormBackwardWeight:
      return RmsNormBackwardWeight(
          context,
          {.dy = in[0], .x = in[1], .rstd = in[2], .dweight = out[0], .accumulate = accumulate});
    case OpKind::kLayerNormBackward:
      return LayerNormBackward(context, {.dy = in[0],
                                         .x = in[1],
                                         .weight = in[2],
                                         .mean = in[3],
                                         .rstd = in[4],
                                         .dx = out[0],
                                         .accumulate = accumulate});
    case OpKind::kLayerNormBackwardWeight:
      return LayerNormBackwardWeight(context, {.dy = in[0],
                                               .x = in[1],
                                               .mean = in[2],
                                               .rstd = in[3],
                                               .dweight = out[0],
                                               .accumulate = accumulate});
    case OpKind::kLinearBackwardInput:
      return LinearBackwardInput(context, {.dy = in[0],
                                           .weight = in[1],
                                           .dx = out[0],
                                           .scale = attributes.scale,
                                           .accumulate = accumulate,
                                           .workspace = out[1]});
    case OpKind::kLinearBackwardWeight:
      return LinearBackwardWeight(context, {.dy = in[0],
                                            .x = in[1],
                                            .dweight = out[0],
                                            .scale = attributes.scale,
                                            .accumulate = accumulate,
                                            .workspace = out[1]});
    case OpKind::kBiasBackward:
      return BiasBackward(context, {.dy = in[0], .dbias = out[0], .accumulate = accumulate});
    case OpKind::kRopeBackward:
      return Rotates(call) ? RopeBackward(context, RopeArgsOf(call)) : absl::OkStatus();
    case OpKind::kAttentionBackward:
      return AttentionBackward(context, {.d_o = in[0],
                                         .q = in[1],
                                         .k = in[2],
                                         .v = in[3],
                                         .probabilities = in[4],
                                         .document_starts = in[5],
                                         .dq = out[0],
                                         .dk = out[1],
                                         .dv = out[2],
                                         .workspace = out[3],
                                         .shape = ShapeOf(call)});
    case OpKind::kFlashAttentionBackward:
    case OpKind::kCudnnAttentionBackward:
      return FlashAttentionBackward(context,
                                    {.d_o = in[0],
                                     .q = in[1],
                                     .k = in[2],
                                     .v = in[3],
                                     .o = in[4],
                                     .log_sum_exp = in[5],
                                     .document_starts = in[6],
                                     .dq = out[0],
                                     .dk = out[1],
                                     .dv = out[2],
                                     .workspace = out[3],
                                     .shape = ShapeOf(call),
                                     .cudnn = call.kind == OpKind::kCudnnAttentionBackward});
    case OpKind::kSwiGluBackward:
      return SwiGluBackward(context, {.dy = in[0],
                                      .gate = in[1],
                                      .up = in[2],
                                      .dgate = out[0],
                                      .dup = out[1],
                                      .activation = attributes.activation});
    case OpKind::kDropoutBackward:
      return DropoutBackward(context, DropoutArgsOf(call));
    case OpKind::kActivationBackward:
      return ActivationBackward(
          context, {.dy = in[0], .x = in[1], .dx = out[0], .activation = attributes.activation});
    default:
      return absl::InternalError("not a backward op");
  }
}

absl::Status RunOther(const OpContext& context, const OpCall& call) {
  const auto& in = call.inputs;
  const auto& out = call.outputs;
  const int64_t ranks = call.attributes.sequence_parallel;
  switch (call.kind) {
    case OpKind::kAdd:
      return Add(context, {.x = in[0], .y = out[0]});
    case OpKind::kClear:
      return Clear(context, {.y = out[0]});
    case OpKind::kSumSquares:
      return SumSquares(context, {.x = in[0], .sum = out[0]});
    case OpKind::kClipFactor:
      return ClipFactor(
          context,
          {.sum = in[0], .step_scalars = in[1], .clip_factor = out[0], .gradient_norm = out[1]});
    case OpKind::kAdamW:
      return AdamW(context, AdamWArgsOf(call));
    case OpKind::kSgd:
      return Sgd(context, {.gradient = in[0],
                           .clip_factor = in[1],
                           .step_scalars = in[2],
                           .step_key = in[3],
                           .parameter = out[0],
                           .master = out[1],
                           .decays = call.attributes.decays,
                           .parameter_key = call.attributes.parameter_key,
                           .instance = call.run_index,
                           .first_element = call.first_unit});
    case OpKind::kCacheAppend:
      return CacheAppend(context, {.x = in[0], .positions = in[1], .cache = out[0]});
    case OpKind::kDecodeAttention:
      return DecodeAttention(context, {.q = in[0],
                                       .k_cache = in[1],
                                       .v_cache = in[2],
                                       .positions = in[3],
                                       .o = out[0],
                                       .scores = out[1],
                                       .shape = ShapeOf(call)});
    case OpKind::kArgMax:
      return ArgMax(context, {.logits = in[0], .token = out[0]});
    case OpKind::kCopy:
      if (call.attributes.accumulate)
        return Add(context, {.x = in[0], .y = out[0], .stream = call.stream});
      return Copy(context, {.x = in[0], .y = out[0], .stream = call.stream});
    case OpKind::kAllGather:
    case OpKind::kReduceScatter:
    case OpKind::kAllReduce:
    case OpKind::kAllToAll:
      return Collective(context, call);
    case OpKind::kSplitColumns:
      return SplitColumns(context, {.x = in[0], .parts = out[0], .part_count = ranks});
    case OpKind::kJoinColumns:
      return JoinColumns(context, {.parts = in[0], .x = out[0], .part_count = ranks});
    default:
      return absl::InternalError("not an op");
  }
}

}  // namespace

absl::Status RunOp(const OpContext& context, const OpCall& call) {
  if (call.bucket != nullptr && !planner::IsCollective(call.kind))
    return ForEachPart(call, [&](const OpCall& part) { return RunOther(context, part); });
  if (call.kind <= OpKind::kCrossEntropyInPlace) return RunForward(context, call);
  if (call.kind <= OpKind::kActivationBackward) return RunBackward(context, call);
  return RunOther(context, call);
}

}  // namespace tunesmith::trainer
