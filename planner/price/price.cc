#include "planner/price/price.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "planner/program/collectives.h"
#include "planner/program/op_kind_name.h"

namespace tunesmith::planner {
namespace {

double LogOf(int64_t value) { return std::log(static_cast<double>(std::max<int64_t>(value, 1))); }

double PeakFlops(const Hardware& hardware, Precision precision) {
  const double narrow = hardware.bf16_dense_flops_per_second > 0
                            ? hardware.bf16_dense_flops_per_second
                            : hardware.fp16_dense_flops_per_second;
  return precision == Precision::kBf16 && narrow > 0 ? narrow
                                                     : hardware.fp32_dense_flops_per_second;
}

}  // namespace

double DatasheetAttentionFlopsPerSecond(const Hardware& hardware, Precision precision,
                                        AttentionKernel kernel) {
  // Eager: measured on an H200 (docs/benchmarks/gpu-h200.md). Flash on the matrix units is not measured yet: kernels of its kind (mma.sync, the shape of FlashAttention 2)
  // take 0.3 to 0.6 of the peak on H100 and A100 (arXiv 2307.08691, 2407.08608); ours is trusted with half of the least. Of cuDNN NVIDIA publishes 0.60 forward and 0.48
  // backward on an H200 (docs/adr/0030): it is trusted with little more than half of that.
  constexpr double kCpuShare = 0.4, kGpuEagerShare = 0.05, kGpuMatrixFlashShare = 0.15,
                   kGpuPlainFlashShare = 0.025, kGpuCudnnShare = 0.3;
  if (hardware.compute_capability == 0) return kCpuShare * hardware.fp32_dense_flops_per_second;
  if (kernel == AttentionKernel::kEager) return kGpuEagerShare * PeakFlops(hardware, precision);
  if (kernel == AttentionKernel::kCudnn) return kGpuCudnnShare * PeakFlops(hardware, precision);
  return precision == Precision::kBf16 ? kGpuMatrixFlashShare * PeakFlops(hardware, precision)
                                       : kGpuPlainFlashShare * hardware.fp32_dense_flops_per_second;
}

PriceTable::PriceTable(const Hardware& hardware, const Calibration& calibration,
                       Precision precision, const RowStatistics& rows, const Links& links)
    : hardware_(hardware),
      calibration_(calibration),
      rows_(rows),
      links_(links),
      peak_flops_per_second_(PeakFlops(hardware, precision)) {
  for (size_t kernel = 0; kernel < attention_flops_per_second_.size(); ++kernel) {
    attention_flops_per_second_[kernel] =
        DatasheetAttentionFlopsPerSecond(hardware, precision, static_cast<AttentionKernel>(kernel));
  }
  launch_seconds_ = calibrated() ? calibration.launch_seconds : kDatasheetLaunchSeconds;
  const auto add = [this](const std::string& op_kind, const RateSurface::Sizes& x, double rate) {
    if (const auto kind = OpKindFromName(op_kind))
      measured_[static_cast<size_t>(*kind)].Add(x, rate);
  };
  for (const GemmPoint& p : calibration.gemm)
    add(p.op_kind, {LogOf(p.m), LogOf(p.n), LogOf(p.k)}, p.flops_per_second);
  for (const AttentionPoint& p : calibration.attention)
    add(p.op_kind, {LogOf(p.context), LogOf(p.head_size), LogOf(p.sequence_count)},
        p.flops_per_second);
  for (const OpRate& p : calibration.rates)
    add(p.op_kind, {LogOf(p.bytes), LogOf(p.rank_count), 0}, p.bytes_per_second);
  for (RateSurface& surface : measured_) surface.Fit();
}

double PriceTable::MemorySeconds(OpKind kind, double bytes, int64_t rank_count) const {
  const RateSurface& measured = Measured(kind);
  if (!measured.empty())
    return bytes / measured.RateAt({std::log(std::max(bytes, 1.0)), LogOf(rank_count), 0});
  return bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second) + launch_seconds_;
}

double PriceTable::LinearSeconds(const Program& program, const Op& op, const OpCost& cost) const {
  if (const RateSurface& measured = Measured(op.kind); !measured.empty()) {
    const GemmShape g = GemmShapeOf(program, op);
    return cost.flops / measured.RateAt({LogOf(g.m), LogOf(g.n), LogOf(g.k)});
  }
  return std::max(cost.flops / (kDatasheetGemmShare * peak_flops_per_second_),
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

double PriceTable::AttentionSeconds(const Program& program, const Op& op,
                                    const OpCost& cost) const {
  if (const RateSurface& measured = Measured(op.kind); !measured.empty()) {
    const int64_t sequences = hardware_.compute_capability > 0 ? SequenceCount(program, op) : 0;
    return cost.flops / measured.RateAt({LogOf(op.attributes.context),
                                         LogOf(op.attributes.head_size), LogOf(sequences)});
  }
  const auto kernel = static_cast<size_t>(*AttentionKernelOf(op.kind));
  return std::max(cost.flops / attention_flops_per_second_[kernel],
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

// Where device and host are one, the copy is the processor's.
double PriceTable::LinkSeconds(const Program& program, const Op& op) const {
  if (hardware_.compute_capability == 0 && !Measured(op.kind).empty())
    return MemorySeconds(op.kind, CostOf(program, op, false, {}).bytes);
  const double bytes = static_cast<double>(
      InstanceBytes(program.buffers[static_cast<size_t>(op.outputs[0].buffer)]));
  // The ranks of a host copy at the same time: its memory may be slower than their links.
  const int64_t ranks = RanksOfHost(program);
  const double measured = op.stream == Stream::kHostToDevice
                              ? calibration_.link_to_device_bytes_per_second
                              : calibration_.link_from_device_bytes_per_second;
  const double link =
      measured > 0 ? measured : kDatasheetMemoryShare * hardware_.host_bytes_per_second;
  const double rate = std::min(link, HostMemoryBytesPerSecond(ranks) / static_cast<double>(ranks));
  return bytes / rate + launch_seconds_;
}

int64_t PriceTable::RanksOfHost(const Program& program) const {
  const int64_t ranks = RankCount(program.inputs.mix);
  return links_.ranks_per_node > 0 ? std::min(links_.ranks_per_node, ranks) : ranks;
}

// Of a host with so many ranks, all of it.
double PriceTable::HostMemoryBytesPerSecond(int64_t rank_count) const {
  if (calibration_.host_memory_bytes_per_second > 0)
    return calibration_.host_memory_bytes_per_second;
  const int64_t sockets = (rank_count + kAssumedDevicesPerSocket - 1) / kAssumedDevicesPerSocket;
  return kDatasheetMemoryShare * kAssumedHostMemoryBytesPerSecond * static_cast<double>(sockets);
}

// Where a host is the device, its ranks have its processors and its memory together (trainer/job/thread_ranks.h): each takes as many times longer as there are.
double PriceTable::ShareOfHost(const Program& program) const {
  const auto ranks = static_cast<double>(RanksOfHost(program));
  if (hardware_.compute_capability > 0 || ranks == 1) return 1;
  return ranks * (calibration_.sharing_factor > 0 ? calibration_.sharing_factor : 1);
}

// Processors of a host share its memory: its ranks update at the same time.
double PriceTable::HostSeconds(const Program& program, const Op& op, bool accumulates) const {
  const int64_t ranks = RanksOfHost(program);
  return CostOf(program, op, accumulates, {}).bytes * static_cast<double>(ranks) /
         HostMemoryBytesPerSecond(ranks);
}

// Of NCCL: of a collective, of a step from rank to rank, and of one to another node.
constexpr double kBaseSeconds = 8.4e-6, kHopSeconds = 3.4e-6, kNodeHopSeconds = 14e-6;

// A ring passes every part of the whole on from rank to rank (Patarasuk and Yuan 2009): n - 1 steps, in which a rank sends (n - 1) / n of the whole; a sum that
// every rank gets does so twice. A ring over nodes is as quick as its slowest link. Latencies are those of NCCL's model (tuning.cc, protocol Simple).
double PriceTable::CollectiveSeconds(const Program& program, const Op& op) const {
  const bool reduces = op.kind == OpKind::kAllReduce;
  const BufferRef whole = op.kind == OpKind::kReduceScatter ? op.inputs[0] : op.outputs[0];
  const auto bytes =
      static_cast<double>(InstanceBytes(program.buffers[static_cast<size_t>(whole.buffer)]));
  const auto ranks = static_cast<double>(RankCount(program.inputs.mix));
  const double nodes =
      links_.ranks_per_node > 0 ? std::ceil(ranks / static_cast<double>(links_.ranks_per_node)) : 1;
  if (nodes <= 1 && !Measured(op.kind).empty())
    return MemorySeconds(op.kind, bytes, RankCount(program.inputs.mix));
  double rate = hardware_.link_bytes_per_second;
  if (nodes > 1 && links_.network_bytes_per_second > 0)
    rate = std::min(rate, links_.network_bytes_per_second);
  const double passes = reduces ? 2 : 1;
  const double latency =
      kBaseSeconds + passes * ((ranks - nodes) * kHopSeconds + (nodes - 1) * kNodeHopSeconds);
  return latency + passes * (ranks - 1) / ranks * bytes / (kDatasheetMemoryShare * rate);
}

// Every rank sends the others of its group their parts at once: those in its node by its own link, those elsewhere by the network that the ranks of its node
// share. A group that does not fill nodes, nor nodes hold whole groups, has at least as many ranks together as the greatest number that divides both.
double PriceTable::AllToAllSeconds(const Program& program, const Op& op) const {
  const auto bytes =
      static_cast<double>(InstanceBytes(program.buffers[static_cast<size_t>(op.inputs[0].buffer)]));
  const int64_t ranks = op.attributes.sequence_parallel, in_node = links_.ranks_per_node,
                near = in_node > 0 ? std::gcd(ranks, in_node) : ranks;
  if (near == ranks && !Measured(op.kind).empty()) return MemorySeconds(op.kind, bytes, ranks);
  const double part_bytes = bytes / static_cast<double>(ranks);
  const double link = kDatasheetMemoryShare * hardware_.link_bytes_per_second;
  double seconds = part_bytes * static_cast<double>(near - 1) / link;
  if (near == ranks) return kBaseSeconds + kHopSeconds + seconds;
  const double network =
      links_.network_bytes_per_second > 0
          ? kDatasheetMemoryShare * links_.network_bytes_per_second / static_cast<double>(in_node)
          : link;
  seconds = std::max(seconds, part_bytes * static_cast<double>(ranks - near) / network);
  return kBaseSeconds + kNodeHopSeconds + seconds;
}

double PriceTable::Seconds(const Program& program, const Op& op, bool accumulates) const {
  if (op.kind == OpKind::kAllToAll) return AllToAllSeconds(program, op);
  if (IsCollective(op.kind)) return CollectiveSeconds(program, op);
  if (op.stream == Stream::kHost) return HostSeconds(program, op, accumulates);
  if (op.stream == Stream::kHostToDevice || op.stream == Stream::kDeviceToHost)
    return LinkSeconds(program, op) * ShareOfHost(program);
  return ComputeSeconds(program, op, accumulates) * ShareOfHost(program);
}

double PriceTable::ComputeSeconds(const Program& program, const Op& op, bool accumulates) const {
  const OpCost cost = CostOf(program, op, accumulates,
                             {.windowed = rows_.flash_pair_factor, .full = rows_.full_pair_factor});
  if (IsLinear(op.kind)) return LinearSeconds(program, op, cost);
  if (IsAttention(op.kind)) return AttentionSeconds(program, op, cost);
  return MemorySeconds(op.kind, cost.bytes);
}

int64_t PriceTable::Picoseconds(const Program& program, const Op& op, SegmentKind kind) const {
  const double picoseconds = Seconds(program, op, Accumulates(op, kind)) * 1e12;
  return std::max<int64_t>(1, static_cast<int64_t>(picoseconds + 0.5));
}

BlockPrice PriceTable::Price(const Program& program, const Block& block, SegmentKind kind) const {
  BlockPrice price;
  int64_t alone = 0;  // compute since the last op that concerns another stream
  for (const Op& op : block.ops) {
    if (!Runs(op, kind, program.inputs.mix.accumulation_count)) continue;
    const int64_t picoseconds = Picoseconds(program, op, kind);
    if (op.stream == Stream::kCompute && op.waits == 0 && !IsCollective(op.kind)) {
      alone += picoseconds;
      continue;
    }
    price.Issue(Stream::kCompute, 0, alone);
    alone = 0;
    if (IsCollective(op.kind)) {
      price.IssueCollective(op.stream, op.waits, picoseconds);
    } else {
      price.Issue(op.stream, op.waits, picoseconds);
    }
  }
  price.Issue(Stream::kCompute, 0, alone);
  return price;
}

StepPrice ComposeStep(const StepWork& work, const PriceTable& prices) {
  const double factor = prices.calibrated() ? prices.calibration().step_factor : 1.0;
  const auto scaled = [factor](int64_t picoseconds) {
    if (factor == 1.0) return static_cast<long long>(picoseconds);
    return std::llround(static_cast<double>(picoseconds) * factor);
  };
  StepPrice price;
  price.compute_picoseconds = scaled(work.compute_picoseconds);
  price.copy_picoseconds = scaled(work.copy_picoseconds);
  price.communication_picoseconds = scaled(work.communication_picoseconds);
  price.step_picoseconds = scaled(work.span_picoseconds);
  const int64_t exposed = price.step_picoseconds - price.compute_picoseconds;
  if (work.communication_picoseconds == 0) {
    price.exposed_copy_picoseconds = exposed;
    return price;
  }
  const double busy = static_cast<double>(work.copy_picoseconds) +
                      static_cast<double>(work.communication_picoseconds);
  price.exposed_communication_picoseconds =
      busy > 0 ? std::llround(static_cast<double>(exposed) *
                              (static_cast<double>(work.communication_picoseconds) / busy))
               : 0;
  price.exposed_copy_picoseconds = exposed - price.exposed_communication_picoseconds;
  return price;
}

namespace {

BlockPrice PriceSegment(const Program& program, const Segment& segment, const PriceTable& prices) {
  BlockPrice once;
  for (const BlockRun& run : segment.runs)
    once.Then(prices.Price(program, program.blocks[static_cast<size_t>(run.block)], segment.kind),
              run.count);
  return once;
}

}  // namespace

StepPrice PriceStep(const Program& program, const PriceTable& prices) {
  BlockPrice step, once;
  const Segment* last = nullptr;
  for (const Segment& segment : program.segments) {
    if (segment.repeat_count == 0) continue;
    // Of the micro-batches of a step only the first differs, and the last where ranks sum in it.
    const bool alike = last != nullptr && last->kind == SegmentKind::kMicroMiddle &&
                       segment.kind == SegmentKind::kMicroLast && last->runs == segment.runs &&
                       program.buckets.empty();
    if (!alike) once = PriceSegment(program, segment, prices);
    last = &segment;
    step.Then(once, segment.repeat_count);
  }
  const StreamTimes end = step.streams.Apply({});
  StepWork work{step};
  work.span_picoseconds = *std::max_element(end.begin(), end.end());
  return ComposeStep(work, prices);
}

}  // namespace tunesmith::planner
