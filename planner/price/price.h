#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "planner/model/hardware.h"
#include "planner/price/calibration.h"
#include "planner/price/op_cost.h"
#include "planner/price/row_statistics.h"
#include "planner/price/streams.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Rates that are assumed where nothing was measured, as shares of a datasheet's. Matrix products reach 0.6 of the dense peak on large shapes
// (PyTorch's and SimuMax's measured tables: 0.46 to 0.80 on A100), memory-bound kernels 0.8 of the memory's rate.
inline constexpr double kDatasheetGemmShare = 0.6;
inline constexpr double kDatasheetMemoryShare = 0.8;
inline constexpr double kDatasheetLaunchSeconds = 4e-6;
// The 90 % interval that such a price deserves: prices from datasheets alone are rarely better.
inline constexpr double kDatasheetRelativeError = 0.5;
// A CPU that was not probed is assumed to be slow (hardware_host.cc): one with wide vectors is ten times quicker and more.
inline constexpr double kUnprobedCpuRelativeError = 0.95;

// Floating-point operations per second of the trainer's own attention kernels, forward or backward, where nothing was measured. On CPUs 0.4 of the fp32
// rate (measured: 0.55 to 0.6 on one AVX-512 core). On GPUs as measured on an H200 (docs/benchmarks/gpu-h200.md): the eager kernels reach 0.026 to 0.07 of
// the bf16 rate, the flash kernels, which use no matrix units yet, 0.021 to 0.028 of the fp32 rate.
double DatasheetAttentionFlopsPerSecond(const Hardware& hardware, Precision precision, bool flash);

// One execution of a block.
struct BlockPrice {
  int64_t compute_picoseconds = 0;  // busy time of the compute stream
  int64_t copy_picoseconds = 0;     // busy time of both copy streams
  StreamMap streams = StreamMap::Identity();

  // An op, or several of one stream, after what the price holds so far; as StreamMap::Issue.
  void Issue(Stream stream, uint8_t waits, int64_t picoseconds) {
    (stream == Stream::kCompute ? compute_picoseconds : copy_picoseconds) += picoseconds;
    streams.Issue(stream, waits, picoseconds);
  }
};

// Seconds of ops on one machine. Plain data after construction; copies are cheap enough to keep one per question. Safe to read from any thread.
class PriceTable {
 public:
  // Measured rates where `calibration` has them (id not empty), the datasheet's shares elsewhere. `rows`: what is computed on.
  PriceTable(const Hardware& hardware, const Calibration& calibration, Precision precision,
             const RowStatistics& rows = {});

  // One execution of `op` in a segment of this kind. Integer picoseconds, at least 1.
  int64_t Picoseconds(const Program& program, const Op& op, SegmentKind kind) const;

  BlockPrice Price(const Program& program, const Block& block, SegmentKind kind) const;

  // Sending `bytes` to be summed over `rank_count` devices and receiving the sums: a ring moves 2 (n - 1) / n of them per device
  // (planner-side model of NCCL's ring; Patarasuk and Yuan 2009).
  int64_t AllReducePicoseconds(int64_t bytes, int64_t rank_count) const;

  bool calibrated() const { return !calibration_.id.empty(); }
  const Calibration& calibration() const { return calibration_; }
  const RowStatistics& rows() const { return rows_; }

 private:
  // A measured rate at a place in log space.
  struct Point {
    double x[3];
    double log_rate;
  };

  // Log-space interpolation over the nearest points of the kind; 0 when there is none.
  double MeasuredRate(OpKind kind, const double (&x)[3]) const;
  double Seconds(const Program& program, const Op& op, bool accumulates) const;
  double LinkSeconds(const Program& program, const Op& op) const;
  double LinearSeconds(const Program& program, const Op& op, const OpCost& cost) const;
  double AttentionSeconds(const Op& op, const OpCost& cost) const;
  double MemorySeconds(OpKind kind, double bytes) const;

  Hardware hardware_;
  Calibration calibration_;
  RowStatistics rows_;
  double peak_flops_per_second_ = 0;
  double eager_flops_per_second_ = 0;
  double flash_flops_per_second_ = 0;
  double launch_seconds_ = 0;
  std::array<std::vector<Point>, kOpKindCount> measured_;
};

// Time of one optimizer step of a whole program: the sum over segments, times what steps add to the sum of their ops.
struct StepPrice {
  int64_t step_picoseconds = 0;
  int64_t compute_picoseconds = 0;       // busy time of the compute stream
  int64_t copy_picoseconds = 0;          // busy time of the streams between device and host
  int64_t exposed_copy_picoseconds = 0;  // of which compute waits for
  int64_t communication_picoseconds =
      0;  // gradients summed over data-parallel ranks; not hidden behind compute
};
StepPrice PriceStep(const Program& program, const PriceTable& prices);

// What the segments of a step take together, before the step factor.
struct StepWork {
  int64_t span_picoseconds = 0;  // from the start to the end of the last stream
  int64_t compute_picoseconds = 0;
  int64_t copy_picoseconds = 0;
};

// Work x step factor + communication, rounded once: the one place where a step's price is put together. Monotone in the span.
StepPrice ComposeStep(const StepWork& work, int64_t gradient_bytes, int64_t rank_count,
                      const PriceTable& prices);

// Bytes of all gradients of one rank, unpadded: what data-parallel ranks exchange.
int64_t GradientBytes(const Program& program);

}  // namespace tunesmith::planner
