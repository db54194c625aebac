#include <algorithm>
#include <vector>

#include "planner/program/memory_plan.h"
#include "planner/program/packed_block.h"

// The live bound. Every op of a segment is an instant; an instance of a buffer is live from the first op that touches it to the last, but
// for what outlives segments: resident buffers, gradients once they are born, and the caches of generation.
namespace tunesmith::planner {
namespace {

class LiveCounter {
 public:
  explicit LiveCounter(const Program& program)
      : program_(program),
        several_micro_(std::count_if(program.segments.begin(), program.segments.end(),
                                     [](const Segment& s) { return IsMicro(s.kind); }) > 1) {
    for (const Buffer& b : program.buffers) {
      const int64_t bytes = AlignedInstanceBytes(b) * PlaceCount(b);
      if (b.region == Region::kResident) resident_bytes_ += bytes;
      if (b.region == Region::kGradient) gradient_bytes_ += bytes;
    }
  }

  int64_t Most() {
    int64_t most = 0;
    for (const Segment& segment : program_.segments) most = std::max(most, MostOf(segment));
    return most;
  }

 private:
  struct Live {
    int64_t first = -1, last = -1;
  };

  const Buffer& buffer(int32_t id) const { return program_.buffers[static_cast<size_t>(id)]; }

  bool Counts(const Buffer& b) const {
    return b.space == Space::kDevice && b.region != Region::kResident;
  }

  int64_t MostOf(const Segment& segment) {
    std::vector<std::vector<Live>> live(program_.buffers.size());
    int64_t op_count = 0;
    for (const BlockRun& run : segment.runs) {
      const Block& block = program_.blocks[static_cast<size_t>(run.block)];
      for (int64_t i = 0; i < run.count; ++i) {
        Touch(block, run.first + i * run.step, op_count, live);
        op_count += static_cast<int64_t>(block.ops.size());
      }
    }
    return MostLive(segment, live, op_count);
  }

  void Touch(const Block& block, int64_t run_index, int64_t first_op,
             std::vector<std::vector<Live>>& live) const {
    ForEachRef(block, [&](size_t op, BufferRef ref) {
      ref.buffer = BaseOf(program_, ref.buffer);
      const Buffer& b = buffer(ref.buffer);
      if (!Counts(b)) return;
      auto& instances = live[static_cast<size_t>(ref.buffer)];
      const int64_t places = PlaceCount(b);
      instances.resize(static_cast<size_t>(places));
      const int64_t position = InstanceOf(b, ref, run_index) - b.first_instance;
      Live& l = instances[static_cast<size_t>(position % places)];
      const int64_t at = first_op + static_cast<int64_t>(op);
      if (l.first < 0) l.first = at;
      l.last = at;
    });
  }

  int64_t MostLive(const Segment& segment, const std::vector<std::vector<Live>>& live,
                   int64_t op_count) const {
    const bool gradients_stay =
        (IsMicro(segment.kind) && several_micro_) || segment.kind == SegmentKind::kOptimizer;
    std::vector<int64_t> change(static_cast<size_t>(op_count) + 1, 0);
    for (size_t id = 0; id < live.size(); ++id) {
      const Buffer& b = program_.buffers[id];
      if (b.region == Region::kGradient && gradients_stay) continue;
      const bool stays = b.region == Region::kGradient;
      const bool cache = b.region == Region::kCarried && segment.kind == SegmentKind::kGenerate;
      for (const Live& l : live[id]) {
        if (l.first < 0) continue;
        change[cache ? 0 : static_cast<size_t>(l.first)] += AlignedInstanceBytes(b);
        if (!stays && !cache) change[static_cast<size_t>(l.last) + 1] -= AlignedInstanceBytes(b);
      }
    }
    int64_t now = resident_bytes_ + (gradients_stay ? gradient_bytes_ : 0), most = now;
    for (int64_t c : change) most = std::max(most, now += c);
    return most;
  }

  const Program& program_;
  const bool several_micro_;
  int64_t resident_bytes_ = 0;
  int64_t gradient_bytes_ = 0;
};

}  // namespace

int64_t LiveLowerBoundBytes(const Program& program) { return LiveCounter(program).Most(); }

}  // namespace tunesmith::planner
