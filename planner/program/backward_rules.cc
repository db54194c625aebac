#include <cassert>

#include "planner/program/attention_workspace.h"
#include "planner/program/backward_emitter.h"

// One backward rule per op kind. A rule reads d(output), asks for the forward values it needs and writes d(inputs) that are wanted. Everything
// that reads d(output) comes before ShareGradient, which hands its storage on.
namespace tunesmith::planner {
namespace {

OpAttributes Accumulating(OpAttributes attributes, const BackwardEmitter::Target& target) {
  attributes.accumulate = target.accumulate;
  attributes.accumulate_later = target.accumulate_later;
  return attributes;
}

void LinearRule(const ForwardOp& op, BackwardEmitter& e) {
  const ValueId x = op.inputs[0], w = op.inputs[1], y = op.outputs[0];
  if (e.NeedsGradient(w)) {
    const BufferRef input = e.Use(x);
    const auto target = e.GradientTarget(w);
    e.Emit(OpKind::kLinearBackwardWeight, Accumulating(op.attributes, target),
           {e.Gradient(y), input}, {target.ref});
  }
  if (e.NeedsGradient(x)) {
    const BufferRef weight = e.Use(w);
    const auto target = e.GradientTarget(x);
    e.Emit(OpKind::kLinearBackwardInput, Accumulating(op.attributes, target),
           {e.Gradient(y), weight}, {target.ref});
  }
  if (op.inputs.size() > 2 && e.NeedsGradient(op.inputs[2])) e.ShareGradient(op.inputs[2], y);
}

void LinearBiasRule(const ForwardOp& op, BackwardEmitter& e) {
  const ValueId bias = op.inputs[2], y = op.outputs[0];
  if (e.NeedsGradient(bias)) {
    const auto target = e.GradientTarget(bias);
    e.Emit(OpKind::kBiasBackward, Accumulating({}, target), {e.Gradient(y)}, {target.ref});
  }
  ForwardOp linear{.kind = op.kind,
                   .attributes = op.attributes,
                   .inputs = {op.inputs[0], op.inputs[1]},
                   .outputs = op.outputs};
  if (op.inputs.size() > 3) linear.inputs.push_back(op.inputs[3]);
  LinearRule(linear, e);
}

void RmsNormRule(const ForwardOp& op, BackwardEmitter& e) {
  const ValueId x = op.inputs[0], w = op.inputs[1], y = op.outputs[0], rstd = op.outputs[1];
  const BufferRef input = e.Use(x);
  const BufferRef statistic = e.Use(rstd);
  if (e.NeedsGradient(w)) {
    const auto target = e.GradientTarget(w);
    e.Emit(OpKind::kRmsNormBackwardWeight, Accumulating(op.attributes, target),
           {e.Gradient(y), input, statistic}, {target.ref});
  }
  if (e.NeedsGradient(x)) {
    const BufferRef weight = e.Use(w);
    const auto target = e.GradientTarget(x);
    e.Emit(OpKind::kRmsNormBackward, Accumulating(op.attributes, target),
           {e.Gradient(y), input, weight, statistic}, {target.ref});
  }
}

void LayerNormRule(const ForwardOp& op, BackwardEmitter& e) {
  const ValueId x = op.inputs[0], w = op.inputs[1], y = op.outputs[0];
  const BufferRef input = e.Use(x), mean = e.Use(op.outputs[1]), rstd = e.Use(op.outputs[2]);
  if (e.NeedsGradient(w)) {
    const auto target = e.GradientTarget(w);
    e.Emit(OpKind::kLayerNormBackwardWeight, Accumulating(op.attributes, target),
           {e.Gradient(y), input, mean, rstd}, {target.ref});
  }
  if (op.inputs.size() > 2 && e.NeedsGradient(op.inputs[2])) {
    const auto target = e.GradientTarget(op.inputs[2]);
    e.Emit(OpKind::kBiasBackward, Accumulating({}, target), {e.Gradient(y)}, {target.ref});
  }
  if (e.NeedsGradient(x)) {
    const BufferRef weight = e.Use(w);
    const auto target = e.GradientTarget(x);
    e.Emit(OpKind::kLayerNormBackward, Accumulating(op.attributes, target),
           {e.Gradient(y), input, weight, mean, rstd}, {target.ref});
  }
}

void ActivationRule(const ForwardOp& op, BackwardEmitter& e) {
  const BufferRef input = e.Use(op.inputs[0]);
  const auto target = e.GradientTarget(op.inputs[0]);
  assert(!target.accumulate);
  e.Emit(OpKind::kActivationBackward, op.attributes, {e.Gradient(op.outputs[0]), input},
         {target.ref});
}

void DropoutRule(const ForwardOp& op, BackwardEmitter& e) {
  const BufferRef key = e.Use(op.inputs[1]);
  const auto target = e.GradientTarget(op.inputs[0]);
  e.Emit(OpKind::kDropoutBackward, Accumulating(op.attributes, target),
         {e.Gradient(op.outputs[0]), key}, {target.ref});
}

// Both have the gradient of their sum. z's producer reads it before anything is added to that of x, which has the storage from then on.
void SumRule(const ForwardOp& op, BackwardEmitter& e) {
  for (ValueId input : {op.inputs[1], op.inputs[0]}) {
    if (e.NeedsGradient(input)) e.ShareGradient(input, op.outputs[0]);
  }
}

void RopeRule(const ForwardOp& op, BackwardEmitter& e) {
  const BufferRef gradient = e.Gradient(op.outputs[0]);
  e.Emit(OpKind::kRopeBackward, op.attributes, {gradient, e.Use(op.inputs[1])}, {gradient});
  e.ShareGradient(op.inputs[0], op.outputs[0]);
}

void SwiGluRule(const ForwardOp& op, BackwardEmitter& e) {
  const BufferRef gate = e.Use(op.inputs[0]), up = e.Use(op.inputs[1]);
  const auto dgate = e.GradientTarget(op.inputs[0]), dup = e.GradientTarget(op.inputs[1]);
  assert(!dgate.accumulate && !dup.accumulate);
  e.Emit(OpKind::kSwiGluBackward, op.attributes, {e.Gradient(op.outputs[0]), gate, up},
         {dgate.ref, dup.ref});
}

OpKind AttentionBackwardKind(OpKind forward) {
  switch (forward) {
    case OpKind::kFlashAttention:
      return OpKind::kFlashAttentionBackward;
    case OpKind::kCudnnAttention:
      return OpKind::kCudnnAttentionBackward;
    default:
      return OpKind::kAttentionBackward;
  }
}

// Eager and the others differ in what forward leaves for backward: probabilities, or the output and its log-sum-exp.
void AttentionRule(const ForwardOp& op, BackwardEmitter& e) {
  const bool flash = op.kind != OpKind::kAttention;
  const ValueId q = op.inputs[0], k = op.inputs[1], v = op.inputs[2], documents = op.inputs[3];
  absl::InlinedVector<BufferRef, 8> inputs = {e.Gradient(op.outputs[0]), e.Use(q), e.Use(k),
                                              e.Use(v)};
  if (flash) inputs.push_back(e.Use(op.outputs[0]));
  inputs.push_back(e.Use(op.outputs[1]));
  inputs.push_back(e.Use(documents));
  const Value& query = e.graph().value(q);
  const Shape& keys = e.graph().value(k).shape;
  const Backend& backend = e.graph().program().inputs.backend;
  const bool narrow = query.dtype == DType::kBF16 && backend.kind == BackendKind::kCpu;
  const BufferRef scratch = e.Workspace(
      "attention_backward_workspace", query.dtype == DType::kF64 ? DType::kF64 : DType::kF32,
      AttentionBackwardWorkspace(op.kind, op.attributes, keys.dims[0] / op.attributes.context,
                                 keys.dims[0] * keys.dims[1], narrow, backend.compute_capability));
  absl::InlinedVector<BufferRef, 4> outputs;
  for (ValueId input : {q, k, v}) {
    const auto target = e.GradientTarget(input);
    assert(!target.accumulate);
    outputs.push_back(target.ref);
  }
  outputs.push_back(scratch);
  e.Emit(AttentionBackwardKind(op.kind), op.attributes, inputs, outputs);
}

// What moves elements has the way back for its backward.
void MoveRule(const ForwardOp& op, OpKind back, BackwardEmitter& e) {
  const auto target = e.GradientTarget(op.inputs[0]);
  assert(!target.accumulate);
  e.Emit(back, op.attributes, {e.Gradient(op.outputs[0])}, {target.ref});
}

void EmbeddingRule(const ForwardOp& op, BackwardEmitter& e) {
  const BufferRef tokens = e.Use(op.inputs[0]);
  if (e.NeedsGradient(op.inputs[1])) {
    const auto target = e.GradientTarget(op.inputs[1]);
    e.Emit(OpKind::kEmbeddingBackward, Accumulating(op.attributes, target),
           {tokens, e.Gradient(op.outputs[0])}, {target.ref});
  }
  if (op.inputs.size() > 2 && e.NeedsGradient(op.inputs[2]))
    e.ShareGradient(op.inputs[2], op.outputs[0]);
}

}  // namespace

void EmitBackward(const ForwardOp& op, BackwardEmitter& emitter) {
  switch (op.kind) {
    case OpKind::kLinear:
      return LinearRule(op, emitter);
    case OpKind::kLinearBias:
      return LinearBiasRule(op, emitter);
    case OpKind::kRmsNorm:
      return RmsNormRule(op, emitter);
    case OpKind::kLayerNorm:
      return LayerNormRule(op, emitter);
    case OpKind::kActivation:
      return ActivationRule(op, emitter);
    case OpKind::kDropout:
      return DropoutRule(op, emitter);
    case OpKind::kSum:
      return SumRule(op, emitter);
    case OpKind::kRope:
      return RopeRule(op, emitter);
    case OpKind::kSwiGlu:
      return SwiGluRule(op, emitter);
    case OpKind::kAttention:
    case OpKind::kFlashAttention:
    case OpKind::kCudnnAttention:
      return AttentionRule(op, emitter);
    case OpKind::kEmbedding:
      return EmbeddingRule(op, emitter);
    case OpKind::kSplitColumns:
      return MoveRule(op, OpKind::kJoinColumns, emitter);
    case OpKind::kJoinColumns:
      return MoveRule(op, OpKind::kSplitColumns, emitter);
    case OpKind::kAllToAll:
      return MoveRule(op, OpKind::kAllToAll, emitter);
    default:
      assert(false && "an op without a backward rule stands in a differentiated graph");
  }
}

}  // namespace tunesmith::planner
