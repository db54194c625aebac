#pragma once

#include <vector>

#include "absl/types/span.h"
#include "planner/program/derive_blocks.h"
#include "planner/program/forward_graph.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// What a backward rule is given: the forward values it asks for, the gradients that arrive, places for the gradients that it forms.
// In recording mode nothing is emitted; only the values that the rules ask for are noted.
class BackwardEmitter {
 public:
  struct Target {
    BufferRef ref;
    bool accumulate = false;
    bool accumulate_later = false;  // in every micro-batch but the first of a step
  };

  // Emits into `block` (already in `program`'s numbering, not yet in its list).
  BackwardEmitter(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                  bool gradients_exist, Block& block);
  // Records only; `program` is not changed.
  BackwardEmitter(Program& program, const ForwardGraph& graph);

  // Runs every op's rule in reverse order.
  void EmitAll();

  // Where a forward value can be read; recomputed first when it was not saved.
  BufferRef Use(ValueId value);
  bool NeedsGradient(ValueId value) const {
    return value != kNoValue && graph_.value(value).needs_gradient;
  }
  BufferRef Gradient(ValueId value);
  // Where d(value) goes. The first contribution overwrites, later ones add.
  Target GradientTarget(ValueId value);
  // d(to) += d(from), where from = to + ...: shares the storage when it is the first contribution. REQUIRES: d(from) is read no more.
  void ShareGradient(ValueId to, ValueId from);
  BufferRef Workspace(Name name, DType dtype, Shape shape);
  void Emit(OpKind kind, const OpAttributes& attributes, absl::Span<const BufferRef> inputs,
            absl::Span<const BufferRef> outputs, Phase phase = Phase::kBackward);

  const ForwardGraph& graph() const { return graph_; }
  // The values that were asked for, in order; filled when recording.
  const std::vector<ValueId>& reads() const { return reads_; }

 private:
  BufferRef AddLocal(Name name, DType dtype, Shape shape, MemoryClass memory_class);
  BufferRef LocalOfStorage(const Value& value);
  void Recompute(const ForwardOp& op);
  BufferRef UsePart(ValueId id);
  Target PartGradientTarget(ValueId id);
  Target ParameterTarget(const Value& weight) const;
  void SharePartGradient(ValueId to, ValueId from);
  // The buffer of d(value), made where there is none yet; says nothing of its contents.
  BufferRef GradientPlace(ValueId value);
  BufferRef PartOf(BufferRef whole, ValueId part);

  Program& program_;
  const ForwardGraph& graph_;
  const SavedSet* saved_ = nullptr;
  bool gradients_exist_ = false;          // of the head, when the block starts
  Block* block_ = nullptr;                // null when recording
  std::vector<BufferRef> gradients_;      // by value; buffer -1: none yet
  std::vector<BufferRef> recomputed_;     // by value; buffer -1: not (or no longer) there
  std::vector<BufferRef> storage_local_;  // by storage, of recomputed values
  std::vector<BufferRef> parts_;          // by value that is a part of another, recomputed or saved
  std::vector<ValueId> reads_;
};

// The backward rule of op's kind: the ops it appends and the values it reads.
void EmitBackward(const ForwardOp& op, BackwardEmitter& emitter);

// Appends a kLocal buffer that belongs to `block` and returns a reference to it.
BufferRef AddLocalBuffer(Program& program, Block& block, Name name, DType dtype, Shape shape,
                         MemoryClass memory_class);

// Appends a view of the part of a matrix that `part` is of another value. Views of locals get their instances with those.
BufferRef AddPartView(Program& program, BufferRef matrix, const Value& part);

}  // namespace tunesmith::planner
