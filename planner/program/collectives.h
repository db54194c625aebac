#pragma once

#include <cstdint>
#include <vector>

#include "planner/program/program.h"

// What goes between ranks, put into the blocks of a program. Collectives have a stream of their own where the device has streams:
//
//   forward of layer i:   its first op waits for its weights (stage 3); those of layer i + 1 are gathered beside the rest
//   backward of layer i:  weights of layer i - 1 are gathered beside it; its last op waits for these and for the gradients of layer i + 1 (from
//                         stage 2); then its own gradients are summed, beside layer i - 1
//
// The weights of the last two layers are still in their slots when backward comes to them. Up to stage 1 gradients are summed in the last micro-batch of a
// step, from stage 2 in every one, into the shard. The functions do nothing where there is nothing to do.
namespace tunesmith::planner {

bool IsCollective(OpKind kind);

// Where a layer stands, as far as its collectives are concerned.
struct LayerPlace {
  bool last = false;          // its forward gathers the head, not the layer above
  bool gathers_below = false;  // its backward gathers the layer below
  bool operator==(const LayerPlace&) const = default;
};
LayerPlace PlaceOfLayer(const ProgramInputs& inputs, int64_t layer);

// The ops that gather the weights of a place, of the instance (run index + shift); none below stage 3.
std::vector<Op> Gathers(const Program& program, BucketPlace place, int32_t shift, Phase phase);
// The ops that sum the gradients of a place over ranks.
std::vector<Op> Reductions(const Program& program, BucketPlace place);

// Of one layer's blocks.
void ShareLayerForward(const Program& program, const LayerPlace& place, Block& forward);
void ShareLayerBackward(const Program& program, const LayerPlace& place, Block& backward);

// Of a training segment: all but its layers.
void ShareEnds(Program& program, const std::vector<BlockRun>& runs);
// Of a segment without backward: every block gathers what it reads.
void ShareForwardOnly(Program& program, const std::vector<BlockRun>& runs);

// Of the optimizer segment: the first block waits until all gradients are summed; the square sum of the shards is summed in front of a block that
// reads it; after the update of a bucket (stages 1 and 2) the others' shards of it are gathered.
void ShareFirst(const Program& program, Block& block);
void SumFirst(const Program& program, int32_t square_sum, Block& block);
std::vector<Op> UpdatedGathers(const Program& program, const Bucket& bucket);
// Of a block that reads a whole weight, in the save segment.
void ShareSave(const Program& program, int32_t weight, Block& block);

}  // namespace tunesmith::planner
