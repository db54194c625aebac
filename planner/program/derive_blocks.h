#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "planner/program/forward_graph.h"
#include "planner/program/program.h"

// From a block's forward graph to its blocks. A rung is nothing but a set of values that are not saved: whatever backward reads and did not
// save is recomputed by emitting its producer again, as late as possible.
namespace tunesmith::planner {

// What one rung keeps of one block graph: for every storage that is saved, the buffer it is saved in.
struct SavedSet {
  std::vector<int32_t> buffer_of_storage;  // -1: not saved
};

// The values that backward reads, in the order in which it does, each as often as it does.
std::vector<ValueId> ReadByBackward(Program& program, const ForwardGraph& graph);

// What a rung saves: the values that backward reads, less those the rung drops; of each storage one, ascending. `reads`: of ReadByBackward.
std::vector<ValueId> ValuesToSave(const ForwardGraph& graph, const std::vector<ValueId>& reads,
                                  Rung rung);

// Adds one kSaved buffer for each value of ValuesToSave to `program`, with instances [first_instance, first_instance + instance_count).
SavedSet SaveForBackward(Program& program, const ForwardGraph& graph,
                         const std::vector<ValueId>& values, const char* prefix,
                         int64_t first_instance, int64_t instance_count);

// The ops of the graph, by index, that backward runs again when so much is saved, in the order and as often as it does: what AddBackwardBlock
// emits, for less.
std::vector<int32_t> RecomputedOps(const ForwardGraph& graph, const std::vector<ValueId>& reads,
                                   const std::vector<ValueId>& saved_values);

// Nothing saved: for evaluation and generation.
SavedSet SaveNothing(const ForwardGraph& graph);

// Appends the forward block and returns its index.
int32_t AddForwardBlock(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                        std::string_view name, Phase phase);

// Appends the backward block and returns its index. Gradients of parameters are added to when `gradients_exist` or in later micro-batches, else
// overwritten.
int32_t AddBackwardBlock(Program& program, const ForwardGraph& graph, const SavedSet& saved,
                         std::string_view name, bool gradients_exist);

}  // namespace tunesmith::planner
