#include "planner/price/price.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace tunesmith::planner {
namespace {

std::optional<OpKind> KindFromName(const std::string& name) {
  for (int i = 0; i < kOpKindCount; ++i) {
    if (name == OpKindName(static_cast<OpKind>(i))) return static_cast<OpKind>(i);
  }
  return std::nullopt;
}

double LogOf(int64_t value) { return std::log(static_cast<double>(std::max<int64_t>(value, 1))); }

double PeakFlops(const Hardware& hardware, Precision precision) {
  const double narrow = hardware.bf16_dense_flops_per_second > 0
                            ? hardware.bf16_dense_flops_per_second
                            : hardware.fp16_dense_flops_per_second;
  return precision == Precision::kBf16 && narrow > 0 ? narrow
                                                     : hardware.fp32_dense_flops_per_second;
}

}  // namespace

double DatasheetAttentionFlopsPerSecond(const Hardware& hardware, Precision precision, bool flash) {
  constexpr double kCpuShare = 0.4, kGpuEagerShare = 0.05, kGpuFlashShare = 0.025;
  if (hardware.compute_capability == 0) return kCpuShare * hardware.fp32_dense_flops_per_second;
  if (flash) return kGpuFlashShare * hardware.fp32_dense_flops_per_second;
  return kGpuEagerShare * PeakFlops(hardware, precision);
}

PriceTable::PriceTable(const Hardware& hardware, const Calibration& calibration,
                       Precision precision, const RowStatistics& rows)
    : hardware_(hardware),
      calibration_(calibration),
      rows_(rows),
      peak_flops_per_second_(PeakFlops(hardware, precision)) {
  eager_flops_per_second_ = DatasheetAttentionFlopsPerSecond(hardware, precision, false);
  flash_flops_per_second_ = DatasheetAttentionFlopsPerSecond(hardware, precision, true);
  launch_seconds_ = calibrated() ? calibration.launch_seconds : kDatasheetLaunchSeconds;
  const auto add = [this](const std::string& op_kind, const double(&x)[3], double rate) {
    if (const auto kind = KindFromName(op_kind))
      measured_[static_cast<size_t>(*kind)].push_back({{x[0], x[1], x[2]}, std::log(rate)});
  };
  for (const GemmPoint& p : calibration.gemm)
    add(p.op_kind, {LogOf(p.m), LogOf(p.n), LogOf(p.k)}, p.flops_per_second);
  for (const AttentionPoint& p : calibration.attention)
    add(p.op_kind, {LogOf(p.context), LogOf(p.head_size), 0}, p.flops_per_second);
  for (const OpRate& p : calibration.rates)
    add(p.op_kind, {LogOf(p.bytes), 0, 0}, p.bytes_per_second);
}

double PriceTable::MeasuredRate(OpKind kind, const double (&x)[3]) const {
  // Inverse-distance weights over the three nearest points: exact at a measured point, monotone between two, flat outside.
  constexpr int kNearest = 3;
  std::array<std::pair<double, double>, kNearest> nearest;  // squared distance, log rate
  int found = 0;
  for (const Point& point : measured_[static_cast<size_t>(kind)]) {
    double distance = 0;
    for (int d = 0; d < 3; ++d) distance += (point.x[d] - x[d]) * (point.x[d] - x[d]);
    if (distance < 1e-12) return std::exp(point.log_rate);
    if (found == kNearest && distance >= nearest[kNearest - 1].first) continue;
    int at = found < kNearest ? found++ : kNearest - 1;
    for (; at > 0 && nearest[static_cast<size_t>(at - 1)].first > distance; --at)
      nearest[static_cast<size_t>(at)] = nearest[static_cast<size_t>(at - 1)];
    nearest[static_cast<size_t>(at)] = {distance, point.log_rate};
  }
  double weights = 0, sum = 0;
  for (int i = 0; i < found; ++i) {
    const auto& [distance, log_rate] = nearest[static_cast<size_t>(i)];
    weights += 1.0 / distance;
    sum += log_rate / distance;
  }
  return found == 0 ? 0.0 : std::exp(sum / weights);
}

double PriceTable::MemorySeconds(OpKind kind, double bytes) const {
  const bool measured = !measured_[static_cast<size_t>(kind)].empty();
  if (measured) return bytes / MeasuredRate(kind, {std::log(std::max(bytes, 1.0)), 0, 0});
  return bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second) + launch_seconds_;
}

double PriceTable::LinearSeconds(const Program& program, const Op& op, const OpCost& cost) const {
  if (!measured_[static_cast<size_t>(op.kind)].empty()) {
    const GemmShape g = GemmShapeOf(program, op);
    return cost.flops / MeasuredRate(op.kind, {LogOf(g.m), LogOf(g.n), LogOf(g.k)});
  }
  return std::max(cost.flops / (kDatasheetGemmShare * peak_flops_per_second_),
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

double PriceTable::AttentionSeconds(const Op& op, const OpCost& cost) const {
  if (!measured_[static_cast<size_t>(op.kind)].empty())
    return cost.flops /
           MeasuredRate(op.kind, {LogOf(op.attributes.context), LogOf(op.attributes.head_size), 0});
  const bool flash =
      op.kind == OpKind::kFlashAttention || op.kind == OpKind::kFlashAttentionBackward;
  return std::max(cost.flops / (flash ? flash_flops_per_second_ : eager_flops_per_second_),
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

double PriceTable::LinkSeconds(const Program& program, const Op& op) const {
  const double bytes = static_cast<double>(
      InstanceBytes(program.buffers[static_cast<size_t>(op.outputs[0].buffer)]));
  return bytes / (kDatasheetMemoryShare * hardware_.host_bytes_per_second) + launch_seconds_;
}

double PriceTable::Seconds(const Program& program, const Op& op, bool accumulates) const {
  if (op.stream == Stream::kHostToDevice || op.stream == Stream::kDeviceToHost)
    return LinkSeconds(program, op);
  const OpCost cost = CostOf(program, op, accumulates,
                             {.windowed = rows_.flash_pair_factor, .full = rows_.full_pair_factor});
  if (IsLinear(op.kind)) return LinearSeconds(program, op, cost);
  if (IsAttention(op.kind)) return AttentionSeconds(op, cost);
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
    if (op.stream == Stream::kCompute && op.waits == 0) {
      alone += picoseconds;
      continue;
    }
    price.Issue(Stream::kCompute, 0, alone);
    alone = 0;
    price.Issue(op.stream, op.waits, picoseconds);
  }
  price.Issue(Stream::kCompute, 0, alone);
  return price;
}

int64_t PriceTable::AllReducePicoseconds(int64_t bytes, int64_t rank_count) const {
  if (rank_count <= 1) return 0;
  const double n = static_cast<double>(rank_count);
  const double moved = 2.0 * (n - 1.0) / n * static_cast<double>(bytes);
  return std::llround((moved / (kDatasheetMemoryShare * hardware_.link_bytes_per_second) +
                       2.0 * (n - 1.0) * launch_seconds_) *
                      1e12);
}

int64_t GradientBytes(const Program& program) {
  int64_t bytes = 0;
  for (const Buffer& b : program.buffers) {
    if (b.region == Region::kGradient) bytes += InstanceBytes(b) * b.instance_count;
  }
  return bytes;
}

StepPrice ComposeStep(const StepWork& work, int64_t gradient_bytes, int64_t rank_count,
                      const PriceTable& prices) {
  const double factor = prices.calibrated() ? prices.calibration().step_factor : 1.0;
  const auto scaled = [factor](int64_t picoseconds) {
    return std::llround(static_cast<double>(picoseconds) * factor);
  };
  StepPrice price;
  price.compute_picoseconds = scaled(work.compute_picoseconds);
  price.copy_picoseconds = scaled(work.copy_picoseconds);
  price.exposed_copy_picoseconds = scaled(work.span_picoseconds) - price.compute_picoseconds;
  price.communication_picoseconds = prices.AllReducePicoseconds(gradient_bytes, rank_count);
  price.step_picoseconds = scaled(work.span_picoseconds) + price.communication_picoseconds;
  return price;
}

namespace {

BlockPrice PriceSegment(const Program& program, const Segment& segment, const PriceTable& prices) {
  BlockPrice once;
  for (const BlockRun& run : segment.runs) {
    const BlockPrice price =
        prices.Price(program, program.blocks[static_cast<size_t>(run.block)], segment.kind);
    once.compute_picoseconds += run.count * price.compute_picoseconds;
    once.copy_picoseconds += run.count * price.copy_picoseconds;
    once.streams.Then(price.streams.Power(run.count));
  }
  return once;
}

}  // namespace

StepPrice PriceStep(const Program& program, const PriceTable& prices) {
  StepWork work;
  StreamMap step = StreamMap::Identity();
  const Segment* last = nullptr;
  BlockPrice once;
  for (const Segment& segment : program.segments) {
    if (segment.repeat_count == 0) continue;
    // Of the micro-batches of a step only the first differs.
    const bool alike = last != nullptr && last->kind == SegmentKind::kMicroMiddle &&
                       segment.kind == SegmentKind::kMicroLast && last->runs == segment.runs;
    if (!alike) once = PriceSegment(program, segment, prices);
    last = &segment;
    work.compute_picoseconds += segment.repeat_count * once.compute_picoseconds;
    work.copy_picoseconds += segment.repeat_count * once.copy_picoseconds;
    step.Then(once.streams.Power(segment.repeat_count));
  }
  const StreamTimes end = step.Apply({});
  work.span_picoseconds = *std::max_element(end.begin(), end.end());
  return ComposeStep(work, GradientBytes(program), program.inputs.mix.data_parallel, prices);
}

}  // namespace tunesmith::planner
