#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/program/program.h"
#include "trainer/arena.h"
#include "trainer/cuda/cuda_graph.h"
#include "trainer/op_times.h"
#include "trainer/ops/op_context.h"

namespace tunesmith::trainer {

// Sees every op that has run: for profiling. Times are of the device: on a GPU where the op ran, in its queue, told when the segment is done (trainer/op_times.h).
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void OnOp(const planner::Op& op, const OpCall& call, double seconds) = 0;
};

// Runs the segments of a step program on one device. Not thread safe.
class Executor {
 public:
  struct Options {
    // Under AddressSanitizer on the CPU, every op may touch only the buffers that it names; without it, nothing changes.
    bool guard_buffers = false;
    // On a GPU, segments of a step that are on the compute stream alone are launched as one CUDA graph from their second execution on; the first chooses
    // algorithms.
    bool graphs = false;
  };

  // Allocates the arena and clears its resident buffers. `program` is kept; what `context` points to must outlive the executor.
  static absl::StatusOr<std::unique_ptr<Executor>> Create(planner::Program program,
                                                          const OpContext& context,
                                                          const Options& options);
  ~Executor();

  // Runs one execution of a segment. On a GPU the work is queued when this returns. NOT_FOUND: the program has no such segment.
  absl::Status Run(planner::SegmentKind kind);
  // Copies one instance of a weight to its staging buffer, as the save segment does (where ranks share weights, all must call), and returns that
  // buffer, which has the same instances. NOT_FOUND: the program does not save that weight.
  absl::StatusOr<int32_t> RunSave(int32_t weight, int64_t instance);
  absl::Status Synchronize() { return arena_->memory().Synchronize(); }

  // Null: none. The observer must outlive its use.
  void set_observer(OpObserver* observer) { observer_ = observer; }

  Arena& arena() { return *arena_; }
  const planner::Program& program() const { return program_; }
  const OpContext& context() const { return context_; }

 private:
  Executor(planner::Program program, const OpContext& context, const Options& options)
      : program_(std::move(program)), context_(context), options_(options), op_times_(context) {}

  // A segment that is run again and again.
  struct Repeated {
    bool has_run = false;
    std::unique_ptr<CudaGraph> graph;
  };

  const planner::Segment* Find(planner::SegmentKind kind) const;
  bool CanRepeat(const planner::Segment& segment) const;
  absl::Status RunRepeated(const planner::Segment& segment, Repeated& repeated);
  absl::Status RunBlocks(const planner::Segment& segment);
  absl::Status RunProducts();
  // Streams wait for each other before and after what is no part of a step.
  absl::Status MeetAround(planner::SegmentKind kind);
  absl::Status RunBlock(const planner::Block& block, int64_t run_index, planner::SegmentKind kind);
  absl::Status RunOne(const planner::Op& op, const OpCall& call);
  absl::Status TellObserver();
  // On the device, or on the host's processors behind what is queued.
  absl::Status Issue(const planner::Op& op, const OpCall& call);
  OpCall Resolve(const planner::Op& op, int64_t run_index, planner::SegmentKind kind) const;

  planner::Program program_;
  OpContext context_;
  Options options_;
  std::unique_ptr<Arena> arena_;
  OpObserver* observer_ = nullptr;
  OpTimes op_times_;  // of a GPU, while it is observed
  std::map<planner::SegmentKind, Repeated> repeated_;
};

}  // namespace tunesmith::trainer
