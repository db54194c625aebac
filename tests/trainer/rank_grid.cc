#include "tests/trainer/rank_grid.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tunesmith::trainer {
namespace {

double Norm(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x * x;
  return std::sqrt(sum);
}

}  // namespace

void ExpectSameTensors(const std::map<std::string, std::vector<double>>& a,
                       const std::map<std::string, std::vector<double>>& b, double tolerance,
                       const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (const auto& [name, values] : a) {
    std::vector<double> difference = b.at(name);
    ASSERT_EQ(values.size(), difference.size());
    for (size_t i = 0; i < values.size(); ++i) difference[i] -= values[i];
    EXPECT_LE(Norm(difference), tolerance * (Norm(values) + 1e-12)) << name << " of " << what;
  }
}

planner::ProgramInputs AloneOf(planner::ProgramInputs inputs) {
  planner::Mix& m = inputs.mix;
  m.recompute = {};
  m.recompute[0] = inputs.model.layer_count;
  m.zero_stage = 0;
  m.offload = planner::Offload::kNone;
  m.micro_batch *= m.accumulation_count * m.data_parallel;
  m.accumulation_count = m.data_parallel = m.sequence_parallel = 1;
  return inputs;
}

std::vector<Shared> SharedBy(int64_t ranks) {
  using planner::Offload;
  std::vector<Shared> all;
  for (int64_t stage : {0, 1, 2, 3}) {
    for (Offload offload : {Offload::kNone, Offload::kOptimizer, Offload::kAll}) {
      planner::Mix mix{.zero_stage = stage, .offload = offload, .data_parallel = ranks};
      mix.recompute[0] = 1;
      if (ranks == 1 && offload == Offload::kNone) continue;
      if (ValidateMix(mix, 1).ok()) all.push_back({stage, offload});
    }
  }
  return all;
}

}  // namespace tunesmith::trainer
