#pragma once

#include <cstdint>

#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

// How ranks share parameters (ZeRO, arXiv 1910.02054). Of each bucket a rank keeps
//
//   stage   weights            gradients                 states
//   0       all                all                       all
//   1       all                all                       its shard
//   2       all                its shard (1)             its shard
//   3       its shard (2)      its shard (1)             its shard
//
// (1) a whole bucket of gradients lies in a slot from its block's backward until it is summed over ranks, in every micro-batch;
// (2) whole weights lie in a slot while their block runs. Frozen weights have buckets at stage 3 alone.
namespace tunesmith::planner {

// Whether several ranks train, so that what they train lies in buckets.
bool HasBuckets(const ProgramInputs& inputs);
bool SharesStates(const ProgramInputs& inputs);     // from stage 1
bool SharesGradients(const ProgramInputs& inputs);  // from stage 2
bool SharesWeights(const ProgramInputs& inputs);    // stage 3

// Puts the program's parameters into buckets: their weights and gradients become views. REQUIRES: HasBuckets, and AddParameters was called.
void AddBuckets(Program& program);

}  // namespace tunesmith::planner
