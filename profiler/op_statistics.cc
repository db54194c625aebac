#include "profiler/op_statistics.h"

#include <algorithm>
#include <cmath>

#include "common/median.h"
#include "planner/price/op_cost.h"

namespace tunesmith::profiler {
namespace {

using planner::Calibration;
using planner::OpKind;

template <typename Point, typename Same>
void Replace(std::vector<Point>& points, Point point, Same same) {
  std::erase_if(points, same);
  points.push_back(std::move(point));
}

}  // namespace

void OpStatistics::OnOp(const planner::Op& op, const trainer::OpCall& call, double seconds) {
  const planner::OpCost cost = planner::CostOf(program_, op, call.attributes.accumulate);
  Key key{op.kind, std::llround(cost.bytes), 0, 0};
  double work = cost.bytes;
  if (planner::IsLinear(op.kind)) {
    const planner::GemmShape g = planner::GemmShapeOf(program_, op);
    key = {op.kind, g.m, g.n, g.k};
    work = cost.flops;
  } else if (planner::IsAttention(op.kind)) {
    key = {op.kind, op.attributes.context, op.attributes.head_size, 0};
    work = cost.flops;
  }
  Samples& samples = samples_[key];
  samples.work = work;
  samples.seconds.push_back(seconds);
}

void OpStatistics::AddTo(Calibration& calibration) const {
  for (const auto& [key, samples] : samples_) {
    const auto& [kind, a, b, c] = key;
    const double seconds = Median(samples.seconds);
    if (seconds <= 0 || samples.work <= 0) continue;
    const std::string name(planner::OpKindName(kind));
    const double rate = samples.work / seconds;
    if (planner::IsLinear(kind)) {
      Replace(calibration.gemm, {.op_kind = name, .m = a, .n = b, .k = c, .flops_per_second = rate},
              [&, m = a, n = b, k = c](const planner::GemmPoint& p) {
                return p.op_kind == name && p.m == m && p.n == n && p.k == k;
              });
    } else if (planner::IsAttention(kind)) {
      Replace(calibration.attention,
              {.op_kind = name, .context = a, .head_size = b, .flops_per_second = rate},
              [&, context = a, size = b](const planner::AttentionPoint& p) {
                return p.op_kind == name && p.context == context && p.head_size == size;
              });
    } else {
      Replace(calibration.rates, {.op_kind = name, .bytes = a, .bytes_per_second = rate},
              [&, bytes = a](const planner::OpRate& p) {
                return p.op_kind == name && p.bytes == bytes;
              });
    }
  }
}

}  // namespace tunesmith::profiler
