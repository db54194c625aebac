#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dtype.h"
#include "common/random.h"
#include "common/units.h"
#include "planner/answer/prediction.h"
#include "planner/model/mix.h"
#include "planner/model/model_spec.h"
#include "planner/model/workload.h"
#include "planner/program/name.h"
#include "planner/program/op.h"

// The step program: what one rank computes in one optimizer step, and in evaluation and generation, as ops over named buffers. The planner
// prices it, the profiler times it, the trainer runs it.
//
// A program is segments; a segment is runs of blocks; a block is a short list of ops that repeats over instances (layers, loss chunks). A
// buffer has one address per instance, which the memory plan assigns.
namespace tunesmith::planner {

// Where a buffer lives in the arena and for how long.
enum class Region : uint8_t {
  kResident,  // the whole job: weights, optimizer states, inputs
  kGradient,  // from the backward op that first writes it to the end of the optimizer segment
  kCarried,   // one segment: what passes between its blocks
  kSaved,     // from the forward of its layer to the backward of that layer
  kLocal,     // inside one run of one block
  kView,      // no bytes of its own: a part of another buffer
};

// Memories that a program uses; each is one arena.
enum class Space : uint8_t { kDevice, kHost };
inline constexpr int kSpaceCount = 2;

struct Buffer {
  Name name;  // "layers.{}.self_attn.q_proj.weight": {} stands for the instance
  DType dtype = DType::kF32;
  std::array<int64_t, 3> dims = {1, 1,
                                 1};  // row-major; leading dims first, unused trailing dims absent
  int rank = 0;
  Region region = Region::kLocal;
  MemoryClass memory_class = MemoryClass::kActivations;
  int64_t first_instance = 0;
  int64_t instance_count = 1;
  // kView: instance i starts at view_offset_bytes + i x view_stride_bytes of the buffer `view_of`, or of its instance i where that has several.
  int32_t view_of = -1;
  int64_t view_offset_bytes = 0;
  int64_t view_stride_bytes = 0;
  // kView: rank r's view starts so many bytes times r further on. Plans say where rank 0's is.
  int64_t view_rank_stride_bytes = 0;
  // kView of some columns of a matrix: elements from one row to the next; 0: rows lie one behind another.
  int64_t row_stride = 0;
  // kCarried, kResident: instance i lies where instance i + ring_count does, so that only so many are held at once; 0: each has a place of its own.
  int64_t ring_count = 0;
  Space space = Space::kDevice;
  uint32_t segments = 0;  // kCarried: bit set of SegmentKind

  bool operator==(const Buffer&) const = default;
};

inline int64_t ElementCount(const Buffer& buffer) {
  return buffer.dims[0] * buffer.dims[1] * buffer.dims[2];
}
// Elements from the first of an instance to past its last.
inline int64_t SpanCount(const Buffer& buffer) {
  return buffer.row_stride == 0 ? ElementCount(buffer)
                                : (buffer.dims[0] - 1) * buffer.row_stride + buffer.dims[1];
}
inline int64_t SpanBytes(const Buffer& buffer) { return SpanCount(buffer) * SizeOf(buffer.dtype); }
// Bytes of one instance, without padding; and with the padding that keeps the next one aligned.
inline int64_t InstanceBytes(const Buffer& buffer) {
  return ElementCount(buffer) * SizeOf(buffer.dtype);
}
inline constexpr int64_t kBufferAlignmentBytes = 256;
inline int64_t AlignedInstanceBytes(const Buffer& buffer) {
  return AlignUp(InstanceBytes(buffer), kBufferAlignmentBytes);
}

// How many instances of a buffer are held at once.
inline int64_t PlaceCount(const Buffer& buffer) {
  return buffer.ring_count > 0 ? std::min(buffer.ring_count, buffer.instance_count)
                               : buffer.instance_count;
}

struct Block {
  std::string_view name;  // a literal
  std::vector<Op> ops = {};
  std::vector<int32_t> locals = {};  // its kLocal buffers

  bool operator==(const Block&) const = default;
};

enum class SegmentKind : uint8_t {
  kMicroFirst,
  kMicroMiddle,
  kMicroLast,
  kOptimizer,
  kEvaluate,
  kGenerate,
  kSave
};
inline constexpr int kSegmentKindCount = 7;
std::string_view SegmentKindName(SegmentKind kind);
// A forward and backward pass over one micro-batch.
bool IsMicro(SegmentKind kind);
// Whether an optimizer step runs it: what else there is begins and ends where no stream has work left.
inline bool IsOfStep(SegmentKind kind) { return IsMicro(kind) || kind == SegmentKind::kOptimizer; }
// Whether the op adds to its outputs when it runs in a segment of this kind.
bool Accumulates(const Op& op, SegmentKind kind);
// Whether it runs there at all, where a step has `micro_batch_count` micro-batches.
bool Runs(const Op& op, SegmentKind kind, int64_t micro_batch_count);

// `count` executions of a block with the run index going from `first` by `step` (+1 or -1).
struct BlockRun {
  int32_t block = 0;
  int64_t first = 0;
  int64_t count = 0;
  int64_t step = 1;

  bool operator==(const BlockRun&) const = default;
};

struct Segment {
  SegmentKind kind = SegmentKind::kMicroFirst;
  int64_t repeat_count = 0;  // per optimizer step; 0: not part of a step (evaluate, generate, save)
  std::vector<BlockRun> runs = {};

  bool operator==(const Segment&) const = default;
};

// When a parameter's gradient is first written in a micro-batch, in this order.
enum class GradientBirth : uint8_t { kHead, kFinalNorm, kLayer, kEmbedding };

// A trainable or frozen weight, by the buffers that belong to it; -1 where there is none.
struct Parameter {
  int32_t weight = -1;
  int32_t gradient = -1;
  int32_t moment1 = -1;
  int32_t moment2 = -1;
  int32_t moment1_scale = -1;  // f32, one for kStateBlockSize elements of an 8-bit moment
  int32_t moment2_scale = -1;
  int32_t master = -1;
  // Of a weight in 4-bit NormalFloat, whose `weight` holds the codes.
  int32_t absmax = -1;
  int32_t absmax_scale = -1;
  int32_t absmax_offset = -1;
  bool trainable = false;
  bool decays = false;
  GradientBirth birth = GradientBirth::kLayer;

  bool operator==(const Parameter&) const = default;
};

// Parameters of one width that lie one under another in memory, so that a product with all of them is one: projections of the same input, or their
// adapters' A; and biases.
struct WeightStack {
  int32_t weight = -1;  // all their rows
  int32_t gradient = -1;
  std::vector<int32_t> parameters = {};

  bool operator==(const WeightStack&) const = default;
};

// Where the parameters of a bucket are used.
enum class BucketPlace : uint8_t { kEmbedding, kLayer, kHead };

// A buffer that lies in a bucket: `count` units from the unit `first`.
struct BucketPart {
  int32_t buffer = -1;
  int32_t parameter = -1;  // that it belongs to
  int64_t first = 0;
  int64_t count = 0;

  bool operator==(const BucketPart&) const = default;
};

// Units of a trainable bucket, `first` counted from the shard's, that one op updates, in one memory.
struct BucketUpdate {
  Space space = Space::kDevice;
  int64_t first = 0;
  int64_t count = 0;
  // What the op changes, and by what; and, where the host updates what the device holds too, those units there.
  int32_t weights = -1;
  int32_t gradients = -1;
  int32_t device_weights = -1;
  int32_t device_gradients = -1;
  // What the optimizer keeps.
  int32_t moment1 = -1;
  int32_t moment2 = -1;
  int32_t moment1_scale = -1;
  int32_t moment2_scale = -1;
  int32_t master = -1;

  bool operator==(const BucketUpdate&) const = default;
};

// Parameters that ranks exchange and share as one, trainable or frozen: laid out one behind another, each, or each stack, from a multiple of
// kStateBlockSize units, and filled up to equal shards, one for each rank. A unit is an element of a trainable bucket, a byte of a frozen one. Rank r's shard is the units
// [r x shard_count, (r + 1) x shard_count). Buffers are -1 where there are none; of those named `shard` the rank has its own part alone.
struct Bucket {
  BucketPlace place = BucketPlace::kLayer;
  bool trainable = false;
  std::vector<BucketPart> parts = {};
  int64_t shard_count = 0;
  int32_t weights = -1;  // under ZeRO-3 where they are gathered
  int32_t weight_shard = -1;
  int32_t gradients = -1;
  int32_t gradient_shard = -1;
  // In the host's memory, of the shard: weights that are kept there, or a copy of them; gradients to update them by.
  int32_t host_weights = -1;
  int32_t host_gradients = -1;
  int32_t staged_gradients = -1;           // where those of a micro-batch arrive, to be added
  std::vector<BucketUpdate> updates = {};  // of the shard, under ZeRO-0 of all; of a trainable one

  bool operator==(const Bucket&) const = default;
};

// Buffers that the host reads or writes, by what they hold.
struct HostBuffers {
  // i32. Of the tokens of a micro-batch that this rank has (token_slice.h); document_starts of all.
  int32_t tokens = -1, labels = -1, positions = -1, document_starts = -1;
  // Where the loss is computed on N rows, fewer than there are tokens: (N) i32, which of these it is, ascending, -1: none. `labels` is then (N), of them.
  int32_t loss_rows = -1;
  int32_t loss_scale = -1;    // (1) f32: 1 / valid tokens of the whole optimizer step
  int32_t step_scalars = -1;  // (16) f32
  int32_t step_key = -1;      // (1) u64: StepKey(seed, optimizer step), for stochastic rounding
  int32_t dropout_key =
      -1;  // (2) u64: DropoutKey(seed, optimizer step), this rank's first token in the step; where adapters drop
  int32_t loss_sum = -1;       // (1) f64, summed over micro-batches until the host clears it
  int32_t gradient_norm = -1;  // (1) f32, before clipping
  // Where the host updates: copies of step_scalars, step_key, the clip factor and the squared norm in its memory. The last two are the program's to write.
  int32_t host_step_scalars = -1, host_step_key = -1, host_clip_factor = -1, host_square_sum = -1;
  int32_t generate_token = -1, generate_position = -1, generated_token = -1;  // (1) i32 each

  bool operator==(const HostBuffers&) const = default;
};

// Layers whose gradients are on the device at a time before they are summed: one at work, one on its way.
inline constexpr int64_t kGradientSlotCount = 2;

// Layers on the host rung whose inputs are on the device at a time: one at work, one on its way.
inline constexpr int64_t kHostSlotCount = 2;

// The key of all random numbers of one optimizer step. An element's are RandomBits(RandomKey(RandomKey(step key, parameter_key), instance),
// element): no order of work, no number of threads and no sharding changes them.
constexpr uint64_t StepKey(uint64_t seed, int64_t optimizer_step) {
  return RandomKey(RandomKey(seed, "stochastic rounding"), static_cast<uint64_t>(optimizer_step));
}

// Likewise of what adapters drop: an element's are those at (module, layer, row of the optimizer step, token, element).
constexpr uint64_t DropoutKey(uint64_t seed, int64_t optimizer_step) {
  return RandomKey(RandomKey(seed, "dropout"), static_cast<uint64_t>(optimizer_step));
}

enum class BackendKind : uint8_t { kCpu, kCuda };

// What the program must know of the device's kernels.
struct Backend {
  BackendKind kind = BackendKind::kCpu;
  int64_t compute_capability = 0;  // of a GPU, 90 for sm_90; 0: not known

  bool operator==(const Backend&) const = default;
};

// Whether copies between the memories of device and host run beside its ops, on streams of their own.
inline bool CopiesOverlap(const Backend& backend) { return backend.kind == BackendKind::kCuda; }

struct ProgramInputs {
  ModelSpec model;
  Workload workload;
  Mix mix;
  Backend backend;
  bool trains =
      true;  // false: evaluation and generation only, without gradients and optimizer states
  bool double_precision = false;  // every float is fp64: for gradient checks on the CPU only
};

struct Program {
  ProgramInputs inputs;
  std::vector<Buffer> buffers;
  std::vector<Block> blocks;
  std::vector<Segment> segments;
  std::vector<Parameter> parameters;
  std::vector<WeightStack> stacks;
  std::vector<Bucket> buckets;  // where several ranks share, or the host keeps, parameters
  HostBuffers host;
  int32_t linear_scratch = -1;  // see linear_scratch.h
};

}  // namespace tunesmith::planner
