#include <algorithm>
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
    for (size_t at = 0; at < text.size(); at += sizeof(int64_t)) {
      int64_t word = 0;
      std::memcpy(&word, text.data() + at, std::min(sizeof word, text.size() - at));
      Add(word);
    }
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

void AddBuffer(Hasher& h, const Buffer& b) {
  h.AddText(b.name.Text());
  for (int64_t field :
       {static_cast<int64_t>(b.dtype), b.dims[0], b.dims[1], b.dims[2],
        static_cast<int64_t>(b.region), static_cast<int64_t>(b.memory_class), b.first_instance,
        b.instance_count, int64_t{b.view_of}, b.view_offset_bytes, b.view_stride_bytes,
        b.ring_count, static_cast<int64_t>(b.space), int64_t{b.segments}})
    h.Add(field);
}

void AddAttributes(Hasher& h, const OpAttributes& a) {
  for (double field :
       {a.scale, a.epsilon, a.weight_offset, a.dropout, a.soft_cap, a.alibi_bias_max,
        a.alibi_factor, a.rope_theta, a.local_rope_theta, a.rope_scaling.factor,
        a.rope_scaling.low_frequency_factor, a.rope_scaling.high_frequency_factor,
        a.rope_scaling.beta_fast, a.rope_scaling.beta_slow, a.rope_scaling.attention_factor})
    h.Add(field);
  for (const LayerPattern& pattern : {a.full_layers, a.unrotated_layers}) {
    h.Add(pattern.period);
    h.Add(static_cast<int64_t>(pattern.bits));
  }
  for (int64_t field :
       {a.head_count, a.kv_head_count, a.head_size, a.context, a.window, a.rotary_size, a.row_begin,
        static_cast<int64_t>(a.activation), static_cast<int64_t>(a.rope_scaling.kind),
        a.rope_scaling.original_context_limit, int64_t{a.accumulate}, int64_t{a.accumulate_later},
        int64_t{a.decays}, static_cast<int64_t>(a.parameter_key)})
    h.Add(field);
}

void AddOp(Hasher& h, const Op& op) {
  for (int64_t field : {static_cast<int64_t>(op.kind), static_cast<int64_t>(op.stream),
                        int64_t{op.waits}, int64_t{op.input_count}, int64_t{op.output_count}})
    h.Add(field);
  const auto add = [&h](const BufferRef& ref) {
    h.Add(int64_t{ref.buffer} << 32 | static_cast<uint32_t>(ref.shift));
  };
  std::for_each_n(op.inputs.begin(), op.input_count, add);
  std::for_each_n(op.outputs.begin(), op.output_count, add);
  AddAttributes(h, op.attributes);
}

}  // namespace

std::string ProgramDigest(const Program& program) {
  Hasher h;
  for (const Buffer& b : program.buffers) AddBuffer(h, b);
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
