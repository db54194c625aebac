#include "planner/program/check_streams.h"

#include <array>
#include <map>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/program/op_kind_name.h"

namespace tunesmith::planner {
namespace {

constexpr std::array<std::string_view, kStreamCount> kStreamNames = {
    "compute", "communication", "host to device", "device to host", "host"};

size_t IndexOf(Stream stream) { return static_cast<size_t>(stream); }

// How many ops of every stream have ended.
using Clock = std::array<int64_t, kStreamCount>;

struct Execution {
  const Block* block = nullptr;
  const Op* op = nullptr;
  int64_t run_index = 0;
  int64_t count = 0;  // of its stream, this one included
};

// What was last done to bytes [begin of its place in the map, end).
struct Bytes {
  int64_t end = 0;
  Execution writer;
  std::array<Execution, kStreamCount> readers;  // since the bytes were written
};

// Bytes of one memory, in disjoint intervals that are cut where accesses begin and end.
class Memory {
 public:
  // visit(bytes) for every interval of [begin, end).
  template <typename Visit>
  absl::Status ForEach(int64_t begin, int64_t end, Visit visit) {
    Cut(begin);
    Cut(end);
    if (begin < end) Fill(begin, end);
    for (auto it = intervals_.lower_bound(begin); it != intervals_.end() && it->first < end; ++it)
      TUNESMITH_RETURN_IF_ERROR(visit(it->second));
    return absl::OkStatus();
  }

 private:
  void Cut(int64_t at) {
    auto it = intervals_.upper_bound(at);
    if (it == intervals_.begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    intervals_[at] = it->second;
    it->second.end = at;
  }

  // Untouched bytes between intervals become intervals of their own.
  void Fill(int64_t begin, int64_t end) {
    int64_t at = begin;
    for (auto it = intervals_.lower_bound(begin); it != intervals_.end() && it->first < end; ++it) {
      if (it->first > at) intervals_[at].end = it->first;
      at = it->second.end;
    }
    if (at < end) intervals_[at].end = end;
  }

  std::map<int64_t, Bytes> intervals_;
};

class Checker {
 public:
  Checker(const Program& program, const MemoryPlan& plan) : program_(program), plan_(plan) {}

  absl::Status Check() {
    for (int step = 0; step < 2; ++step) {
      for (const Segment& segment : program_.segments) {
        // Segments that repeat do what two of them do; those that no step runs are run once, in between.
        const int64_t times = segment.repeat_count > 1 ? 2 : 1;
        if (!IsOfStep(segment.kind)) Meet();
        for (int64_t i = 0; i < times; ++i) TUNESMITH_RETURN_IF_ERROR(CheckSegment(segment));
        if (!IsOfStep(segment.kind)) Meet();
      }
    }
    return absl::OkStatus();
  }

 private:
  const Buffer& buffer(BufferRef ref) const {
    return program_.buffers[static_cast<size_t>(ref.buffer)];
  }

  // Every stream waits for all.
  void Meet() {
    Clock all = {};
    for (size_t i = 0; i < kStreamCount; ++i) all[i] = ended_[i][i];
    ended_.fill(all);
  }

  absl::Status CheckSegment(const Segment& segment) {
    for (const BlockRun& run : segment.runs) {
      const Block& block = program_.blocks[static_cast<size_t>(run.block)];
      for (int64_t i = 0; i < run.count; ++i) {
        for (const Op& op : block.ops) {
          if (!Runs(op, segment.kind, program_.inputs.mix.accumulation_count)) continue;
          TUNESMITH_RETURN_IF_ERROR(CheckOp(
              {.block = &block, .op = &op, .run_index = run.first + i * run.step, .count = 0}));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckOp(Execution execution) {
    const Op& op = *execution.op;
    const size_t stream = IndexOf(op.stream);
    for (size_t other = 0; other < kStreamCount; ++other) {
      if ((op.waits >> other & 1u) == 0) continue;
      for (size_t i = 0; i < kStreamCount; ++i)
        ended_[stream][i] = std::max(ended_[stream][i], ended_[other][i]);
    }
    execution.count = ++ended_[stream][stream];
    for (int i = 0; i < op.input_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(Access(execution, op.inputs[static_cast<size_t>(i)], false));
    for (int i = 0; i < op.output_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(Access(execution, op.outputs[static_cast<size_t>(i)], true));
    return absl::OkStatus();
  }

  absl::Status Access(const Execution& execution, BufferRef ref, bool writes) {
    const Buffer& b = buffer(ref);
    if (!Reaches(execution.op->stream, b.space, writes))
      return absl::InternalError(StrCat(TextOf(execution), " names ", b.name.Text(), " in ",
                                        b.space == Space::kHost ? "the host's" : "the device's",
                                        " memory, which its stream does not reach"));
    const int64_t begin = OffsetOf(program_, plan_, ref, execution.run_index);
    return memory_[static_cast<size_t>(b.space)].ForEach(
        begin, begin + SpanBytes(b), [&](Bytes& bytes) -> absl::Status {
          TUNESMITH_RETURN_IF_ERROR(CheckAfter(execution, bytes.writer, b));
          if (!writes) {
            bytes.readers[IndexOf(execution.op->stream)] = execution;
            return absl::OkStatus();
          }
          for (const Execution& reader : bytes.readers)
            TUNESMITH_RETURN_IF_ERROR(CheckAfter(execution, reader, b));
          bytes.writer = execution;
          bytes.readers = {};
          return absl::OkStatus();
        });
  }

  static bool Reaches(Stream stream, Space space, bool writes) {
    const bool host = space == Space::kHost;
    switch (stream) {
      case Stream::kHost:
        return host;
      case Stream::kHostToDevice:
        return host != writes;
      case Stream::kDeviceToHost:
        return host == writes;
      default:
        return !host;
    }
  }

  absl::Status CheckAfter(const Execution& execution, const Execution& before,
                          const Buffer& touched) const {
    if (before.op == nullptr) return absl::OkStatus();
    const Clock& ended = ended_[IndexOf(execution.op->stream)];
    if (ended[IndexOf(before.op->stream)] >= before.count) return absl::OkStatus();
    return absl::InternalError(StrCat(TextOf(execution), " touches ", touched.name.Text(),
                                      " and does not wait for ", TextOf(before)));
  }

  static std::string TextOf(const Execution& e) {
    return StrCat("op ", std::string(OpKindName(e.op->kind)), " of block ",
                  std::string(e.block->name), ", run ", e.run_index, ", stream ",
                  kStreamNames[IndexOf(e.op->stream)]);
  }

  const Program& program_;
  const MemoryPlan& plan_;
  std::array<Clock, kStreamCount> ended_ = {};  // as each stream's next op knows it
  std::array<Memory, kSpaceCount> memory_;
};

}  // namespace

absl::Status CheckStreams(const Program& program, const MemoryPlan& plan) {
  if (!CopiesOverlap(program.inputs.backend)) return absl::OkStatus();
  return Checker(program, plan).Check();
}

}  // namespace tunesmith::planner
