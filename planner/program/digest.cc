#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "planner/program/build_program.h"

// The digest is two FNV-1a hashes (64 bits each, different offset bases) over a fixed serialization: every field of every buffer, block and
// segment in order. It tells programs apart; it is not a defence against forgery.
namespace tunesmith::planner {
namespace {

class Hasher {
 public:
  void Add(int64_t value) {
    for (int i = 0; i < 8; ++i)
      AddByte(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
  }
  void Add(double value) { Add(std::bit_cast<int64_t>(value)); }
  void Add(std::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    for (char c : text) AddByte(static_cast<uint8_t>(c));
  }
  std::string Hex() const { return absl::StrFormat("%016x%016x", low_, high_); }

 private:
  void AddByte(uint8_t byte) {
    low_ = (low_ ^ byte) * 0x100000001b3u;
    high_ = (high_ ^ byte) * 0x100000001b3u;
    high_ = std::rotl(high_, 5);
  }

  uint64_t low_ = 0xcbf29ce484222325u;
  uint64_t high_ = 0x9ae16a3b2f90404fu;
};

void AddBuffer(Hasher& h, const Buffer& b) {
  h.Add(b.name);
  for (int64_t field :
       {static_cast<int64_t>(b.dtype), b.dims[0], b.dims[1], b.dims[2],
        static_cast<int64_t>(b.region), static_cast<int64_t>(b.memory_class), b.first_instance,
        b.instance_count, int64_t{b.view_of}, b.view_stride_bytes, int64_t{b.segments}})
    h.Add(field);
}

void AddAttributes(Hasher& h, const OpAttributes& a) {
  for (double field : {a.scale, a.epsilon, a.rope_theta, a.rope_scaling.factor,
                       a.rope_scaling.low_frequency_factor, a.rope_scaling.high_frequency_factor})
    h.Add(field);
  for (int64_t field :
       {a.head_count, a.kv_head_count, a.head_size, a.context,
        static_cast<int64_t>(a.rope_scaling.kind), a.rope_scaling.original_context_limit,
        int64_t{a.accumulate}, int64_t{a.decays}})
    h.Add(field);
}

void AddOp(Hasher& h, const Op& op) {
  for (int64_t field : {static_cast<int64_t>(op.kind), static_cast<int64_t>(op.stream),
                        int64_t{op.waits}, int64_t{op.input_count}, int64_t{op.output_count}})
    h.Add(field);
  for (const BufferRef& ref : op.inputs)
    h.Add(int64_t{ref.buffer} << 32 | static_cast<uint32_t>(ref.shift));
  for (const BufferRef& ref : op.outputs)
    h.Add(int64_t{ref.buffer} << 32 | static_cast<uint32_t>(ref.shift));
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
