#include "planner/program/checkpoint_bytes.h"

#include "common/units.h"
#include "planner/program/buckets.h"

namespace tunesmith::planner {
namespace {

// Of so many elements of a trained weight, and of what `states` (a Parameter or a BucketUpdate) keep of them.
template <typename States>
int64_t BytesOf(const Program& program, const States& states, int64_t weight_element_bytes,
                int64_t element_count) {
  int64_t bytes = element_count * weight_element_bytes;
  const auto add = [&](int32_t buffer, int64_t count) {
    if (buffer >= 0) bytes += count * SizeOf(program.buffers[static_cast<size_t>(buffer)].dtype);
  };
  const int64_t block_count = CeilDivide(element_count, kStateBlockSize);
  add(states.moment1, element_count);
  add(states.moment2, element_count);
  add(states.moment1_scale, block_count);
  add(states.moment2_scale, block_count);
  add(states.master, element_count);
  return bytes;
}

}  // namespace

int64_t CheckpointBytes(const Program& program) {
  int64_t bytes = 0;
  const auto add = [&](const Parameter& p, const auto& states) {
    const Buffer& weight = program.buffers[static_cast<size_t>(p.weight)];
    bytes += weight.instance_count *
             BytesOf(program, states, SizeOf(weight.dtype), ElementCount(weight));
  };
  // Ranks keep states by buckets, one rank alone by parameters.
  if (program.buckets.empty()) {
    for (const Parameter& p : program.parameters)
      if (p.trainable) add(p, p);
    return bytes;
  }
  for (const Bucket& bucket : program.buckets) {
    if (!bucket.trainable) continue;
    for (const BucketPart& part : bucket.parts) {
      const Parameter& p = program.parameters[static_cast<size_t>(part.parameter)];
      if (part.buffer == p.weight) add(p, bucket.updates.front());
    }
  }
  return bytes;
}

}  // namespace tunesmith::planner
