#include "trainer/executor.h"

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/reworded.h"
#include "common/status_macros.h"
#include "planner/program/collectives.h"
#include "planner/program/gemm_shape.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/noise_weights.h"
#include "trainer/ops/run_op.h"

namespace tunesmith::trainer {
namespace {

// Opens the call's tensors for the time of one op; everything else in the arena stays poisoned. A no-op without AddressSanitizer.
class ScopedAccess {
 public:
  explicit ScopedAccess(const OpCall& call) : call_(call) {
    ForEachTensor([](const Tensor& t) {
      ASAN_UNPOISON_MEMORY_REGION(t.data, static_cast<size_t>(t.span_bytes()));
    });
  }
  ~ScopedAccess() {
    ForEachTensor([](const Tensor& t) {
      ASAN_POISON_MEMORY_REGION(t.data, static_cast<size_t>(t.span_bytes()));
    });
  }
  ScopedAccess(const ScopedAccess&) = delete;
  ScopedAccess& operator=(const ScopedAccess&) = delete;

 private:
  template <typename Visit>
  void ForEachTensor(Visit visit) const {
    for (int i = 0; i < call_.input_count; ++i) visit(call_.inputs[static_cast<size_t>(i)]);
    for (int i = 0; i < call_.output_count; ++i) visit(call_.outputs[static_cast<size_t>(i)]);
  }

  const OpCall& call_;
};

// Poisons all memory of the program while a segment runs.
class ScopedPoison {
 public:
  ScopedPoison(const Arena& arena, bool active) : arena_(arena), active_(active) {
    ForEachSpace([](DeviceMemory& memory) {
      ASAN_POISON_MEMORY_REGION(memory.data(), static_cast<size_t>(memory.size_bytes()));
    });
  }
  ~ScopedPoison() {
    ForEachSpace([](DeviceMemory& memory) {
      ASAN_UNPOISON_MEMORY_REGION(memory.data(), static_cast<size_t>(memory.size_bytes()));
    });
  }
  ScopedPoison(const ScopedPoison&) = delete;
  ScopedPoison& operator=(const ScopedPoison&) = delete;

 private:
  template <typename Visit>
  void ForEachSpace(Visit visit) const {
    if (!active_) return;
    for (planner::Space space : {planner::Space::kDevice, planner::Space::kHost})
      visit(arena_.memory(space));
  }

  const Arena& arena_;
  const bool active_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create(planner::Program program,
                                                           const OpContext& context,
                                                           const Options& options) {
  auto executor = std::unique_ptr<Executor>(new Executor(std::move(program), context, options));
  TUNESMITH_ASSIGN_OR_RETURN(executor->arena_, Arena::Create(executor->program_, context));
  if (context.device == planner::BackendKind::kCuda) {
    // Products are measured on numbers that differ: a device is quicker, and other algorithms with it, where all are alike.
    const auto products = [&]() -> absl::Status {
      TUNESMITH_RETURN_IF_ERROR(FillWithNoise(context, executor->arena_->memory()));
      return executor->RunProducts();
    };
    TUNESMITH_RETURN_IF_ERROR(context.cuda->TuneProducts(products));
  }
  TUNESMITH_RETURN_IF_ERROR(executor->arena_->FillCanary());
  TUNESMITH_RETURN_IF_ERROR(executor->arena_->ClearResident());
  return executor;
}

Executor::~Executor() = default;

const planner::Segment* Executor::Find(planner::SegmentKind kind) const {
  const auto found = std::find_if(program_.segments.begin(), program_.segments.end(),
                                  [kind](const planner::Segment& s) { return s.kind == kind; });
  return found == program_.segments.end() ? nullptr : &*found;
}

absl::Status Executor::Run(planner::SegmentKind kind) {
  const planner::Segment* segment = Find(kind);
  if (segment == nullptr)
    return absl::NotFoundError(absl::StrCat("the step program has no segment ",
                                            std::string(planner::SegmentKindName(kind))));
  const ScopedPoison poison(
      *arena_, options_.guard_buffers && context_.device == planner::BackendKind::kCpu);
  TUNESMITH_RETURN_IF_ERROR(MeetAround(kind));
  TUNESMITH_RETURN_IF_ERROR(CanRepeat(*segment) ? RunRepeated(*segment, repeated_[kind])
                                                : RunBlocks(*segment));
  TUNESMITH_RETURN_IF_ERROR(TellObserver());
  return MeetAround(kind);
}

// Each once: the first of its layers stands for the others, which have the same shapes.
absl::Status Executor::RunProducts() {
  for (const planner::Segment& segment : program_.segments) {
    for (const planner::BlockRun& run : segment.runs) {
      for (const planner::Op& op : program_.blocks[static_cast<size_t>(run.block)].ops) {
        if (!planner::IsLinear(op.kind) || op.stream != planner::Stream::kCompute) continue;
        TUNESMITH_RETURN_IF_ERROR(RunOp(context_, Resolve(op, run.first, segment.kind)));
      }
    }
  }
  return Synchronize();
}

absl::Status Executor::RunBlocks(const planner::Segment& segment) {
  for (const planner::BlockRun& run : segment.runs) {
    const planner::Block& block = program_.blocks[static_cast<size_t>(run.block)];
    for (int64_t i = 0; i < run.count; ++i)
      TUNESMITH_RETURN_IF_ERROR(RunBlock(block, run.first + i * run.step, segment.kind));
  }
  return absl::OkStatus();
}

// What ranks exchange is on a stream of its own wherever the op says that it is.
bool Executor::CanRepeat(const planner::Segment& segment) const {
  if (!options_.graphs || context_.device != planner::BackendKind::kCuda || observer_ != nullptr ||
      !planner::IsOfStep(segment.kind))
    return false;
  return std::all_of(segment.runs.begin(), segment.runs.end(),
                     [this](const planner::BlockRun& run) {
                       const auto& ops = program_.blocks[static_cast<size_t>(run.block)].ops;
                       return std::all_of(ops.begin(), ops.end(), [](const planner::Op& op) {
                         return op.stream == planner::Stream::kCompute && op.waits == 0 &&
                                !planner::IsCollective(op.kind);
                       });
                     });
}

absl::Status Executor::RunRepeated(const planner::Segment& segment, Repeated& repeated) {
  if (!repeated.has_run) {
    repeated.has_run = true;
    return RunBlocks(segment);
  }
  if (repeated.graph == nullptr) {
    TUNESMITH_ASSIGN_OR_RETURN(
        repeated.graph, CudaGraph::Capture(*context_.cuda, [&] { return RunBlocks(segment); }));
  }
  return repeated.graph->Launch(*context_.cuda);
}

absl::Status Executor::MeetAround(planner::SegmentKind kind) {
  if (context_.device != planner::BackendKind::kCuda || planner::IsOfStep(kind))
    return absl::OkStatus();
  return context_.cuda->Meet();
}

absl::StatusOr<int32_t> Executor::RunSave(int32_t weight, int64_t instance) {
  const planner::Segment* segment = Find(planner::SegmentKind::kSave);
  if (segment != nullptr) {
    for (const planner::BlockRun& run : segment->runs) {
      const planner::Block& block = program_.blocks[static_cast<size_t>(run.block)];
      const planner::Op& copy = block.ops.back();
      if (copy.inputs[0].buffer != weight) continue;
      TUNESMITH_RETURN_IF_ERROR(MeetAround(segment->kind));
      TUNESMITH_RETURN_IF_ERROR(RunBlock(block, run.first + instance, segment->kind));
      TUNESMITH_RETURN_IF_ERROR(TellObserver());
      TUNESMITH_RETURN_IF_ERROR(MeetAround(segment->kind));
      return copy.outputs[0].buffer;
    }
  }
  return absl::NotFoundError(absl::StrCat("the step program does not save buffer ", weight));
}

absl::Status Executor::RunBlock(const planner::Block& block, int64_t run_index,
                                planner::SegmentKind kind) {
  for (const planner::Op& op : block.ops) {
    if (!planner::Runs(op, kind, program_.inputs.mix.accumulation_count)) continue;
    const OpCall call = Resolve(op, run_index, kind);
    if (absl::Status status = RunOne(op, call); !status.ok()) {
      return Reworded(
          status, absl::StrCat(std::string(block.name), " ", run_index, ", ",
                               std::string(planner::OpKindName(op.kind)), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status Executor::Issue(const planner::Op& op, const OpCall& call) {
  if (context_.device != planner::BackendKind::kCuda || op.stream != planner::Stream::kHost)
    return RunOp(context_, call);
  const OpContext host = {.device = planner::BackendKind::kCpu, .threads = context_.threads};
  return context_.cuda->RunOnHost(op.stream, [host, call] { return RunOp(host, call); });
}

absl::Status Executor::RunOne(const planner::Op& op, const OpCall& call) {
  if (options_.guard_buffers && context_.device == planner::BackendKind::kCpu) {
    const ScopedAccess access(call);
    return RunOp(context_, call);
  }
  if (op.waits != 0 && context_.device == planner::BackendKind::kCuda)
    TUNESMITH_RETURN_IF_ERROR(context_.cuda->Wait(op.stream, op.waits));
  if (observer_ == nullptr) return Issue(op, call);
  if (context_.device == planner::BackendKind::kCuda)
    return op_times_.Time(op, call, [&] { return Issue(op, call); });
  const auto start = std::chrono::steady_clock::now();
  TUNESMITH_RETURN_IF_ERROR(Issue(op, call));
  observer_->OnOp(op, call,
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return absl::OkStatus();
}

absl::Status Executor::TellObserver() {
  if (observer_ == nullptr) return absl::OkStatus();
  return op_times_.Tell([this](const planner::Op& op, const OpCall& call, double seconds) {
    observer_->OnOp(op, call, seconds);
  });
}

OpCall Executor::Resolve(const planner::Op& op, int64_t run_index,
                         planner::SegmentKind kind) const {
  OpCall call{.kind = op.kind,
              .attributes = op.attributes,
              .model = &program_.inputs.model,
              .stream = op.stream,
              .run_index = run_index,
              .input_count = op.input_count,
              .output_count = op.output_count};
  call.attributes.accumulate = planner::Accumulates(op, kind);
  call.first_head = arena_->rank() % op.attributes.sequence_parallel * op.attributes.head_count;
  if (op.attributes.bucket >= 0) {
    call.program = &program_;
    call.bucket = &program_.buckets[static_cast<size_t>(op.attributes.bucket)];
    if (op.attributes.of_shard)
      call.first_unit = arena_->rank() * call.bucket->shard_count + op.attributes.shard_first;
  }
  for (size_t i = 0; i < static_cast<size_t>(op.input_count); ++i)
    call.inputs[i] = arena_->At(op.inputs[i], run_index);
  for (size_t i = 0; i < static_cast<size_t>(op.output_count); ++i)
    call.outputs[i] = arena_->At(op.outputs[i], run_index);
  return call;
}

}  // namespace tunesmith::trainer
