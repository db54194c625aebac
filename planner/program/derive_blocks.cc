#include "planner/program/derive_blocks.h"

#include <algorithm>

#include "planner/program/backward_emitter.h"

namespace tunesmith::planner {
namespace {

bool Drops(Rung rung, Role role) {
  switch (rung) {
    case Rung::kKeep:
      return false;
    case Rung::kActivation:
      return role == Role::kProduct;
    case Rung::kNorms:
      return role == Role::kProduct || role == Role::kNorm;
    case Rung::kGateUp:
      return role == Role::kProduct || role == Role::kNorm || role == Role::kGateUp;
    case Rung::kBlock:
    case Rung::kHost:
      return true;
  }
  return true;
}

class ForwardEmitter {
 public:
  ForwardEmitter(Program& program, const ForwardGraph& graph, const SavedSet& saved, Block& block)
      : program_(program),
        graph_(graph),
        saved_(saved),
        block_(block),
        locals_(graph.values().size()),
        parts_(graph.values().size()) {}

  void Emit(const ForwardOp& op, Phase phase) {
    Op& emitted = block_.ops.emplace_back();
    emitted.kind = op.kind;
    emitted.phase = phase;
    emitted.attributes = op.attributes;
    for (ValueId input : op.inputs)
      emitted.inputs[static_cast<size_t>(emitted.input_count++)] = Ref(input);
    for (ValueId output : op.outputs)
      emitted.outputs[static_cast<size_t>(emitted.output_count++)] = Ref(output);
  }

 private:
  BufferRef Ref(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.part_of != kNoValue) return PartRef(id);
    if (value.bound.buffer >= 0) return value.bound;
    const int32_t saved = saved_.buffer_of_storage[static_cast<size_t>(value.storage)];
    if (saved >= 0) return {.buffer = saved};
    BufferRef& local = locals_[static_cast<size_t>(value.storage)];
    if (local.buffer < 0)
      local = AddLocalBuffer(program_, block_, value.name, value.dtype, value.shape,
                             value.memory_class);
    return local;
  }

  BufferRef PartRef(ValueId id) {
    const Value& value = graph_.value(id);
    BufferRef& part = parts_[static_cast<size_t>(id)];
    if (part.buffer < 0) part = AddPartView(program_, Ref(value.part_of), value);
    return part;
  }

  Program& program_;
  const ForwardGraph& graph_;
  const SavedSet& saved_;
  Block& block_;
  std::vector<BufferRef> locals_;  // by storage
  std::vector<BufferRef> parts_;   // by value
};

// Follows BackwardEmitter's Use and Recompute without emitting anything.
class Recomputation {
 public:
  Recomputation(const ForwardGraph& graph, const std::vector<ValueId>& saved_values)
      : graph_(graph), saved_(graph.values().size()), there_(graph.values().size()) {
    for (ValueId id : saved_values) saved_[static_cast<size_t>(graph.value(id).storage)] = true;
  }

  void Use(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.part_of != kNoValue) return Use(value.part_of);
    if (value.bound.buffer >= 0 || saved_[static_cast<size_t>(value.storage)] ||
        there_[static_cast<size_t>(id)])
      return;
    const ForwardOp& op = graph_.ops()[static_cast<size_t>(value.producer)];
    for (ValueId input : op.inputs) Use(input);
    for (ValueId output : op.outputs) {
      // What the op overwrites in place is there no more.
      for (ValueId input : op.inputs) {
        if (graph_.value(input).storage == graph_.value(output).storage)
          there_[static_cast<size_t>(input)] = false;
      }
      there_[static_cast<size_t>(output)] = !graph_.value(output).fleeting;
    }
    ops_.push_back(value.producer);
  }

  const std::vector<int32_t>& ops() const { return ops_; }

 private:
  const ForwardGraph& graph_;
  std::vector<bool> saved_;  // by storage
  std::vector<bool> there_;  // by value: recomputed and not overwritten since
  std::vector<int32_t> ops_;
};

}  // namespace

SavedSet SaveNothing(const ForwardGraph& graph) {
  return {.buffer_of_storage = std::vector<int32_t>(graph.values().size(), -1)};
}

std::vector<ValueId> ReadByBackward(Program& program, const ForwardGraph& graph) {
  BackwardEmitter recorder(program, graph);
  recorder.EmitAll();
  return recorder.reads();
}

std::vector<ValueId> ValuesToSave(const ForwardGraph& graph, const std::vector<ValueId>& reads,
                                  Rung rung) {
  std::vector<char> wanted(graph.values().size()), saved(wanted);  // by value; by storage
  for (ValueId id : reads) wanted[static_cast<size_t>(id)] = true;
  std::vector<ValueId> values;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Value& value = graph.values()[i];
    if (!wanted[i] || value.bound.buffer >= 0 || value.producer < 0 || value.transient ||
        Drops(rung, value.role) || saved[static_cast<size_t>(value.storage)])
      continue;
    saved[static_cast<size_t>(value.storage)] = true;
    values.push_back(static_cast<ValueId>(i));
  }
  return values;
}

SavedSet SaveForBackward(Program& program, const ForwardGraph& graph,
                         const std::vector<ValueId>& values, const char* prefix,
                         int64_t first_instance, int64_t instance_count) {
  SavedSet saved = SaveNothing(graph);
  for (ValueId id : values) {
    const Value& value = graph.value(id);
    saved.buffer_of_storage[static_cast<size_t>(value.storage)] =
        static_cast<int32_t>(program.buffers.size());
    program.buffers.push_back({.name = value.name.After(prefix),
                               .dtype = value.dtype,
                               .dims = value.shape.dims,
                               .rank = value.shape.rank,
                               .region = Region::kSaved,
                               .memory_class = value.memory_class,
                               .first_instance = first_instance,
                               .instance_count = instance_count});
  }
  return saved;
}

std::vector<int32_t> RecomputedOps(const ForwardGraph& graph, const std::vector<ValueId>& reads,
                                   const std::vector<ValueId>& saved_values) {
  Recomputation recomputation(graph, saved_values);
  for (ValueId value : reads) recomputation.Use(value);
  return recomputation.ops();
}

int32_t AddForwardBlock(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                        std::string_view name, Phase phase) {
  Block block{.name = name};
  block.ops.reserve(graph.ops().size() + 1);
  ForwardEmitter emitter(program, graph, saved, block);
  for (const ForwardOp& op : graph.ops()) emitter.Emit(op, phase);
  program.blocks.push_back(std::move(block));
  return static_cast<int32_t>(program.blocks.size()) - 1;
}

int32_t AddBackwardBlock(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                         std::string_view name, bool gradients_exist) {
  Block block{.name = name};
  block.ops.reserve(3 * graph.ops().size());
  BackwardEmitter(program, graph, saved, gradients_exist, block).EmitAll();
  program.blocks.push_back(std::move(block));
  return static_cast<int32_t>(program.blocks.size()) - 1;
}

}  // namespace tunesmith::planner
