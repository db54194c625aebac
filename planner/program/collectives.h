#pragma once

#include <cstdint>
#include <vector>

#include "planner/program/program.h"

// What goes between ranks, and between device and host, put into the blocks of a program. Every direction has a stream of its own where the device has streams:
//
//   forward of layer i:   its first op waits for its weights (where these pass through slots); those of layer i + 1 are gathered beside the rest (gather_depth=1)
//   backward of layer i:  weights of layer i - 1 are gathered beside it; its last op waits for these and for the slot of the gradients of layer
//                         i + 1 to be empty (where these pass through slots); then its own gradients are summed, beside layer i - 1
//
// The weights of the last two layers are still in their slots when backward comes to them. With gather_depth=0 there is one slot: every block gathers its own weights in front of its first
// op, but for the last layer's backward. A greater depth would hide no more: a stream is waited for as a whole, so that the next layer's first op waits for whatever is gathered before it.
// Gradients that pass through slots are summed in every micro-batch,
// others in the last of a step. The functions do nothing where there is nothing to do.
namespace tunesmith::planner {

bool IsCollective(OpKind kind);

// Where a layer stands, as far as its collectives are concerned.
struct LayerPlace {
  bool last = false;           // its forward gathers the head, not the layer above
  bool gathers_below = false;  // its backward gathers the layer below
  bool gathers_itself =
      false;  // its forward does, and its backward unless it is the last: none gathers others
  bool operator==(const LayerPlace&) const = default;
};
LayerPlace PlaceOfLayer(const ProgramInputs& inputs, int64_t layer);
// The same of a layer whose weights pass through slots, by what it is and by when they are gathered.
LayerPlace PlaceInSlots(bool first, bool last, bool gathers_late);

// The streams that an op waits for which reads gathered weights; and those that the last op of a layer's backward waits for.
uint8_t WeightWaits(const ProgramInputs& inputs);
uint8_t BackwardWaits(const ProgramInputs& inputs);

// The ops that gather the weights of a place, of the instance (run index + shift); none where weights do not pass through slots.
std::vector<Op> Gathers(const Program& program, BucketPlace place, int32_t shift, Phase phase);
// The ops that sum the gradients of a place over ranks, and take them to the host.
std::vector<Op> Reductions(const Program& program, BucketPlace place);

// Of one layer's blocks.
void ShareLayerForward(const Program& program, const LayerPlace& place, Block& forward);
void ShareLayerBackward(const Program& program, const LayerPlace& place, Block& backward);

// Of a training segment: all but its layers.
void ShareEnds(Program& program, const std::vector<BlockRun>& runs);
// Of a segment without backward: every block gathers what it reads.
void ShareForwardOnly(Program& program, const std::vector<BlockRun>& runs);

// Of the optimizer segment: the first block waits until all gradients are summed; the square sum of the shards is summed in front of a block that
// reads it; the host gets the clip factor; an op of the host's; and what follows the update of a bucket.
void ShareFirst(const Program& program, Block& block);
void SumFirst(const Program& program, int32_t square_sum, Block& block);
void ClipToHost(const Program& program, int32_t clip_factor, Block& block);
void OnHost(const Program& program, Op& op);
std::vector<Op> AfterUpdate(const Program& program, const Bucket& bucket);
// Of a block that reads a whole weight, in the save segment.
void ShareSave(const Program& program, int32_t weight, Block& block);

}  // namespace tunesmith::planner
