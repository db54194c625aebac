#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "planner/model/hardware.h"
#include "planner/price/calibration.h"
#include "planner/price/op_cost.h"
#include "planner/price/rate_surface.h"
#include "planner/price/row_statistics.h"
#include "planner/price/streams.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Rates that are assumed where nothing was measured, as shares of a datasheet's. Matrix products reach 0.6 of the dense peak on large shapes
// (PyTorch's and SimuMax's measured tables: 0.46 to 0.80 on A100), memory-bound kernels 0.8 of the memory's rate.
inline constexpr double kDatasheetGemmShare = 0.6;
inline constexpr double kDatasheetMemoryShare = 0.8;
inline constexpr double kDatasheetLaunchSeconds = 4e-6;
// Servers have a processor socket, with its memory channels, per four GPUs (DGX A100, DGX H100 and HGX: two sockets for eight).
inline constexpr int64_t kAssumedDevicesPerSocket = 4;
// The 90 % interval that such a price deserves: prices from datasheets alone are rarely better.
inline constexpr double kDatasheetRelativeError = 0.5;
// Of a CPU that was not calibrated: so many times quicker or slower (hardware_host.cc). Clocks are 2 to 4 GHz, two processors may be one core's threads or a
// core each, kernels reach 0.3 to 0.8 of a peak, and neighbours of a virtual machine take their part.
inline constexpr double kUnprobedCpuFactor = 4;

// Floating-point operations per second of the trainer's own attention kernels, forward or backward, where nothing was measured. On CPUs 0.4 of the fp32
// rate (measured: 0.55 to 0.6 on one AVX-512 core). On GPUs the eager kernels reach 0.026 to 0.07 of the bf16 rate, and the flash kernels for fp32, without matrix units,
// 0.021 to 0.028 of the fp32 rate (measured on an H200, docs/benchmarks/gpu-h200.md). The flash kernels for bf16, and cuDNN's, are taken at shares of the bf16 rate that are
// cautious and not measured.
double DatasheetAttentionFlopsPerSecond(const Hardware& hardware, Precision precision,
                                        AttentionKernel kernel);

// Busy time by what it is for. Where a device has one stream for all, they add up.
struct BusyTime {
  int64_t compute_picoseconds = 0;
  int64_t copy_picoseconds = 0;           // between device and host, both directions
  int64_t communication_picoseconds = 0;  // between ranks

  void Add(const BusyTime& other, int64_t times = 1) {
    compute_picoseconds += times * other.compute_picoseconds;
    copy_picoseconds += times * other.copy_picoseconds;
    communication_picoseconds += times * other.communication_picoseconds;
  }
  bool operator==(const BusyTime&) const = default;
};

// One execution of a block.
struct BlockPrice : BusyTime {
  StreamMap streams = StreamMap::Identity();

  // An op, or several of one stream, after what the price holds so far; as StreamMap::Issue.
  void Issue(Stream stream, uint8_t waits, int64_t picoseconds) {
    (stream == Stream::kCompute ? compute_picoseconds : copy_picoseconds) += picoseconds;
    streams.Issue(stream, waits, picoseconds);
  }
  // An op between ranks, on whatever stream it is.
  void IssueCollective(Stream stream, uint8_t waits, int64_t picoseconds) {
    communication_picoseconds += picoseconds;
    streams.Issue(stream, waits, picoseconds);
  }
  // So much of what was issued as compute went between ranks.
  void CountAsCommunication(int64_t picoseconds) {
    compute_picoseconds -= picoseconds;
    communication_picoseconds += picoseconds;
  }
  // `count` executions of another block after what the price holds so far.
  void Then(const BlockPrice& next, int64_t count = 1) {
    Add(next, count);
    streams.Then(count == 1 ? next.streams : next.streams.Power(count));
  }
};

// How the ranks of a program are connected.
struct Links {
  int64_t ranks_per_node = 0;  // 0: all are in one node
  double network_bytes_per_second =
      0;  // of a node, one direction; 0: nodes are as well connected as devices
};

// Seconds of ops on one machine. Plain data after construction; copies are cheap enough to keep one per question. Safe to read from any thread.
class PriceTable {
 public:
  // Measured rates where `calibration` has them (id not empty), the datasheet's shares elsewhere. `rows`: what is computed on.
  PriceTable(const Hardware& hardware, const Calibration& calibration, Precision precision,
             const RowStatistics& rows = {}, const Links& links = {});

  // One execution of `op` in a segment of this kind. Integer picoseconds, at least 1.
  int64_t Picoseconds(const Program& program, const Op& op, SegmentKind kind) const;

  BlockPrice Price(const Program& program, const Block& block, SegmentKind kind) const;

  bool calibrated() const { return !calibration_.id.empty(); }
  const Calibration& calibration() const { return calibration_; }
  const RowStatistics& rows() const { return rows_; }

 private:
  const RateSurface& Measured(OpKind kind) const { return measured_[static_cast<size_t>(kind)]; }
  double Seconds(const Program& program, const Op& op, bool accumulates) const;
  double ShareOfHost(const Program& program) const;
  double ComputeSeconds(const Program& program, const Op& op, bool accumulates) const;
  double LinkSeconds(const Program& program, const Op& op) const;
  int64_t RanksOfHost(const Program& program) const;
  double HostMemoryBytesPerSecond(int64_t rank_count) const;
  double HostSeconds(const Program& program, const Op& op, bool accumulates) const;
  double CollectiveSeconds(const Program& program, const Op& op) const;
  double AllToAllSeconds(const Program& program, const Op& op) const;
  double LinearSeconds(const Program& program, const Op& op, const OpCost& cost) const;
  double AttentionSeconds(const Program& program, const Op& op, const OpCost& cost) const;
  double MemorySeconds(OpKind kind, double bytes, int64_t rank_count = 0) const;

  Hardware hardware_;
  Calibration calibration_;
  RowStatistics rows_;
  Links links_;
  double peak_flops_per_second_ = 0;
  std::array<double, kAttentionKernelCount> attention_flops_per_second_ = {};  // of datasheets
  double launch_seconds_ = 0;
  std::array<RateSurface, kOpKindCount> measured_;
};

// Time of one optimizer step of a whole program: the sum over segments, times what steps add to the sum of their ops.
struct StepPrice : BusyTime {
  int64_t step_picoseconds = 0;
  // What compute waits for. Where it waits for both, in proportion to their busy times.
  int64_t exposed_copy_picoseconds = 0;
  int64_t exposed_communication_picoseconds = 0;
};
StepPrice PriceStep(const Program& program, const PriceTable& prices);

// What the segments of a step take together, before the step factor.
struct StepWork : BusyTime {
  int64_t span_picoseconds = 0;  // from the start to the end of the last stream
};

// Work x step factor, rounded once: the one place where a step's price is put together. Monotone in the span.
StepPrice ComposeStep(const StepWork& work, const PriceTable& prices);

}  // namespace tunesmith::planner
