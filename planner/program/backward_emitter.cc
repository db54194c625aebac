#include "planner/program/backward_emitter.h"

#include <algorithm>
#include <cassert>

namespace tunesmith::planner {

BufferRef AddLocalBuffer(Program& program, Block& block, const std::string& name, DType dtype,
                         Shape shape, MemoryClass memory_class) {
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

BackwardEmitter::BackwardEmitter(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                                 bool accumulate, Block& block)
    : BackwardEmitter(program, graph) {
  saved_ = &saved;
  accumulate_ = accumulate;
  block_ = &block;
}

BackwardEmitter::BackwardEmitter(Program& program, const ForwardGraph& graph)
    : program_(program),
      graph_(graph),
      gradients_(graph.values().size()),
      recomputed_(graph.values().size()),
      storage_local_(graph.values().size()),
      used_(graph.values().size(), false) {}

void BackwardEmitter::EmitAll() {
  for (size_t i = 0; i < graph_.values().size(); ++i) {
    const Value& value = graph_.values()[i];
    if (value.producer >= 0 && value.bound_gradient.buffer >= 0)
      gradients_[i] = value.bound_gradient;
  }
  for (auto op = graph_.ops().rbegin(); op != graph_.ops().rend(); ++op) {
    if (NeedsGradient(op->outputs[0])) EmitBackward(*op, *this);
  }
}

BufferRef BackwardEmitter::Use(ValueId id) {
  const Value& value = graph_.value(id);
  used_[static_cast<size_t>(id)] = true;
  if (value.bound.buffer >= 0) return value.bound;
  if (block_ == nullptr) return {};
  const int32_t saved = saved_->buffer_of_storage[static_cast<size_t>(value.storage)];
  if (saved >= 0) return {.buffer = saved};
  if (recomputed_[static_cast<size_t>(id)].buffer < 0)
    Recompute(graph_.ops()[static_cast<size_t>(value.producer)]);
  return recomputed_[static_cast<size_t>(id)];
}

BufferRef BackwardEmitter::Gradient(ValueId id) const {
  const BufferRef ref = gradients_[static_cast<size_t>(id)];
  assert(ref.buffer >= 0 || block_ == nullptr);
  return ref;
}

BackwardEmitter::Target BackwardEmitter::GradientTarget(ValueId id) {
  const Value& value = graph_.value(id);
  BufferRef& gradient = gradients_[static_cast<size_t>(id)];
  if (gradient.buffer >= 0) return {.ref = gradient, .accumulate = true};
  if (value.parameter >= 0) {
    gradient = {.buffer = program_.parameters[static_cast<size_t>(value.parameter)].gradient};
    return {.ref = gradient, .accumulate = accumulate_};
  }
  gradient = value.bound_gradient.buffer >= 0
                 ? value.bound_gradient
                 : AddLocal("d_" + value.name, value.dtype, value.shape, value.memory_class);
  return {.ref = gradient, .accumulate = false};
}

void BackwardEmitter::ShareGradient(ValueId to, ValueId from) {
  BufferRef& target = gradients_[static_cast<size_t>(to)];
  const BufferRef source = Gradient(from);
  if (target.buffer < 0) {
    target = source;
    return;
  }
  Emit(OpKind::kAdd, {}, {source}, {target});
}

BufferRef BackwardEmitter::Workspace(const std::string& name, DType dtype, Shape shape) {
  return AddLocal(name, dtype, shape, MemoryClass::kWorkspace);
}

void BackwardEmitter::Emit(OpKind kind, const OpAttributes& attributes,
                           const std::vector<BufferRef>& inputs,
                           const std::vector<BufferRef>& outputs, Phase phase) {
  if (block_ == nullptr) return;
  Op op{.kind = kind, .phase = phase, .attributes = attributes};
  op.input_count = static_cast<int8_t>(inputs.size());
  op.output_count = static_cast<int8_t>(outputs.size());
  std::copy(inputs.begin(), inputs.end(), op.inputs.begin());
  std::copy(outputs.begin(), outputs.end(), op.outputs.begin());
  block_->ops.push_back(op);
}

BufferRef BackwardEmitter::AddLocal(const std::string& name, DType dtype, Shape shape,
                                    MemoryClass memory_class) {
  // While recording, any valid-looking reference will do: nothing is emitted.
  if (block_ == nullptr) return {.buffer = 0};
  return AddLocalBuffer(program_, *block_, name, dtype, shape, memory_class);
}

BufferRef BackwardEmitter::LocalOfStorage(const Value& value) {
  BufferRef& local = storage_local_[static_cast<size_t>(value.storage)];
  if (local.buffer < 0)
    local = AddLocal("again_" + value.name, value.dtype, value.shape, value.memory_class);
  return local;
}

void BackwardEmitter::Recompute(const ForwardOp& op) {
  std::vector<BufferRef> inputs;
  for (ValueId input : op.inputs) inputs.push_back(Use(input));
  std::vector<BufferRef> outputs;
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
