#include "trainer/pieces.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/program/buckets.h"

namespace tunesmith::trainer {
namespace {

using planner::Bucket;
using planner::BucketPart;
using planner::BucketUpdate;
using planner::Buffer;
using planner::Parameter;
using planner::Program;

const Buffer& BufferOf(const Program& program, int32_t id) {
  return program.buffers[static_cast<size_t>(id)];
}

// Units of a bucket.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

Range ShardOf(const Bucket& bucket, int64_t rank) {
  return {.begin = rank * bucket.shard_count, .end = (rank + 1) * bucket.shard_count};
}
Range WholeOf(const Bucket& bucket, int64_t rank_count) {
  return {.begin = 0, .end = rank_count * bucket.shard_count};
}

// A buffer that holds units of a bucket, `held`; a block of `units` of them takes `bytes`.
struct Holder {
  int32_t buffer = -1;
  Range held;
  int64_t bytes = 0;
  int64_t units = 1;
};

std::optional<Piece> PieceOf(const Holder& holder, const BucketPart& part, Range wanted,
                             int64_t instance) {
  const int64_t begin = std::max({part.first, holder.held.begin, wanted.begin}),
                end = std::min({part.first + part.count, holder.held.end, wanted.end});
  if (holder.buffer < 0 || begin >= end) return std::nullopt;
  return Piece{.buffer = holder.buffer,
               .instance = instance,
               .buffer_first = (begin - holder.held.begin) / holder.units * holder.bytes,
               .tensor_first = (begin - part.first) / holder.units * holder.bytes,
               .bytes = CeilDivide(end - begin, holder.units) * holder.bytes};
}

struct Place {
  const Bucket* bucket = nullptr;
  const BucketPart* part = nullptr;
};

Place Find(const Program& program, int32_t buffer) {
  for (const Bucket& bucket : program.buckets) {
    for (const BucketPart& part : bucket.parts) {
      if (part.buffer == buffer) return {&bucket, &part};
    }
  }
  return {};
}

Piece WholeBuffer(const Program& program, int32_t buffer, int64_t instance) {
  return {.buffer = buffer,
          .instance = instance,
          .bytes = planner::InstanceBytes(BufferOf(program, buffer))};
}

// `buffer` as what a rank holds of a bucket: its shard, or all.
Holder HolderOf(const Program& program, const Bucket& bucket, int64_t rank, int32_t buffer,
                bool shard, int64_t units = 1) {
  if (buffer < 0) return {};
  return {.buffer = buffer,
          .held = shard ? ShardOf(bucket, rank)
                        : WholeOf(bucket, planner::RankCount(program.inputs.mix)),
          .bytes = SizeOf(BufferOf(program, buffer).dtype),
          .units = units};
}

Holder WeightsOf(const Program& program, const Bucket& bucket, int64_t rank) {
  const bool shard = planner::SharesWeights(program.inputs);
  const int32_t buffer = planner::OffloadsWeights(program.inputs) ? bucket.host_weights
                         : shard                                  ? bucket.weight_shard
                                                                  : bucket.weights;
  return HolderOf(program, bucket, rank, buffer, shard);
}

// `buffer` as what the optimizer keeps of the units of an update; of the scales that it keeps of blocks of them.
Holder StatesOf(const Program& program, const Bucket& bucket, int64_t rank,
                const BucketUpdate& update, int32_t buffer, bool scale) {
  Holder holder = HolderOf(program, bucket, rank, buffer, planner::SharesStates(program.inputs),
                           scale ? planner::kStateBlockSize : 1);
  holder.held.begin += update.first;
  holder.held.end = holder.held.begin + update.count;
  return holder;
}

// The copy that the host updates, where weights are on the device too.
Holder HostCopyOf(const Program& program, const Bucket& bucket, int64_t rank) {
  if (planner::OffloadsWeights(program.inputs) || bucket.updates.empty()) return {};
  return StatesOf(program, bucket, rank, bucket.updates.front(), bucket.host_weights,
                  /*scale=*/false);
}

Holder GradientsOf(const Program& program, const Bucket& bucket, int64_t rank) {
  const bool shard = planner::SharesStates(program.inputs);
  const int32_t buffer = planner::OffloadsWeights(program.inputs) ? bucket.host_gradients
                         : shard                                  ? bucket.gradient_shard
                                                                  : bucket.gradients;
  return HolderOf(program, bucket, rank, buffer, shard);
}

// Trained weights, and what the optimizer keeps of them.
enum class StateKind : uint8_t {
  kWeight,
  kMoment1,
  kMoment2,
  kMoment1Scale,
  kMoment2Scale,
  kMaster
};

constexpr const char* kSuffixes[] = {
    "", ".moment1", ".moment2", ".moment1_scale", ".moment2_scale", ".master"};
constexpr int kStateKindCount = 6;

bool IsScale(int kind) {
  return kind == static_cast<int>(StateKind::kMoment1Scale) ||
         kind == static_cast<int>(StateKind::kMoment2Scale);
}

template <typename States>
int32_t StateBuffer(const States& states, int32_t weights, int kind) {
  const int32_t ids[] = {
      weights,      states.moment1, states.moment2, states.moment1_scale, states.moment2_scale,
      states.master};
  return ids[kind];
}

class StateLister {
 public:
  StateLister(const Program& program, int64_t rank) : program_(program), rank_(rank) {}

  std::vector<StateTensor> List() {
    for (const Parameter& p : program_.parameters) {
      if (!p.trainable) continue;
      const Buffer& weight = BufferOf(program_, p.weight);
      for (int kind = 0; kind < kStateKindCount; ++kind) {
        for (int64_t i = 0; i < weight.instance_count; ++i) Add(p, weight, kind, i);
      }
    }
    return std::move(tensors_);
  }

 private:
  void Add(const Parameter& p, const Buffer& weight, int kind, int64_t instance) {
    const Place place = Find(program_, p.weight);
    const int32_t id = place.bucket == nullptr ? StateBuffer(p, p.weight, kind)
                                               : StateBuffer(place.bucket->updates.front(),
                                                             place.bucket->weights, kind);
    if (id < 0) return;
    StateTensor tensor{.name = weight.name.Text(instance) + kSuffixes[kind],
                       .dtype = BufferOf(program_, id).dtype,
                       .dims = {weight.dims.begin(), weight.dims.begin() + weight.rank}};
    if (IsScale(kind))
      tensor.dims = {CeilDivide(planner::ElementCount(weight), planner::kStateBlockSize)};
    tensor.bytes = SizeOf(tensor.dtype);
    for (int64_t dim : tensor.dims) tensor.bytes *= dim;
    if (place.bucket == nullptr) {
      tensor.held = tensor.saved = {WholeBuffer(program_, id, instance)};
    } else {
      AddPieces(place, kind, instance, tensor);
    }
    tensors_.push_back(std::move(tensor));
  }

  void AddPieces(const Place& place, int kind, int64_t instance, StateTensor& tensor) const {
    const Bucket& bucket = *place.bucket;
    const auto add = [&](const Holder& holder, Range wanted, std::vector<Piece>& pieces) {
      if (const auto piece = PieceOf(holder, *place.part, wanted, instance))
        pieces.push_back(*piece);
    };
    const auto add_own = [&](const Holder& holder) {
      add(holder, holder.held, tensor.held);
      add(holder, ShardOf(bucket, rank_), tensor.saved);
    };
    if (kind == 0) {
      add_own(WeightsOf(program_, bucket, rank_));
      const Holder copy = HostCopyOf(program_, bucket, rank_);
      return add(copy, copy.held, tensor.held);
    }
    for (const BucketUpdate& update : bucket.updates)
      add_own(
          StatesOf(program_, bucket, rank_, update, StateBuffer(update, -1, kind), IsScale(kind)));
  }

  const Program& program_;
  const int64_t rank_;
  std::vector<StateTensor> tensors_;
};

absl::Status Write(Arena& arena, const std::vector<Piece>& pieces, const void* bytes) {
  for (const Piece& piece : pieces)
    TUNESMITH_RETURN_IF_ERROR(arena.Write(piece.buffer, piece.instance,
                                          static_cast<const std::byte*>(bytes) + piece.tensor_first,
                                          piece.bytes, piece.buffer_first));
  return absl::OkStatus();
}

void Add(const Holder& holder, const BucketPart& part, int64_t instance,
         std::vector<Piece>& pieces) {
  if (const auto piece = PieceOf(holder, part, holder.held, instance)) pieces.push_back(*piece);
}

}  // namespace

std::vector<Piece> WeightPieces(const Program& program, int64_t rank, int32_t buffer,
                                int64_t instance) {
  const Place place = Find(program, buffer);
  if (place.bucket == nullptr) return {WholeBuffer(program, buffer, instance)};
  std::vector<Piece> pieces;
  Add(HostCopyOf(program, *place.bucket, rank), *place.part, instance, pieces);
  Add(WeightsOf(program, *place.bucket, rank), *place.part, instance, pieces);
  return pieces;
}

std::vector<Piece> MasterPieces(const Program& program, int64_t rank, int32_t parameter,
                                int64_t instance) {
  const Parameter& p = program.parameters[static_cast<size_t>(parameter)];
  if (p.master >= 0) return {WholeBuffer(program, p.master, instance)};
  std::vector<Piece> pieces;
  const Place place = Find(program, p.weight);
  if (place.bucket == nullptr || !p.trainable) return pieces;
  for (const BucketUpdate& update : place.bucket->updates)
    Add(StatesOf(program, *place.bucket, rank, update, update.master, /*scale=*/false), *place.part,
        instance, pieces);
  return pieces;
}

absl::Status WriteWeightPiece(Arena& arena, int32_t buffer, int64_t instance, const void* bytes) {
  return Write(arena, WeightPieces(arena.program(), arena.rank(), buffer, instance), bytes);
}

absl::Status WriteMasterPiece(Arena& arena, int32_t parameter, int64_t instance,
                              const void* bytes) {
  return Write(arena, MasterPieces(arena.program(), arena.rank(), parameter, instance), bytes);
}

std::vector<StateTensor> StateTensorsOf(const Program& program, int64_t rank) {
  return StateLister(program, rank).List();
}

std::optional<Piece> GradientPiece(const Program& program, int64_t rank, int32_t parameter,
                                   int64_t instance) {
  const Parameter& p = program.parameters[static_cast<size_t>(parameter)];
  const Place place = Find(program, p.weight);
  if (place.bucket == nullptr) return WholeBuffer(program, p.gradient, instance);
  const Holder holder = GradientsOf(program, *place.bucket, rank);
  return PieceOf(holder, *place.part, holder.held, instance);
}

}  // namespace tunesmith::trainer
