#include "profiler/op_statistics.h"

#include <cmath>
#include <string>

#include "common/median.h"
#include "planner/price/op_cost.h"

namespace tunesmith::profiler {

using planner::OpKind;

void OpStatistics::OnOp(const planner::Op& op, const trainer::OpCall& call, double seconds) {
  const planner::OpCost cost = planner::CostOf(*program_, op, call.attributes.accumulate);
  Key key{op.kind, std::llround(cost.bytes), 0, 0};
  double work = cost.bytes;
  if (planner::IsLinear(op.kind)) {
    const planner::GemmShape g = planner::GemmShapeOf(*program_, op);
    key = {op.kind, g.m, g.n, g.k};
    work = cost.flops;
  } else if (planner::IsAttention(op.kind)) {
    key = {op.kind, op.attributes.context, op.attributes.head_size, 0};
    work = cost.flops;
  }
  if (work > 0 && seconds > 0) samples_[key].push_back({work, seconds});
}

void OpStatistics::Merge(const OpStatistics& other) {
  for (const auto& [key, samples] : other.samples_) {
    std::vector<Sample>& ours = samples_[key];
    ours.insert(ours.end(), samples.begin(), samples.end());
  }
}

void OpStatistics::AddTo(planner::Calibration& calibration) const {
  for (const auto& [key, samples] : samples_) {
    const auto& [kind, a, b, c] = key;
    // Ops of one shape may differ in work: attention, by rows and heads.
    std::vector<double> rates;
    for (const Sample& sample : samples) rates.push_back(sample.work / sample.seconds);
    const double rate = Median(std::move(rates));
    const std::string name(planner::OpKindName(kind));
    if (planner::IsLinear(kind)) {
      calibration.gemm.push_back(
          {.op_kind = name, .m = a, .n = b, .k = c, .flops_per_second = rate});
    } else if (planner::IsAttention(kind)) {
      calibration.attention.push_back(
          {.op_kind = name, .context = a, .head_size = b, .flops_per_second = rate});
    } else {
      calibration.rates.push_back({.op_kind = name, .bytes = a, .bytes_per_second = rate});
    }
  }
}

}  // namespace tunesmith::profiler
