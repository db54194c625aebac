#include "tests/trainer/rank_grid.h"

#include <gtest/gtest.h>

#include <cmath>

#include "planner/program/build_program.h"
#include "planner/program/check_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/sharing.h"
#include "tests/trainer/comm/delaying_communicator.h"
#include "tests/trainer/program_runner.h"
#include "tests/trainer/rank_team.h"

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
  m = With(m, planner::Sharing{});
  m.micro_batch *= m.accumulation_count * m.data_parallel;
  m.accumulation_count = m.data_parallel = m.sequence_parallel = 1;
  return inputs;
}

void ExpectChecks(const std::vector<planner::ProgramInputs>& grid) {
  for (const planner::ProgramInputs& inputs : grid) {
    const auto program = planner::BuildProgram(inputs);
    ASSERT_TRUE(program.ok()) << program.status();
    const absl::Status status = CheckProgram(*program, PlanMemory(*program));
    ASSERT_TRUE(status.ok()) << status << " of " << FormatMix(inputs.mix);
  }
}

void ExpectLearnsAsAlone(std::vector<planner::ProgramInputs> grid) {
  for (planner::ProgramInputs& inputs : grid) {
    inputs.double_precision = true;
    const std::string what = FormatMix(inputs.mix);
    ProgramRunner alone(AloneOf(inputs));
    RankTeam team(inputs, /*guard_buffers=*/true);
    EXPECT_NEAR(alone.Step(false), team.Step(false), 1e-12) << what;
    ExpectSameTensors(alone.Gradients(), team.Gradients(), 1e-10, what);
    EXPECT_NEAR(alone.Evaluate(), team.Evaluate(), 1e-12) << what;
    if (::testing::Test::HasFailure()) return;
  }
}

void ExpectDelaysChangeNoBit(const planner::ProgramInputs& inputs, uint64_t seed) {
  RankTeam prompt(inputs), delayed(inputs, false, [&](std::unique_ptr<Communicator> real) {
    return std::make_unique<DelayingCommunicator>(std::move(real), seed,
                                                  std::chrono::microseconds(300));
  });
  for (int step = 0; step < 2; ++step) EXPECT_EQ(prompt.Step(true), delayed.Step(true));
  ExpectSameTensors(prompt.Weights(), delayed.Weights(), 0, FormatMix(inputs.mix));
}

}  // namespace tunesmith::trainer
