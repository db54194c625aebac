#include "planner/program/buckets.h"

#include <algorithm>
#include <array>

#include "common/units.h"
#include "planner/program/add_buffer.h"
#include "planner/program/optimizer_states.h"
#include "planner/program/packed_block.h"

namespace tunesmith::planner {
namespace {

constexpr std::array<BucketPlace, 3> kPlaces = {BucketPlace::kEmbedding, BucketPlace::kLayer,
                                                BucketPlace::kHead};

Name NameOf(BucketPlace place, bool trainable) {
  const char* kind = trainable ? "trainable" : "frozen";
  switch (place) {
    case BucketPlace::kEmbedding:
      return Name("embedding.").With(kind);
    case BucketPlace::kLayer:
      return Name("layers.{}.").With(kind);
    case BucketPlace::kHead:
      return Name("head.").With(kind);
  }
  return {};
}

class BucketBuilder {
 public:
  explicit BucketBuilder(Program& program) : program_(program) {}

  void Build() {
    for (BucketPlace place : kPlaces) {
      for (bool trainable : {true, false}) {
        if (!trainable && !SharesWeights(inputs())) continue;
        Bucket bucket{.place = place, .trainable = trainable};
        FillParts(bucket);
        if (!bucket.parts.empty()) program_.buckets.push_back(std::move(bucket));
      }
    }
    AddEndSlots();
    for (Bucket& bucket : program_.buckets) AddBuffersOf(bucket);
  }

 private:
  const ProgramInputs& inputs() const { return program_.inputs; }
  Buffer& buffer(int32_t id) { return program_.buffers[static_cast<size_t>(id)]; }
  int64_t rank_count() const { return RankCount(inputs().mix); }
  DType UnitOf(const Bucket& bucket) const {
    return bucket.trainable ? ComputeDType(inputs()) : DType::kU8;
  }
  int64_t WholeCount(const Bucket& bucket) const { return rank_count() * bucket.shard_count; }
  bool InLayer(const Bucket& bucket) const { return bucket.place == BucketPlace::kLayer; }
  int64_t InstanceCount(const Bucket& bucket) const {
    return InLayer(bucket) ? inputs().model.layer_count : 1;
  }

  // A tied head makes one bucket of both ends.
  BucketPlace PlaceOf(const Parameter& p) {
    if (buffer(p.weight).name.HasInstance()) return BucketPlace::kLayer;
    const bool at_start = inputs().model.tied_head || p.birth == GradientBirth::kEmbedding;
    return at_start ? BucketPlace::kEmbedding : BucketPlace::kHead;
  }

  void FillParts(Bucket& bucket) {
    for (size_t i = 0; i < program_.parameters.size(); ++i) {
      const Parameter& p = program_.parameters[i];
      const int32_t id = static_cast<int32_t>(i);
      if (p.trainable != bucket.trainable || PlaceOf(p) != bucket.place) continue;
      const WeightStack* const stack = StackOf(id);
      if (stack == nullptr) {
        AddParts(bucket, id, kStateBlockSize);
      } else if (stack->parameters[0] == id) {
        for (int32_t member : stack->parameters)
          AddParts(bucket, member, member == id ? kStateBlockSize : 1);
      }
    }
    const int64_t end = bucket.parts.empty() ? 0 : EndOf(bucket);
    bucket.shard_count = AlignUp(CeilDivide(end, rank_count()), kStateBlockSize);
  }

  static int64_t EndOf(const Bucket& bucket) {
    return bucket.parts.back().first + bucket.parts.back().count;
  }

  // The parts of a parameter behind the others, its first from a multiple of `alignment` units.
  void AddParts(Bucket& bucket, int32_t parameter, int64_t alignment) {
    const Parameter& p = program_.parameters[static_cast<size_t>(parameter)];
    for (int32_t id : {p.weight, p.absmax, p.absmax_scale, p.absmax_offset}) {
      if (id < 0) continue;
      const int64_t count = bucket.trainable ? ElementCount(buffer(id)) : InstanceBytes(buffer(id));
      const int64_t end = bucket.parts.empty() ? 0 : EndOf(bucket);
      bucket.parts.push_back(
          {.buffer = id, .parameter = parameter, .first = AlignUp(end, alignment), .count = count});
      alignment = kStateBlockSize;
    }
  }

  // The stack that a parameter is in; null: none.
  const WeightStack* StackOf(int32_t parameter) const {
    for (const WeightStack& stack : program_.stacks) {
      if (std::find(stack.parameters.begin(), stack.parameters.end(), parameter) !=
          stack.parameters.end())
        return &stack;
    }
    return nullptr;
  }
  // That begins with the parameter; null: none.
  const WeightStack* StackFrom(int32_t parameter) const {
    const WeightStack* const stack = StackOf(parameter);
    return stack != nullptr && stack->parameters[0] == parameter ? stack : nullptr;
  }

  // The ends of the model are not at work at the same time: their buckets, one for each end, share a place.
  void AddEndSlots() {
    int64_t weight_bytes = 0, gradient_bytes = 0;
    for (const Bucket& b : program_.buckets) {
      if (InLayer(b)) continue;
      weight_bytes = std::max(weight_bytes, WholeCount(b) * SizeOf(UnitOf(b)));
      if (b.trainable)
        gradient_bytes = std::max(gradient_bytes, WholeCount(b) * SizeOf(GradientDType(inputs())));
    }
    if (SharesWeights(inputs()) && weight_bytes > 0)
      weight_slot_ = AddSlot("ends.weights", DType::kU8, weight_bytes, Region::kResident, 1);
    if (SharesGradients(inputs()) && gradient_bytes > 0)
      gradient_slot_ = AddSlot("ends.gradients", DType::kU8, gradient_bytes, Region::kCarried, 1);
  }

  // Weights lie there while their block runs, and those that are gathered ahead of it.
  int64_t SlotCount(Region region) const {
    return region == Region::kCarried ? kGradientSlotCount : inputs().mix.gather_depth + 1;
  }

  int32_t AddSlot(Name name, DType dtype, int64_t count, Region region, int64_t instance_count) {
    return AddBuffer(program_, {.name = name,
                                .dtype = dtype,
                                .dims = {count, 1, 1},
                                .rank = 1,
                                .region = region,
                                .memory_class = MemoryClass::kCommunication,
                                .instance_count = instance_count,
                                .ring_count = name.HasInstance() ? SlotCount(region) : int64_t{0},
                                .segments = region == Region::kCarried ? kMicroSegments : 0});
  }

  int32_t AddOwn(Name name, DType dtype, int64_t count, Region region, MemoryClass memory_class,
                 int64_t instance_count, Space space = Space::kDevice) {
    return AddBuffer(program_, {.name = name,
                                .dtype = dtype,
                                .dims = {count, 1, 1},
                                .rank = 1,
                                .region = region,
                                .memory_class = memory_class,
                                .instance_count = instance_count,
                                .space = space});
  }
  int32_t AddOnHost(Name name, DType dtype, int64_t count, MemoryClass memory_class,
                    int64_t instance_count) {
    return AddOwn(name, dtype, count, Region::kResident, memory_class, instance_count,
                  Space::kHost);
  }

  // Of `of`, or of what that is a view of: views are of what has memory of its own.
  int32_t AddView(Name name, DType dtype, int64_t count, int32_t of, int64_t rank_stride_bytes = 0,
                  int64_t first = 0) {
    const int64_t instance_count = buffer(of).instance_count;
    const int64_t offset_bytes = buffer(of).view_offset_bytes + first * SizeOf(dtype);
    of = BaseOf(program_, of);
    return AddBuffer(program_, {.name = name,
                                .dtype = dtype,
                                .dims = {count, 1, 1},
                                .rank = 1,
                                .region = Region::kView,
                                .memory_class = buffer(of).memory_class,
                                .instance_count = instance_count,
                                .view_of = of,
                                .view_offset_bytes = offset_bytes,
                                .view_rank_stride_bytes = rank_stride_bytes});
  }

  void AddBuffersOf(Bucket& bucket) {
    const Name name = NameOf(bucket.place, bucket.trainable);
    AddWeights(bucket, name);
    if (!bucket.trainable) return;
    AddGradients(bucket, name);
    if (OffloadsStates(inputs())) return AddOffloadedUpdates(bucket, name);
    const bool shares = SharesStates(inputs());
    AddUpdate(bucket, name,
              {.count = shares ? bucket.shard_count : WholeCount(bucket),
               .weights = shares ? bucket.weight_shard : bucket.weights,
               .gradients = shares ? bucket.gradient_shard : bucket.gradients});
  }

  // The host's first units of the shard; the device's, which are the others.
  void AddOffloadedUpdates(Bucket& bucket, Name name) {
    const int64_t on_host = HostCount(bucket), others = bucket.shard_count - on_host;
    BucketUpdate host{.space = Space::kHost,
                      .count = on_host,
                      .weights = bucket.host_weights,
                      .gradients = bucket.host_gradients};
    if (!OffloadsWeights(inputs())) {
      host.device_weights = PartOfShard(bucket, bucket.weight_shard, 0, on_host, ".host_part");
      host.device_gradients = PartOfShard(bucket, bucket.gradient_shard, 0, on_host, ".host_part");
    }
    AddUpdate(bucket, name, host);
    if (others == 0) return;
    AddUpdate(
        bucket, name.With(".device"),
        {.first = on_host,
         .count = others,
         .weights = PartOfShard(bucket, bucket.weight_shard, on_host, others, ".device_part"),
         .gradients = PartOfShard(bucket, bucket.gradient_shard, on_host, others, ".device_part")});
  }

  void AddUpdate(Bucket& bucket, Name name, BucketUpdate update) {
    SetStates(AddOptimizerStates(program_, name, Vector(update.count), InstanceCount(bucket),
                                 update.space),
              update);
    bucket.updates.push_back(update);
  }

  // A multiple of what is scaled as one, so that each is in one memory.
  int64_t HostCount(const Bucket& bucket) const {
    return std::min(bucket.shard_count,
                    AlignUp(CeilDivide(bucket.shard_count * inputs().mix.offload_percent, 100),
                            kStateBlockSize));
  }

  int32_t PartOfShard(const Bucket& bucket, int32_t shard, int64_t first, int64_t count,
                      const char* suffix) {
    if (count == bucket.shard_count) return shard;
    const Buffer whole = buffer(shard);
    return AddView(whole.name.With(suffix), whole.dtype, count, shard, whole.view_rank_stride_bytes,
                   first);
  }

  void AddWeights(Bucket& bucket, Name name) {
    const DType unit = UnitOf(bucket);
    const int64_t whole = WholeCount(bucket), instances = InstanceCount(bucket);
    if (OffloadsWeights(inputs()) || (OffloadsStates(inputs()) && bucket.trainable))
      bucket.host_weights = AddOnHost(name.With(".host"), unit,
                                      bucket.trainable ? HostCount(bucket) : bucket.shard_count,
                                      MemoryClass::kWeights, instances);
    if (!SharesWeights(inputs())) {
      bucket.weights =
          AddOwn(name, unit, whole, Region::kResident, MemoryClass::kWeights, instances);
      bucket.weight_shard = AddView(name.With(".shard"), unit, bucket.shard_count, bucket.weights,
                                    bucket.shard_count * SizeOf(unit));
    } else {
      bucket.weights = InLayer(bucket) ? AddSlot(name, unit, whole, Region::kResident, instances)
                                       : AddView(name, unit, whole, weight_slot_);
      AddWeightShard(bucket, name.With(".shard"), unit, instances);
    }
    for (const BucketPart& part : bucket.parts) {
      const int64_t offset_bytes = part.first * SizeOf(unit);
      MakeView(part.buffer, bucket.weights, offset_bytes);
      if (const WeightStack* const stack = StackFrom(part.parameter))
        MakeView(stack->weight, bucket.weights, offset_bytes);
    }
  }

  void AddGradients(Bucket& bucket, Name name) {
    const DType dtype = GradientDType(inputs());
    const int64_t whole = WholeCount(bucket), instances = InstanceCount(bucket);
    const Name gradient = name.With(".gradient");
    if (!SharesGradients(inputs())) {
      bucket.gradients =
          AddOwn(gradient, dtype, whole, Region::kGradient, MemoryClass::kGradients, instances);
      bucket.gradient_shard = AddView(gradient.With(".shard"), dtype, bucket.shard_count,
                                      bucket.gradients, bucket.shard_count * SizeOf(dtype));
    } else {
      bucket.gradients = InLayer(bucket)
                             ? AddSlot(gradient, dtype, whole, Region::kCarried, instances)
                             : AddView(gradient, dtype, whole, gradient_slot_);
      AddGradientShard(bucket, gradient.With(".shard"), dtype, instances);
    }
    if (OffloadsStates(inputs()))
      bucket.host_gradients = AddOnHost(gradient.With(".host"), dtype, HostCount(bucket),
                                        MemoryClass::kGradients, instances);
    for (const BucketPart& part : bucket.parts) {
      const int64_t offset_bytes = part.first * SizeOf(dtype);
      MakeView(program_.parameters[static_cast<size_t>(part.parameter)].gradient, bucket.gradients,
               offset_bytes);
      if (const WeightStack* const stack = StackFrom(part.parameter))
        MakeView(stack->gradient, bucket.gradients, offset_bytes);
    }
  }

  // A slot where what comes from the host waits to be gathered, where the host keeps weights: of one rank alone it is the whole.
  void AddWeightShard(Bucket& bucket, Name name, DType unit, int64_t instances) {
    if (!OffloadsWeights(inputs())) {
      bucket.weight_shard = AddOwn(name, unit, bucket.shard_count, Region::kResident,
                                   MemoryClass::kWeights, instances);
    } else if (HasRanks(inputs())) {
      bucket.weight_shard = AddSlot(name, unit, bucket.shard_count, Region::kResident, instances);
    } else {
      bucket.weight_shard = bucket.weights;
    }
  }

  // Likewise what goes to the host.
  void AddGradientShard(Bucket& bucket, Name name, DType dtype, int64_t instances) {
    if (!OffloadsWeights(inputs())) {
      bucket.gradient_shard = AddOwn(name, dtype, bucket.shard_count, Region::kGradient,
                                     MemoryClass::kGradients, instances);
      return;
    }
    bucket.gradient_shard =
        HasRanks(inputs()) ? AddSlot(name, dtype, bucket.shard_count, Region::kCarried, instances)
                           : bucket.gradients;
    bucket.staged_gradients =
        AddBuffer(program_, {.name = name.With(".staged"),
                             .dtype = dtype,
                             .dims = {bucket.shard_count, 1, 1},
                             .rank = 1,
                             .region = Region::kResident,
                             .memory_class = MemoryClass::kGradients,
                             .instance_count = instances,
                             .ring_count = InLayer(bucket) ? kGradientSlotCount : int64_t{0},
                             .space = Space::kHost});
  }

  // Views are of what has memory of its own.
  void MakeView(int32_t id, int32_t whole, int64_t offset_bytes) {
    Buffer& view = buffer(id);
    view.region = Region::kView;
    view.view_of = BaseOf(program_, whole);
    view.view_offset_bytes = offset_bytes;
  }

  Program& program_;
  int32_t weight_slot_ = -1;
  int32_t gradient_slot_ = -1;
};

}  // namespace

bool HasBuckets(const ProgramInputs& inputs) { return HasRanks(inputs) || OffloadsStates(inputs); }
bool HasRanks(const ProgramInputs& inputs) { return inputs.trains && RankCount(inputs.mix) > 1; }
bool OffloadsStates(const ProgramInputs& inputs) {
  return inputs.trains && inputs.mix.offload != Offload::kNone;
}
bool OffloadsWeights(const ProgramInputs& inputs) {
  return inputs.trains && inputs.mix.offload == Offload::kAll;
}
bool SharesStates(const ProgramInputs& inputs) {
  return OffloadsStates(inputs) || (HasBuckets(inputs) && inputs.mix.zero_stage >= 1);
}
bool SharesGradients(const ProgramInputs& inputs) {
  return OffloadsWeights(inputs) || (HasBuckets(inputs) && inputs.mix.zero_stage >= 2);
}
bool SharesWeights(const ProgramInputs& inputs) {
  return inputs.trains && GathersWeights(inputs.mix);
}

bool GathersLate(const ProgramInputs& inputs) {
  return SharesWeights(inputs) && inputs.mix.gather_depth == 0;
}

void AddBuckets(Program& program) { BucketBuilder(program).Build(); }

}  // namespace tunesmith::planner
