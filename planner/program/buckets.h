#pragma once

#include <cstdint>

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

// How ranks share parameters (ZeRO, arXiv 1910.02054), and what the host keeps of them (ZeRO-Offload, arXiv 2101.06840). Of each bucket a rank keeps
//
//   stage   weights            gradients                 states
//   0       all                all                       all
//   1       all                all                       its shard
//   2       all                its shard (1)             its shard
//   3       its shard (2)      its shard (1)             its shard
//
// (1) a whole bucket of gradients lies in a slot from its block's backward until it is summed over ranks, in every micro-batch;
// (2) whole weights lie in a slot while their block runs. Frozen weights have buckets at stage 3 alone.
//
// offload=optimizer keeps the states in the host's memory, with a copy of the shard of trained weights and, from the end of the last micro-batch of a step on, of
// their gradients; the host updates. With offload_percent below 100 it keeps and updates the first units of each shard, and the device the others beside
// it. offload=all keeps weights and gradients there alone: weights come through slots as in (2), gradients leave
// through slots as in (1), and the host sums them over micro-batches. One rank offloads as if its shard were all.
namespace tunesmith::planner {

// Whether parameters lie in buckets: several ranks train, or the host keeps something.
bool HasBuckets(const ProgramInputs& inputs);
bool HasRanks(const ProgramInputs& inputs);         // several train
bool SharesStates(const ProgramInputs& inputs);     // states are of the shard
bool SharesGradients(const ProgramInputs& inputs);  // whole gradients pass through slots
bool SharesWeights(const ProgramInputs& inputs);    // whole weights do
bool GathersLate(
    const ProgramInputs& inputs);  // in front of the block that reads them: gather_depth=0
bool OffloadsStates(const ProgramInputs& inputs);
bool OffloadsWeights(const ProgramInputs& inputs);  // and gradients

// Puts the program's parameters into buckets: their weights and gradients become views. REQUIRES: HasBuckets, and AddParameters was called.
void AddBuckets(Program& program);

}  // namespace tunesmith::planner
