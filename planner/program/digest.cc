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
}

// Which of the attributes are not zero, then those.
void AddAttributes(Hasher& h, const OpAttributes& a) {
  const auto bits = [](double value) { return std::bit_cast<int64_t>(value); };
  const RopeScaling& rope = a.rope_scaling;
  const bool scales = rope.kind != RopeScalingKind::kNone;
  const std::array<int64_t, 14> fields = {
      bits(a.scale - 1.0),
      bits(a.epsilon),
      a.head_count,
      a.kv_head_count,
      a.head_size,
      a.context,
      a.window,
      bits(a.rope_theta),
      scales ? bits(rope.factor) : 0,
      scales ? bits(rope.low_frequency_factor) : 0,
      scales ? bits(rope.high_frequency_factor) : 0,
      scales ? rope.original_context_limit : 0,
      static_cast<int64_t>(a.parameter_key),
      Packed(rope.kind, a.accumulate, a.accumulate_later, a.decays)};
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
