#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "planner/program/build_program.h"

// The digest is two 64-bit hashes of a fixed serialization: every field of every buffer, block and segment in order, word by word. It tells
// programs apart; it is not a defence against forgery.
namespace tunesmith::planner {
namespace {

class Hasher {
 public:
  // Multiply and fold, with two odd constants (the fractional parts of the golden ratio and of the square root of 5, made odd).
  void Add(int64_t value) {
    low_ = Fold(low_ ^ static_cast<uint64_t>(value), 0x9e3779b97f4a7c15u);
    high_ = Fold(std::rotl(high_, 23) ^ static_cast<uint64_t>(value), 0x3c6ef372fe94f82bu);
  }
  void Add(double value) { Add(std::bit_cast<int64_t>(value)); }
  void AddText(std::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    int64_t word = 0;
    for (; text.size() >= sizeof word; text.remove_prefix(sizeof word)) {
      std::memcpy(&word, text.data(), sizeof word);
      Add(word);
    }
    word = 0;
    for (char c : text) word = word << 8 | static_cast<uint8_t>(c);
    Add(word);
  }
  std::string Hex() const { return absl::StrFormat("%016x%016x", low_, high_); }

 private:
  static uint64_t Fold(uint64_t x, uint64_t factor) {
    x *= factor;
    return x ^ (x >> 32);
  }

  uint64_t low_ = 0xcbf29ce484222325u;
  uint64_t high_ = 0x9ae16a3b2f90404fu;
};

// Small fields share a word.
template <typename... Fields>
int64_t Packed(Fields... fields) {
  static_assert(sizeof...(fields) <= 8);
  uint64_t word = 0;
  ((word = word << 8 | static_cast<uint8_t>(fields)), ...);
  return static_cast<int64_t>(word);
}

void AddBuffer(Hasher& h, const Buffer& b) {
  b.name.ForEachPart([&h](std::string_view part) { h.AddText(part); });
  for (int64_t field : {Packed(b.dtype, b.region, b.memory_class, b.space, b.segments), b.dims[0],
                        b.dims[1], b.dims[2], b.first_instance, b.instance_count})
    h.Add(field);
  if (b.view_of < 0 && b.ring_count == 0) return;
  for (int64_t field : {int64_t{b.view_of}, b.view_offset_bytes, b.view_stride_bytes, b.ring_count})
    h.Add(field);
  if (b.view_rank_stride_bytes != 0) h.Add(b.view_rank_stride_bytes);
  if (b.row_stride != 0) h.Add(b.row_stride);
}

int64_t Bits(double value) { return std::bit_cast<int64_t>(value); }

void AddPattern(Hasher& h, const LayerPattern& pattern) {
  h.Add(pattern.empty() ? 0 : pattern.period);
  h.Add(static_cast<int64_t>(pattern.bits));
}

// What kRope reads of the model.
void AddAngles(Hasher& h, const ModelSpec& model) {
  const RopeScaling& rope = model.rope_scaling;
  for (int64_t field : {Bits(model.rope_theta), Bits(model.local_rope_theta), RotarySize(model),
                        static_cast<int64_t>(rope.kind)})
    h.Add(field);
  AddPattern(h, model.full_layers);
  AddPattern(h, model.unrotated_layers);
  if (rope.kind == RopeScalingKind::kNone) return;
  for (int64_t field : {Bits(rope.factor), Bits(rope.low_frequency_factor),
                        Bits(rope.high_frequency_factor), rope.original_context_limit,
                        Bits(rope.beta_fast), Bits(rope.beta_slow), Bits(rope.attention_factor)})
    h.Add(field);
  for (const auto* factors : {&rope.short_factors, &rope.long_factors}) {
    for (const double factor : *factors) h.Add(Bits(factor));
  }
}

// Which of the attributes are not zero, then those.
void AddAttributes(Hasher& h, const OpAttributes& a) {
  const std::array<int64_t, 22> fields = {Bits(a.scale - 1.0),
                                          Bits(a.epsilon),
                                          a.head_count,
                                          a.kv_head_count,
                                          a.head_size,
                                          a.context,
                                          a.window,
                                          Bits(a.weight_offset),
                                          Bits(a.dropout),
                                          a.row_begin,
                                          Bits(a.soft_cap),
                                          Bits(a.alibi_bias_max),
                                          Bits(a.alibi_factor - 1.0),
                                          a.full_layers.empty() ? 0 : a.full_layers.period,
                                          static_cast<int64_t>(a.full_layers.bits),
                                          static_cast<int64_t>(a.activation),
                                          static_cast<int64_t>(a.parameter_key),
                                          Packed(a.accumulate, a.accumulate_later, a.decays),
                                          int64_t{a.bucket} + 1,
                                          Packed(a.of_shard, a.last_micro_only),
                                          int64_t{a.sequence_parallel} - 1,
                                          a.shard_first};
  int64_t present = 0;
  for (size_t i = 0; i < fields.size(); ++i) present |= int64_t{fields[i] != 0} << i;
  h.Add(present);
  for (int64_t field : fields) {
    if (field != 0) h.Add(field);
  }
}

void AddOp(Hasher& h, const Op& op) {
  h.Add(Packed(op.kind, op.stream, op.waits, op.input_count, op.output_count));
  const auto add = [&h](const BufferRef& ref) {
    h.Add(int64_t{ref.buffer} << 32 | static_cast<uint32_t>(ref.shift));
  };
  std::for_each_n(op.inputs.begin(), op.input_count, add);
  std::for_each_n(op.outputs.begin(), op.output_count, add);
  AddAttributes(h, op.attributes);
}

void AddBucket(Hasher& h, const Bucket& bucket) {
  for (int64_t field : {Packed(bucket.place, bucket.trainable), bucket.shard_count,
                        int64_t{bucket.weights}, int64_t{bucket.gradients}})
    h.Add(field);
  for (const BucketPart& part : bucket.parts)
    for (int64_t field : {int64_t{part.buffer}, part.first, part.count}) h.Add(field);
}

}  // namespace

std::string ProgramDigest(const Program& program) {
  Hasher h;
  AddAngles(h, program.inputs.model);
  for (const Buffer& b : program.buffers) AddBuffer(h, b);
  for (const Bucket& bucket : program.buckets) AddBucket(h, bucket);
  for (const Block& block : program.blocks) {
    h.Add(static_cast<int64_t>(block.ops.size()));
    for (const Op& op : block.ops) AddOp(h, op);
  }
  for (const Segment& s : program.segments) {
    h.Add(static_cast<int64_t>(s.kind));
    h.Add(s.repeat_count);
    for (const BlockRun& run : s.runs)
      for (int64_t field : {int64_t{run.block}, run.first, run.count, run.step}) h.Add(field);
  }
  return h.Hex();
}

}  // namespace tunesmith::planner
