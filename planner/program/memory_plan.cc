#include "planner/program/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/units.h"
#include "planner/program/micro_timeline.h"
#include "planner/program/packed_block.h"

namespace tunesmith::planner {
namespace {

using ClassBytes = std::array<int64_t, kMemoryClassCount>;

size_t ClassIndex(MemoryClass memory_class) { return static_cast<size_t>(memory_class); }

int64_t Sum(const ClassBytes& bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
}

// Kinds of instants, in the order of a job.
enum class InstantKind {
  kEmbedding,
  kForward,
  kLoss,
  kBackward,
  kOptimizer,
  kEvaluate,
  kGenerate,
  kSave
};
constexpr size_t kInstantKindCount = 8;

InstantKind KindOf(const Segment& segment, const Block& block, bool backward) {
  switch (segment.kind) {
    case SegmentKind::kOptimizer:
      return InstantKind::kOptimizer;
    case SegmentKind::kEvaluate:
      return InstantKind::kEvaluate;
    case SegmentKind::kGenerate:
      return InstantKind::kGenerate;
    case SegmentKind::kSave:
      return InstantKind::kSave;
    default:
      break;
  }
  if (block.name == "layer") return backward ? InstantKind::kBackward : InstantKind::kForward;
  return block.name == "embedding" ? InstantKind::kEmbedding : InstantKind::kLoss;
}

std::string InstantName(InstantKind kind, int64_t layer) {
  switch (kind) {
    case InstantKind::kEmbedding:
      return "embedding";
    case InstantKind::kForward:
      return absl::StrCat("forward of layer ", layer);
    case InstantKind::kLoss:
      return "loss";
    case InstantKind::kBackward:
      return absl::StrCat("backward of layer ", layer);
    case InstantKind::kOptimizer:
      return "optimizer step";
    case InstantKind::kEvaluate:
      return "evaluate";
    case InstantKind::kGenerate:
      return "generate";
    case InstantKind::kSave:
      return "save";
  }
  return "unknown";
}

class Planner {
 public:
  // `places`: whether buffers get their offsets.
  Planner(const Program& program, bool places)
      : program_(program), buffers_(program.buffers), places_(places) {
    if (places_) plan_.offsets.resize(buffers_.size());
  }

  MemoryPlan Plan() {
    for (const Block& block : program_.blocks) packed_.push_back(PackBlock(program_, block));
    PlaceResident();
    PlaceCarried();
    PlaceHost();
    PlaceMicro();
    for (const Segment& segment : program_.segments) Visit(segment);
    FinishInstants();
    if (places_) FinishGradients();
    if (places_) PlaceViews();
    return std::move(plan_);
  }

 private:
  // Buffers that the same segments share.
  struct Carried {
    uint32_t segments = 0;
    int64_t bytes = 0;
    ClassBytes class_bytes = {};
  };

  std::vector<int64_t>& offsets(size_t id) { return plan_.offsets[id]; }
  int64_t& arena(Space space) { return plan_.arena_bytes[static_cast<size_t>(space)]; }

  template <typename OffsetOf>
  void Place(size_t id, int64_t instance_count, OffsetOf offset_of) {
    if (!places_) return;
    offsets(id).reserve(static_cast<size_t>(instance_count));
    for (int64_t i = 0; i < instance_count; ++i) offsets(id).push_back(offset_of(i));
  }

  void PlaceResident() {
    for (size_t id = 0; id < buffers_.size(); ++id) {
      const Buffer& b = buffers_[id];
      if (b.region != Region::kResident || b.space != Space::kDevice) continue;
      const int64_t bytes = AlignedInstanceBytes(b), places = PlaceCount(b);
      Place(id, b.instance_count, [&](int64_t i) { return resident_bytes_ + i % places * bytes; });
      resident_bytes_ += places * bytes;
      resident_class_[ClassIndex(b.memory_class)] += places * bytes;
    }
  }

  // Carried buffers of different groups of segments share memory.
  void PlaceCarried() {
    for (size_t id = 0; id < buffers_.size(); ++id) {
      const Buffer& b = buffers_[id];
      if (b.region != Region::kCarried) continue;
      Carried& carried = CarriedIn(b.segments);
      int64_t& top = carried.bytes;
      const int64_t bytes = AlignedInstanceBytes(b), places = PlaceCount(b);
      Place(id, b.instance_count,
            [&](int64_t i) { return resident_bytes_ + top + i % places * bytes; });
      top += places * bytes;
      carried.class_bytes[ClassIndex(b.memory_class)] += places * bytes;
    }
  }

  Carried& CarriedIn(uint32_t segments) {
    const auto found = std::find_if(carried_.begin(), carried_.end(),
                                    [&](const Carried& c) { return c.segments == segments; });
    if (found != carried_.end()) return *found;
    return carried_.emplace_back(Carried{.segments = segments});
  }

  Carried CarriedOf(SegmentKind kind) const {
    Carried all;
    for (const Carried& carried : carried_) {
      if ((carried.segments >> static_cast<int>(kind) & 1u) == 0) continue;
      all.bytes += carried.bytes;
      for (size_t c = 0; c < all.class_bytes.size(); ++c)
        all.class_bytes[c] += carried.class_bytes[c];
    }
    return all;
  }
  int64_t CarriedBytesOf(SegmentKind kind) const { return CarriedOf(kind).bytes; }

  void PlaceHost() {
    for (size_t id = 0; id < buffers_.size(); ++id) {
      const Buffer& b = buffers_[id];
      if (b.space != Space::kHost) continue;
      const int64_t begin = arena(Space::kHost), bytes = AlignedInstanceBytes(b),
                    places = PlaceCount(b);
      Place(id, b.instance_count, [&](int64_t i) { return begin + i % places * bytes; });
      arena(Space::kHost) += places * bytes;
    }
  }

  // Saved activations from the stack's base up, gradients from the arena's end (not known yet) down, both by birth.
  void PlaceMicro() {
    stack_base_ = resident_bytes_ + CarriedBytesOf(SegmentKind::kMicroFirst);
    const auto is_micro = [](const Segment& s) { return IsMicro(s.kind); };
    const auto micro = std::find_if(program_.segments.begin(), program_.segments.end(), is_micro);
    if (micro == program_.segments.end()) return;
    timeline_ = MicroTimeline(
        program_, *micro,
        std::count_if(program_.segments.begin(), program_.segments.end(), is_micro) > 1);
    if (places_) PlaceSaved();
  }

  void PlaceSaved() {
    for (size_t id = 0; id < buffers_.size(); ++id) {
      const Buffer& b = buffers_[id];
      if (b.space == Space::kDevice &&
          (b.region == Region::kSaved || b.region == Region::kGradient))
        offsets(id).resize(static_cast<size_t>(b.instance_count));
    }
    for (const MicroTimeline::Item& item : timeline_.saved())
      offsets(static_cast<size_t>(item.buffer))[static_cast<size_t>(item.position)] =
          stack_base_ + item.start_bytes;
  }

  void FinishGradients() {
    for (const MicroTimeline::Item& item : timeline_.gradients())
      offsets(static_cast<size_t>(item.buffer))[static_cast<size_t>(item.position)] =
          arena(Space::kDevice) - item.start_bytes - item.bytes;
  }

  // ---- Instants ---------------------------------------------------------------------------------------------------------------------

  // Live at one execution of a block, the block's locals apart.
  struct Instant {
    int64_t locals_base = 0;  // where the block's locals begin
    int64_t gradient_bytes = 0;
    const ClassBytes* saved = nullptr;  // by class; null: none
  };

  // All micro-batches of a step lie alike: only the first is visited.
  void Visit(const Segment& segment) {
    if (IsMicro(segment.kind) && segment.kind != SegmentKind::kMicroFirst) return;
    int64_t step = 0;
    for (const BlockRun& run : segment.runs) {
      for (int64_t i = 0; i < run.count; ++i, ++step) {
        const Instant instant =
            IsMicro(segment.kind) ? MicroInstant(step) : OtherInstant(segment.kind);
        VisitBlock(segment, run, run.first + i * run.step, instant);
      }
    }
  }

  Instant MicroInstant(int64_t step) const {
    const MicroTimeline::Instant& live = timeline_.instant(step);
    return {.locals_base = stack_base_ + live.stack_top_bytes,
            .gradient_bytes = live.gradient_bytes,
            .saved = &live.class_bytes};
  }

  Instant OtherInstant(SegmentKind kind) const {
    return {.locals_base = resident_bytes_ + CarriedBytesOf(kind),
            .gradient_bytes = kind == SegmentKind::kOptimizer ? timeline_.gradient_bytes() : 0};
  }

  void VisitBlock(const Segment& segment, const BlockRun& run, int64_t run_index,
                  const Instant& instant) {
    const Block& block = program_.blocks[static_cast<size_t>(run.block)];
    const PackedBlock& packed = packed_[static_cast<size_t>(run.block)];
    for (size_t i = 0; places_ && i < block.locals.size(); ++i)
      PlaceLocal(block.locals[i], run_index, instant.locals_base + packed.offsets[i]);
    const int64_t needed = instant.locals_base + packed.bytes + instant.gradient_bytes;
    const InstantKind kind = KindOf(segment, block, run.step < 0);
    Most& most = most_[static_cast<size_t>(kind)];
    if (needed > most.bytes) most = {.bytes = needed, .layer = run_index};
    if (needed <= arena(Space::kDevice)) return;
    arena(Space::kDevice) = needed;
    binding_ = kind;
    plan_.class_bytes = ClassesAt(segment.kind, instant, packed, needed);
  }

  ClassBytes ClassesAt(SegmentKind kind, const Instant& instant, const PackedBlock& packed,
                       int64_t needed) const {
    ClassBytes bytes = resident_class_;
    const Carried carried = CarriedOf(kind);
    for (size_t c = 0; c < bytes.size(); ++c) {
      bytes[c] += packed.class_bytes[c] + carried.class_bytes[c];
      if (instant.saved != nullptr) bytes[c] += (*instant.saved)[c];
    }
    bytes[ClassIndex(MemoryClass::kGradients)] += instant.gradient_bytes;
    // What lies dead between live buffers of the stack.
    bytes[ClassIndex(MemoryClass::kActivations)] += needed - Sum(bytes);
    return bytes;
  }

  void PlaceLocal(int32_t id, int64_t run_index, int64_t offset) {
    const Buffer& b = buffers_[static_cast<size_t>(id)];
    auto& local = offsets(static_cast<size_t>(id));
    local.resize(static_cast<size_t>(b.instance_count));
    local[static_cast<size_t>(b.instance_count == 1 ? 0 : run_index - b.first_instance)] = offset;
  }

  void FinishInstants() {
    for (size_t kind = 0; kind < kInstantKindCount; ++kind) {
      if (most_[kind].bytes == 0) continue;
      plan_.instants.push_back(
          {.name = InstantName(static_cast<InstantKind>(kind), most_[kind].layer),
           .bytes = most_[kind].bytes});
      if (static_cast<InstantKind>(kind) == binding_)
        plan_.binding_instant = plan_.instants.back().name;
    }
  }

  void PlaceViews() {
    for (size_t id = 0; id < buffers_.size(); ++id) {
      const Buffer& b = buffers_[id];
      if (b.region != Region::kView) continue;
      const auto& whole = offsets(static_cast<size_t>(b.view_of));
      for (int64_t i = 0; i < b.instance_count; ++i)
        offsets(id).push_back(whole[whole.size() == 1 ? 0 : static_cast<size_t>(i)] +
                              b.view_offset_bytes + (b.first_instance + i) * b.view_stride_bytes);
    }
  }

  struct Most {
    int64_t bytes = 0;
    int64_t layer = 0;
  };

  const Program& program_;
  const std::vector<Buffer>& buffers_;
  const bool places_;
  MemoryPlan plan_;
  std::vector<PackedBlock> packed_;  // by block
  int64_t resident_bytes_ = 0;
  ClassBytes resident_class_ = {};
  std::vector<Carried> carried_;
  int64_t stack_base_ = 0;
  MicroTimeline timeline_;
  std::array<Most, kInstantKindCount> most_ = {};
  InstantKind binding_ = InstantKind::kEmbedding;
};

}  // namespace

MemoryPlan PlanMemory(const Program& program) { return Planner(program, /*places=*/true).Plan(); }

MemoryPlan MeasureMemory(const Program& program) {
  return Planner(program, /*places=*/false).Plan();
}

}  // namespace tunesmith::planner
