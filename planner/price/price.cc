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

PriceTable::PriceTable(const Hardware& hardware, const Calibration& calibration,
                       Precision precision)
    : hardware_(hardware),
      calibration_(calibration),
      peak_flops_per_second_(PeakFlops(hardware, precision)) {
  launch_seconds_ = calibrated() ? calibration.launch_seconds : kDatasheetLaunchSeconds;
  for (const GemmPoint& p : calibration.gemm) {
    if (const auto kind = KindFromName(p.op_kind))
      gemm_.push_back({*kind, {LogOf(p.m), LogOf(p.n), LogOf(p.k)}, std::log(p.flops_per_second)});
  }
  for (const AttentionPoint& p : calibration.attention) {
    if (const auto kind = KindFromName(p.op_kind))
      attention_.push_back(
          {*kind, {LogOf(p.context), LogOf(p.head_size), 0}, std::log(p.flops_per_second)});
  }
  for (const OpRate& p : calibration.rates) {
    if (const auto kind = KindFromName(p.op_kind))
      memory_.push_back({*kind, {LogOf(p.bytes), 0, 0}, std::log(p.bytes_per_second)});
  }
}

double PriceTable::MeasuredRate(const std::vector<Point>& points, OpKind kind,
                                const double (&x)[3]) const {
  // Inverse-distance weights over the three nearest points: exact at a measured point, monotone between two, flat outside.
  constexpr int kNearest = 3;
  std::array<std::pair<double, double>, kNearest> nearest;  // squared distance, log rate
  int found = 0;
  for (const Point& point : points) {
    if (point.kind != kind) continue;
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
  const double measured = MeasuredRate(memory_, kind, {std::log(std::max(bytes, 1.0)), 0, 0});
  if (measured > 0) return bytes / measured;
  return bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second) + launch_seconds_;
}

double PriceTable::LinearSeconds(const Program& program, const Op& op, const OpCost& cost) const {
  const GemmShape g = GemmShapeOf(program, op);
  const double measured = MeasuredRate(gemm_, op.kind, {LogOf(g.m), LogOf(g.n), LogOf(g.k)});
  if (measured > 0) return cost.flops / measured;
  return std::max(cost.flops / (kDatasheetGemmShare * peak_flops_per_second_),
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

double PriceTable::AttentionSeconds(const Op& op, const OpCost& cost) const {
  const double measured = MeasuredRate(
      attention_, op.kind, {LogOf(op.attributes.context), LogOf(op.attributes.head_size), 0});
  if (measured > 0) return cost.flops / measured;
  return std::max(cost.flops / (kDatasheetAttentionShare * peak_flops_per_second_),
                  cost.bytes / (kDatasheetMemoryShare * hardware_.memory_bytes_per_second)) +
         launch_seconds_;
}

double PriceTable::Seconds(const Program& program, const Op& op) const {
  const OpCost cost = CostOf(program, op);
  if (IsLinear(op.kind)) return LinearSeconds(program, op, cost);
  if (IsAttention(op.kind)) return AttentionSeconds(op, cost);
  return MemorySeconds(op.kind, cost.bytes);
}

int64_t PriceTable::Picoseconds(const Program& program, const Op& op) const {
  return std::max<int64_t>(1, std::llround(Seconds(program, op) * 1e12));
}

int64_t PriceTable::Picoseconds(const Program& program, const Block& block) const {
  int64_t sum = 0;
  for (const Op& op : block.ops) sum += Picoseconds(program, op);
  return sum;
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

StepPrice ComposeStep(int64_t compute_picoseconds, int64_t gradient_bytes, int64_t rank_count,
                      const PriceTable& prices) {
  StepPrice price;
  const double factor = prices.calibrated() ? prices.calibration().step_factor : 1.0;
  price.compute_picoseconds = std::llround(static_cast<double>(compute_picoseconds) * factor);
  price.communication_picoseconds = prices.AllReducePicoseconds(gradient_bytes, rank_count);
  price.step_picoseconds = price.compute_picoseconds + price.communication_picoseconds;
  return price;
}

StepPrice PriceStep(const Program& program, const PriceTable& prices) {
  int64_t compute = 0;
  for (const Segment& segment : program.segments) {
    if (segment.repeat_count == 0) continue;
    int64_t once = 0;
    for (const BlockRun& run : segment.runs)
      once +=
          run.count * prices.Picoseconds(program, program.blocks[static_cast<size_t>(run.block)]);
    compute += segment.repeat_count * once;
  }
  return ComposeStep(compute, GradientBytes(program), program.inputs.mix.data_parallel, prices);
}

}  // namespace tunesmith::planner
