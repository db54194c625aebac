#include "profiler/op_statistics.h"

#include <cmath>
#include <string>

#include "common/median.h"
#include "planner/price/op_cost.h"

namespace tunesmith::profiler {

void OpStatistics::OnOp(const planner::Op& op, const trainer::OpCall& call, double seconds) {
  // What a GPU's host updates and what passes their link is of the same kinds as what the GPU does in its own memory, and is priced otherwise.
  if (program_->inputs.backend.kind == planner::BackendKind::kCuda &&
      op.stream != planner::Stream::kCompute)
    return;
  const planner::OpCost cost = planner::CostOf(*program_, op, call.attributes.accumulate);
  Key key{op.kind, {std::llround(cost.bytes), 0, 0}};
  double work = cost.bytes;
  if (planner::IsLinear(op.kind)) {
    const planner::GemmShape g = planner::GemmShapeOf(*program_, op);
    key.second = {g.m, g.n, g.k};
    work = cost.flops;
  } else if (planner::IsAttention(op.kind)) {
    const bool gpu = program_->inputs.backend.kind == planner::BackendKind::kCuda;
    key.second = {op.attributes.context, op.attributes.head_size,
                  gpu ? planner::SequenceCount(*program_, op) : 0};
    work = cost.flops;
  }
  // Ops of one shape may differ in work (attention of CPUs, by rows and heads), so that rates are kept.
  if (work > 0 && seconds > 0) Add(key, work / seconds);
}

void OpStatistics::Merge(const OpStatistics& other, double factor) {
  for (const auto& [key, rates] : other.rates_) {
    std::vector<double>& ours = rates_[key];
    for (const double rate : rates) ours.push_back(factor * rate);
  }
}

void OpStatistics::AddTo(planner::Calibration& calibration) const {
  for (const auto& [key, rates] : rates_) {
    const auto& [kind, sizes] = key;
    const double rate = Median(rates);
    const std::string name(planner::OpKindName(kind));
    if (planner::IsLinear(kind)) {
      calibration.gemm.push_back(
          {.op_kind = name, .m = sizes[0], .n = sizes[1], .k = sizes[2], .flops_per_second = rate});
    } else if (planner::IsAttention(kind)) {
      calibration.attention.push_back({.op_kind = name,
                                       .context = sizes[0],
                                       .head_size = sizes[1],
                                       .flops_per_second = rate,
                                       .sequence_count = sizes[2]});
    } else {
      calibration.rates.push_back(
          {.op_kind = name, .bytes = sizes[0], .bytes_per_second = rate, .rank_count = sizes[1]});
    }
  }
}

}  // namespace tunesmith::profiler
