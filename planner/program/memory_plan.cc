#include "planner/program/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/units.h"
#include "planner/program/packing.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kNever = -1;

int64_t AlignedBytes(const Buffer& buffer) {
  return AlignUp(InstanceBytes(buffer), kBufferAlignmentBytes);
}

bool IsMicro(SegmentKind kind) {
  return kind == SegmentKind::kMicroFirst || kind == SegmentKind::kMicroMiddle ||
         kind == SegmentKind::kMicroLast;
}

// One execution of a block.
struct Step {
  int32_t block = 0;
  int64_t run_index = 0;
  bool backward = false;
};

std::vector<Step> StepsOf(const Segment& segment) {
  std::vector<Step> steps;
  for (const BlockRun& run : segment.runs) {
    for (int64_t i = 0; i < run.count; ++i)
      steps.push_back(
          {.block = run.block, .run_index = run.first + i * run.step, .backward = run.step < 0});
  }
  return steps;
}

// The first and last step of a segment that touch one instance of a buffer.
struct Touched {
  int64_t first = kNever;
  int64_t last = kNever;

  void Touch(int64_t step) {
    if (first == kNever) first = step;
    last = step;
  }
};

// The locals of one block, packed, and how its bytes divide at its fullest op.
struct PackedBlock {
  int64_t bytes = 0;
  std::vector<int64_t> offsets = {};  // by position in Block::locals
  std::array<int64_t, kMemoryClassCount> class_bytes = {};
};

template <typename Visitor>
void ForEachRef(const Block& block, Visitor visit) {
  for (size_t op = 0; op < block.ops.size(); ++op) {
    for (int i = 0; i < block.ops[op].input_count; ++i)
      visit(op, block.ops[op].inputs[static_cast<size_t>(i)]);
    for (int i = 0; i < block.ops[op].output_count; ++i)
      visit(op, block.ops[op].outputs[static_cast<size_t>(i)]);
  }
}

// From the first to the last op of the block that touches each of its locals.
std::vector<Lifetime> LifetimesOf(const Program& program, const Block& block) {
  std::vector<Lifetime> pieces;
  for (int32_t local : block.locals)
    pieces.push_back(
        {.bytes = InstanceBytes(program.buffers[static_cast<size_t>(local)]), .first = kNever});
  ForEachRef(block, [&](size_t op, BufferRef ref) {
    // Locals are added one after another, so that their ids are sorted.
    const auto local = std::lower_bound(block.locals.begin(), block.locals.end(), ref.buffer);
    if (local == block.locals.end() || *local != ref.buffer) return;
    Lifetime& piece = pieces[static_cast<size_t>(local - block.locals.begin())];
    if (piece.first == kNever) piece.first = static_cast<int64_t>(op);
    piece.last = static_cast<int64_t>(op);
  });
  return pieces;
}

class Planner {
 public:
  explicit Planner(const Program& program) : program_(program) {
    plan_.offsets.resize(program.buffers.size());
  }

  MemoryPlan Plan() {
    for (const Block& block : program_.blocks) packed_.push_back(PackBlock(block));
    PlaceResident();
    PlaceCarried();
    PlaceSavedAndGradients();
    for (const Segment& segment : program_.segments) Visit(segment);
    FinishGradients();
    PlaceViews();
    return std::move(plan_);
  }

 private:
  using ClassBytes = std::array<int64_t, kMemoryClassCount>;

  const Buffer& buffer(int32_t id) const { return program_.buffers[static_cast<size_t>(id)]; }
  std::vector<int64_t>& offsets(int32_t id) { return plan_.offsets[static_cast<size_t>(id)]; }
  static size_t ClassIndex(const Buffer& b) { return static_cast<size_t>(b.memory_class); }

  PackedBlock PackBlock(const Block& block) const {
    const std::vector<Lifetime> pieces = LifetimesOf(program_, block);
    Packing packing = PackLifetimes(pieces, kBufferAlignmentBytes);
    return {.bytes = packing.bytes,
            .offsets = std::move(packing.offsets),
            .class_bytes = FullestOp(block, pieces, packing.bytes)};
  }

  // Bytes by class at the op where most locals live; what packing could not fill counts as activations.
  ClassBytes FullestOp(const Block& block, const std::vector<Lifetime>& pieces,
                       int64_t bytes) const {
    ClassBytes fullest = {};
    int64_t most = -1;
    for (size_t op = 0; op < block.ops.size(); ++op) {
      ClassBytes at = {};
      for (size_t i = 0; i < pieces.size(); ++i) {
        const bool live = pieces[i].first <= static_cast<int64_t>(op) &&
                          static_cast<int64_t>(op) <= pieces[i].last;
        if (live) at[ClassIndex(buffer(block.locals[i]))] += AlignedBytes(buffer(block.locals[i]));
      }
      const int64_t sum = std::accumulate(at.begin(), at.end(), int64_t{0});
      if (sum > most) most = sum, fullest = at;
    }
    if (most >= 0) fullest[static_cast<size_t>(MemoryClass::kActivations)] += bytes - most;
    return fullest;
  }

  void PlaceResident() {
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      const Buffer& b = program_.buffers[id];
      if (b.region != Region::kResident) continue;
      for (int64_t i = 0; i < b.instance_count; ++i) {
        plan_.offsets[id].push_back(resident_bytes_);
        resident_bytes_ += AlignedBytes(b);
        resident_class_[ClassIndex(b)] += AlignedBytes(b);
      }
    }
  }

  // Carried buffers of different groups of segments share memory.
  void PlaceCarried() {
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      const Buffer& b = program_.buffers[id];
      if (b.region != Region::kCarried) continue;
      int64_t& top = CarriedBytes(b.segments);
      for (int64_t i = 0; i < b.instance_count; ++i) {
        plan_.offsets[id].push_back(resident_bytes_ + top);
        top += AlignedBytes(b);
      }
    }
  }

  int64_t& CarriedBytes(uint32_t segments) {
    const auto found = std::find_if(carried_.begin(), carried_.end(),
                                    [&](const auto& c) { return c.first == segments; });
    if (found != carried_.end()) return found->second;
    return carried_.emplace_back(segments, 0).second;
  }

  int64_t CarriedBytesOf(SegmentKind kind) const {
    int64_t bytes = 0;
    for (const auto& [segments, size] : carried_) {
      if (segments >> static_cast<int>(kind) & 1u) bytes += size;
    }
    return bytes;
  }

  // ---- Saved activations and gradients ----------------------------------------------------------------------------------------------

  struct Item {
    int32_t buffer = 0;
    int64_t position = 0;  // instance - first_instance
    Touched touched = {};  // in the first micro segment
    int64_t start =
        0;  // saved: offset above the stack's base; gradient: bytes below the arena's end to its first byte
  };

  std::vector<std::vector<Touched>> TouchedIn(const std::vector<Step>& steps, Region region) const {
    std::vector<std::vector<Touched>> touched(program_.buffers.size());
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      if (program_.buffers[id].region == region)
        touched[id].resize(static_cast<size_t>(program_.buffers[id].instance_count));
    }
    for (size_t s = 0; s < steps.size(); ++s) {
      ForEachRef(program_.blocks[static_cast<size_t>(steps[s].block)], [&](size_t, BufferRef ref) {
        const Buffer& b = buffer(ref.buffer);
        if (b.region != region) return;
        const int64_t position = InstanceOf(b, ref, steps[s].run_index) - b.first_instance;
        touched[static_cast<size_t>(ref.buffer)][static_cast<size_t>(position)].Touch(
            static_cast<int64_t>(s));
      });
    }
    return touched;
  }

  std::vector<Item> ItemsOf(const std::vector<Step>& steps, Region region) const {
    const auto touched = TouchedIn(steps, region);
    std::vector<Item> items;
    for (size_t id = 0; id < touched.size(); ++id) {
      for (size_t i = 0; i < touched[id].size(); ++i) {
        if (touched[id][i].first != kNever)
          items.push_back({.buffer = static_cast<int32_t>(id),
                           .position = static_cast<int64_t>(i),
                           .touched = touched[id][i]});
      }
    }
    // By birth; of those born together, the longest lived lies deepest.
    std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
      return std::pair(a.touched.first, -a.touched.last) <
             std::pair(b.touched.first, -b.touched.last);
    });
    return items;
  }

  void PlaceSavedAndGradients() {
    const auto micro =
        std::find_if(program_.segments.begin(), program_.segments.end(),
                     [](const Segment& s) { return s.kind == SegmentKind::kMicroFirst; });
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      const Region region = program_.buffers[id].region;
      if (region == Region::kSaved || region == Region::kGradient)
        plan_.offsets[id].resize(static_cast<size_t>(program_.buffers[id].instance_count));
    }
    if (micro == program_.segments.end()) return;
    const std::vector<Step> steps = StepsOf(*micro);
    stack_base_ = resident_bytes_ + CarriedBytesOf(SegmentKind::kMicroFirst);
    int64_t top = 0;
    saved_ = ItemsOf(steps, Region::kSaved);
    for (Item& item : saved_) {
      item.start = top;
      top += AlignedBytes(buffer(item.buffer));
      offsets(item.buffer)[static_cast<size_t>(item.position)] = stack_base_ + item.start;
    }
    gradients_ = ItemsOf(steps, Region::kGradient);
    for (Item& item : gradients_) {
      gradient_bytes_ += AlignedBytes(buffer(item.buffer));
      item.start = gradient_bytes_;
    }
    gradients_last_ = std::all_of(
        program_.segments.begin(), program_.segments.end(),
        [](const Segment& s) { return !IsMicro(s.kind) || s.kind == SegmentKind::kMicroFirst; });
  }

  void FinishGradients() {
    for (const Item& item : gradients_)
      offsets(item.buffer)[static_cast<size_t>(item.position)] = plan_.arena_bytes - item.start;
  }

  // ---- Instants ---------------------------------------------------------------------------------------------------------------------

  // Live at one step, the block's locals apart.
  struct Instant {
    int64_t locals_base = 0;  // where the block's locals begin
    int64_t gradient_bytes = 0;
    ClassBytes class_bytes = {};
  };

  void Visit(const Segment& segment) {
    const std::vector<Step> steps = StepsOf(segment);
    const std::vector<Instant> instants =
        IsMicro(segment.kind) ? MicroInstants(steps) : OtherInstants(segment, steps.size());
    for (size_t s = 0; s < steps.size(); ++s) {
      const PackedBlock& packed = packed_[static_cast<size_t>(steps[s].block)];
      PlaceLocals(steps[s], packed, instants[s].locals_base);
      const int64_t needed = instants[s].locals_base + packed.bytes + instants[s].gradient_bytes;
      if (needed > plan_.arena_bytes) Bind(segment, steps[s], instants[s], packed, needed);
    }
  }

  void PlaceLocals(const Step& step, const PackedBlock& packed, int64_t base) {
    const Block& block = program_.blocks[static_cast<size_t>(step.block)];
    for (size_t i = 0; i < block.locals.size(); ++i) {
      const Buffer& b = buffer(block.locals[i]);
      auto& local = offsets(block.locals[i]);
      local.resize(static_cast<size_t>(b.instance_count));
      local[static_cast<size_t>(b.instance_count == 1 ? 0 : step.run_index - b.first_instance)] =
          base + packed.offsets[i];
    }
  }

  std::vector<Instant> MicroInstants(const std::vector<Step>& steps) const {
    std::vector<Instant> instants(steps.size());
    const auto saved = TouchedIn(steps, Region::kSaved);
    const auto gradients = TouchedIn(steps, Region::kGradient);
    for (Instant& instant : instants) {
      instant.locals_base = stack_base_;
      instant.class_bytes = resident_class_;
      instant.class_bytes[static_cast<size_t>(MemoryClass::kActivations)] +=
          stack_base_ - resident_bytes_;
    }
    for (const Item& item : saved_) {
      const Touched& t =
          saved[static_cast<size_t>(item.buffer)][static_cast<size_t>(item.position)];
      const Buffer& b = buffer(item.buffer);
      for (int64_t s = t.first; s <= t.last; ++s) {
        Instant& instant = instants[static_cast<size_t>(s)];
        instant.locals_base =
            std::max(instant.locals_base, stack_base_ + item.start + AlignedBytes(b));
        instant.class_bytes[ClassIndex(b)] += AlignedBytes(b);
      }
    }
    for (const Item& item : gradients_) {
      const Touched& t =
          gradients[static_cast<size_t>(item.buffer)][static_cast<size_t>(item.position)];
      for (size_t s = gradients_last_ ? static_cast<size_t>(t.first) : 0; s < steps.size(); ++s) {
        instants[s].gradient_bytes += AlignedBytes(buffer(item.buffer));
      }
    }
    for (Instant& instant : instants)
      instant.class_bytes[static_cast<size_t>(MemoryClass::kGradients)] += instant.gradient_bytes;
    return instants;
  }

  std::vector<Instant> OtherInstants(const Segment& segment, size_t step_count) const {
    const int64_t carried = CarriedBytesOf(segment.kind);
    Instant instant{.locals_base = resident_bytes_ + carried, .class_bytes = resident_class_};
    instant.class_bytes[static_cast<size_t>(MemoryClass::kActivations)] += carried;
    if (segment.kind == SegmentKind::kOptimizer) {
      instant.gradient_bytes = gradient_bytes_;
      instant.class_bytes[static_cast<size_t>(MemoryClass::kGradients)] += gradient_bytes_;
    }
    return std::vector<Instant>(step_count, instant);
  }

  void Bind(const Segment& segment, const Step& step, const Instant& instant,
            const PackedBlock& packed, int64_t needed) {
    plan_.arena_bytes = needed;
    plan_.binding_instant = InstantName(segment, step);
    plan_.class_bytes = instant.class_bytes;
    for (size_t c = 0; c < packed.class_bytes.size(); ++c)
      plan_.class_bytes[c] += packed.class_bytes[c];
    const int64_t sum =
        std::accumulate(plan_.class_bytes.begin(), plan_.class_bytes.end(), int64_t{0});
    plan_.class_bytes[static_cast<size_t>(MemoryClass::kActivations)] += needed - sum;
  }

  std::string InstantName(const Segment& segment, const Step& step) const {
    if (segment.kind == SegmentKind::kOptimizer) return "optimizer step";
    if (!IsMicro(segment.kind)) return std::string(SegmentKindName(segment.kind));
    const std::string& block = program_.blocks[static_cast<size_t>(step.block)].name;
    if (block == "layer")
      return absl::StrCat(step.backward ? "backward" : "forward", " of layer ", step.run_index);
    return block == "embedding" ? block : "loss";
  }

  void PlaceViews() {
    for (size_t id = 0; id < program_.buffers.size(); ++id) {
      const Buffer& b = program_.buffers[id];
      if (b.region != Region::kView) continue;
      for (int64_t i = 0; i < b.instance_count; ++i)
        plan_.offsets[id].push_back(offsets(b.view_of)[0] +
                                    (b.first_instance + i) * b.view_stride_bytes);
    }
  }

  const Program& program_;
  MemoryPlan plan_;
  std::vector<PackedBlock> packed_;  // by block
  int64_t resident_bytes_ = 0;
  ClassBytes resident_class_ = {};
  std::vector<std::pair<uint32_t, int64_t>> carried_;  // segment set, bytes
  int64_t stack_base_ = 0;
  std::vector<Item> saved_;
  std::vector<Item> gradients_;
  int64_t gradient_bytes_ = 0;
  bool gradients_last_ =
      true;  // one micro-batch per step: gradients begin to live when they are first written
};

}  // namespace

MemoryPlan PlanMemory(const Program& program) { return Planner(program).Plan(); }

int64_t PackedLocalBytes(const Program& program, const Block& block) {
  return PackLifetimes(LifetimesOf(program, block), kBufferAlignmentBytes).bytes;
}

}  // namespace tunesmith::planner
