#include "planner/program/backward_emitter.h"

#include <algorithm>
#include <cassert>

namespace tunesmith::planner {

BufferRef AddLocalBuffer(Program& program, Block& block, Name name, DType dtype, Shape shape,
                         MemoryClass memory_class) {
  const int32_t id = static_cast<int32_t>(program.buffers.size());
  program.buffers.push_back({.name = name,
                             .dtype = dtype,
                             .dims = shape.dims,
                             .rank = shape.rank,
                             .region = Region::kLocal,
                             .memory_class = memory_class});
  block.locals.push_back(id);
  return {.buffer = id};
}

BufferRef AddPartView(Program& program, BufferRef matrix, const Value& part) {
  Buffer view = program.buffers[static_cast<size_t>(matrix.buffer)];
  view.name = view.name.With("_part");
  view.dims = part.shape.dims;
  view.rank = part.shape.rank;
  view.region = Region::kView;
  view.view_of = matrix.buffer;
  view.view_offset_bytes = part.part_first * SizeOf(view.dtype);
  view.row_stride = part.row_stride;
  view.view_stride_bytes = 0;
  view.ring_count = 0;
  program.buffers.push_back(view);
  return {.buffer = static_cast<int32_t>(program.buffers.size()) - 1, .shift = matrix.shift};
}

BackwardEmitter::BackwardEmitter(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                                 bool gradients_exist, Block& block)
    : BackwardEmitter(program, graph) {
  saved_ = &saved;
  gradients_exist_ = gradients_exist;
  block_ = &block;
}

BackwardEmitter::BackwardEmitter(Program& program, const ForwardGraph& graph)
    : program_(program),
      graph_(graph),
      gradients_(graph.values().size()),
      recomputed_(graph.values().size()),
      storage_local_(graph.values().size()),
      parts_(graph.values().size()) {}

void BackwardEmitter::EmitAll() {
  for (size_t i = 0; i < graph_.values().size(); ++i) {
    const Value& value = graph_.values()[i];
    if (value.output && value.bound_gradient.buffer >= 0) gradients_[i] = value.bound_gradient;
  }
  for (auto op = graph_.ops().rbegin(); op != graph_.ops().rend(); ++op) {
    if (NeedsGradient(op->outputs[0])) EmitBackward(*op, *this);
  }
}

BufferRef BackwardEmitter::UsePart(ValueId id) {
  const BufferRef whole = Use(graph_.value(id).part_of);
  BufferRef& part = parts_[static_cast<size_t>(id)];
  if (graph_.value(graph_.value(id).part_of).fleeting) part = {};
  if (block_ != nullptr && part.buffer < 0) part = PartOf(whole, id);
  return part;
}

BufferRef BackwardEmitter::PartOf(BufferRef whole, ValueId id) {
  if (block_ == nullptr) return whole;
  return AddPartView(program_, whole, graph_.value(id));
}

BufferRef BackwardEmitter::Use(ValueId id) {
  const Value& value = graph_.value(id);
  if (value.part_of != kNoValue) return UsePart(id);
  if (block_ == nullptr) reads_.push_back(id);
  if (value.bound.buffer >= 0) return value.bound;
  if (block_ == nullptr) return {};
  const int32_t saved = saved_->buffer_of_storage[static_cast<size_t>(value.storage)];
  if (saved >= 0) return {.buffer = saved};
  if (value.fleeting) {
    storage_local_[static_cast<size_t>(value.storage)] = {};
    recomputed_[static_cast<size_t>(id)] = {};
  }
  if (recomputed_[static_cast<size_t>(id)].buffer < 0)
    Recompute(graph_.ops()[static_cast<size_t>(value.producer)]);
  return recomputed_[static_cast<size_t>(id)];
}

BufferRef BackwardEmitter::Gradient(ValueId id) {
  BufferRef& gradient = gradients_[static_cast<size_t>(id)];
  const ValueId whole = graph_.value(id).part_of;
  if (gradient.buffer < 0 && whole != kNoValue) gradient = PartOf(Gradient(whole), id);
  assert(gradient.buffer >= 0 || block_ == nullptr);
  return gradient;
}

BufferRef BackwardEmitter::GradientPlace(ValueId id) {
  const Value& value = graph_.value(id);
  BufferRef& gradient = gradients_[static_cast<size_t>(id)];
  if (gradient.buffer < 0)
    gradient = value.bound_gradient.buffer >= 0
                   ? value.bound_gradient
                   : AddLocal(value.name.After("d_"), value.dtype, value.shape, value.memory_class);
  return gradient;
}

BackwardEmitter::Target BackwardEmitter::ParameterTarget(const Value& weight) const {
  const Parameter& p = program_.parameters[static_cast<size_t>(weight.parameter)];
  return {.ref = weight.bound_gradient.buffer >= 0 ? weight.bound_gradient
                                                   : BufferRef{.buffer = p.gradient},
          .accumulate = gradients_exist_ && p.birth == GradientBirth::kHead,
          .accumulate_later = true};
}

// Each of the parts is written once before anything is added to it; together they are the whole.
BackwardEmitter::Target BackwardEmitter::PartGradientTarget(ValueId id) {
  BufferRef& gradient = gradients_[static_cast<size_t>(id)];
  if (gradient.buffer >= 0) return {.ref = gradient, .accumulate = true};
  const Value& whole = graph_.value(graph_.value(id).part_of);
  if (whole.parameter >= 0) {
    Target target = ParameterTarget(whole);
    target.ref = gradient = PartOf(target.ref, id);
    return target;
  }
  gradient = PartOf(GradientPlace(graph_.value(id).part_of), id);
  return {.ref = gradient};
}

BackwardEmitter::Target BackwardEmitter::GradientTarget(ValueId id) {
  const Value& value = graph_.value(id);
  if (value.part_of != kNoValue) return PartGradientTarget(id);
  BufferRef& gradient = gradients_[static_cast<size_t>(id)];
  if (gradient.buffer >= 0) return {.ref = gradient, .accumulate = true};
  if (value.parameter < 0) return {.ref = GradientPlace(id)};
  const Target target = ParameterTarget(value);
  gradient = target.ref;
  return target;
}

// Where parts of one matrix are shared with the same parts of another, so are in the end all.
void BackwardEmitter::SharePartGradient(ValueId to, ValueId from) {
  BufferRef& whole = gradients_[static_cast<size_t>(graph_.value(to).part_of)];
  if (whole.buffer < 0) whole = Gradient(graph_.value(from).part_of);
  assert(block_ == nullptr || whole == Gradient(graph_.value(from).part_of));
  gradients_[static_cast<size_t>(to)] = Gradient(from);
}

void BackwardEmitter::ShareGradient(ValueId to, ValueId from) {
  if (graph_.value(to).part_of != kNoValue) return SharePartGradient(to, from);
  BufferRef& target = gradients_[static_cast<size_t>(to)];
  const BufferRef source = Gradient(from);
  if (target.buffer < 0) {
    target = source;
    return;
  }
  Emit(OpKind::kAdd, {}, {source}, {target});
}

BufferRef BackwardEmitter::Workspace(Name name, DType dtype, Shape shape) {
  return AddLocal(name, dtype, shape, MemoryClass::kWorkspace);
}

void BackwardEmitter::Emit(OpKind kind, const OpAttributes& attributes,
                           absl::Span<const BufferRef> inputs, absl::Span<const BufferRef> outputs,
                           Phase phase) {
  if (block_ == nullptr) return;
  Op& op = block_->ops.emplace_back();
  op.kind = kind;
  op.phase = phase;
  op.attributes = attributes;
  op.input_count = static_cast<int8_t>(inputs.size());
  op.output_count = static_cast<int8_t>(outputs.size());
  std::copy(inputs.begin(), inputs.end(), op.inputs.begin());
  std::copy(outputs.begin(), outputs.end(), op.outputs.begin());
}

BufferRef BackwardEmitter::AddLocal(Name name, DType dtype, Shape shape, MemoryClass memory_class) {
  // While recording, any valid-looking reference will do: nothing is emitted.
  if (block_ == nullptr) return {.buffer = 0};
  return AddLocalBuffer(program_, *block_, name, dtype, shape, memory_class);
}

BufferRef BackwardEmitter::LocalOfStorage(const Value& value) {
  BufferRef& local = storage_local_[static_cast<size_t>(value.storage)];
  if (local.buffer < 0)
    local = AddLocal(value.name.After("again_"), value.dtype, value.shape, value.memory_class);
  return local;
}

void BackwardEmitter::Recompute(const ForwardOp& op) {
  absl::InlinedVector<BufferRef, 4> inputs;
  for (ValueId input : op.inputs) inputs.push_back(Use(input));
  absl::InlinedVector<BufferRef, 4> outputs;
  for (ValueId output : op.outputs) {
    const Value& value = graph_.value(output);
    // An op that overwrites its input in place leaves nothing of the earlier value.
    for (ValueId input : op.inputs) {
      if (graph_.value(input).storage == value.storage)
        recomputed_[static_cast<size_t>(input)] = {};
    }
    recomputed_[static_cast<size_t>(output)] = LocalOfStorage(value);
    outputs.push_back(recomputed_[static_cast<size_t>(output)]);
  }
  Emit(op.kind, op.attributes, inputs, outputs, Phase::kRecompute);
}

}  // namespace tunesmith::planner
