#include "trainer/executor.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "tests/planner/family_models.h"
#include "tests/planner/program_fixture.h"
#include "tests/trainer/program_runner.h"

namespace tunesmith::trainer {
namespace {

using planner::Method;
using planner::Mix;
using planner::ProgramInputs;

double Norm(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x * x;
  return std::sqrt(sum);
}

double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> d(a.size());
  for (size_t i = 0; i < a.size(); ++i) d[i] = a[i] - b[i];
  return Norm(d);
}

// The same semantic axes, everything kept, one micro-batch, plain kernels.
ProgramInputs PlainOf(ProgramInputs inputs) {
  Mix& m = inputs.mix;
  m.recompute = {};
  m.recompute[0] = inputs.model.layer_count;
  m.attention = planner::AttentionKernel::kEager;
  m.loss = planner::LossKernel::kFull;
  m.mlp_tile_count = 1;
  m.micro_batch *= m.accumulation_count;
  m.accumulation_count = 1;
  return inputs;
}

void ExpectSameTensors(const std::map<std::string, std::vector<double>>& a,
                       const std::map<std::string, std::vector<double>>& b, double tolerance,
                       const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, values] : a) {
    ASSERT_EQ(values.size(), b.at(name).size());
    // What is zero but for rounding has a norm of nothing.
    EXPECT_LE(Distance(values, b.at(name)), tolerance * (Norm(values) + 1e-3))
        << name << " of " << what;
  }
}

// The master property: placement changes neither loss nor gradients.
TEST(ExecutorTest, NoPlacementChangesLossOrGradients) {
  for (int64_t layers : {1, 3}) {
    for (ProgramInputs inputs : planner::ToyGrid(layers)) {
      inputs.double_precision = true;
      const std::string what = FormatMix(inputs.mix);
      ProgramRunner plain(PlainOf(inputs)), placed(inputs);
      EXPECT_NEAR(plain.Step(false), placed.Step(false), 1e-12) << what;
      ExpectSameTensors(plain.Gradients(), placed.Gradients(), 1e-10, what);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(ExecutorTest, NoPlacementChangesLossOrGradientsOfAnyFamily) {
  for (int64_t layers : {1, 3}) {
    for (ProgramInputs inputs : planner::FamilyGrid(layers)) {
      inputs.double_precision = true;
      const std::string what = planner::NameOf(inputs);
      ProgramRunner plain(PlainOf(inputs)), placed(inputs, /*guard_buffers=*/true);
      EXPECT_NEAR(plain.Step(false), placed.Step(false), 1e-12) << what;
      ExpectSameTensors(plain.Gradients(), placed.Gradients(), 1e-10, what);
      EXPECT_NEAR(plain.Evaluate(), placed.Evaluate(), 1e-12) << what;
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// The output head on the predicted tokens alone: the same loss and gradients as on all, and nothing but the named buffers is touched.
void ExpectCompactionChangesNothing(ProgramInputs inputs, int64_t capacity) {
  inputs.double_precision = true;
  inputs.workload.loss_token_capacity = capacity;
  ProgramInputs all_rows = inputs;
  all_rows.workload.loss_token_capacity = 0;
  const std::string what = FormatMix(inputs.mix) + " capacity=" + std::to_string(capacity);
  ProgramRunner plain(PlainOf(all_rows), false, 2, capacity), compacted(inputs, true);
  ASSERT_GE(compacted.executor().program().host.loss_rows, 0) << what;
  ASSERT_EQ(plain.valid_token_count(), compacted.valid_token_count());
  EXPECT_NEAR(plain.Step(false), compacted.Step(false), 1e-12) << what;
  ExpectSameTensors(plain.Gradients(), compacted.Gradients(), 1e-12, what);
  EXPECT_NEAR(plain.Evaluate(), compacted.Evaluate(), 1e-12) << what;
}

TEST(ExecutorTest, LossOnPredictedTokensAloneChangesNeitherLossNorGradients) {
  // Micro-batch counts vary quickest in the grid; capacities next.
  const std::array<int64_t, 3> capacities = {1, 5, 15};
  size_t index = 0;
  for (const ProgramInputs& inputs : planner::ToyGrid(2)) {
    ExpectCompactionChangesNothing(inputs, capacities[index++ / 3 % 3]);
    if (::testing::Test::HasFailure()) return;
  }
}

// More loss rows than one chunk holds, and a last chunk that is not full.
TEST(ExecutorTest, LossOnPredictedTokensComposesWithChunks) {
  for (Method method : planner::kAllMethods) {
    Mix mix{.method = method,
            .lora = {.rank = 2, .alpha = 3},
            .attention = planner::AttentionKernel::kFlash,
            .loss = planner::LossKernel::kChunked,
            .micro_batch = 3};
    planner::ModelSpec model = planner::ToyModel(1, true);
    model.context_limit = 1024;
    ExpectCompactionChangesNothing(planner::ToyInputs(model, mix, 700), 500);
  }
}

TEST(ExecutorTest, NoPlacementChangesTrainingInSinglePrecision) {
  for (const ProgramInputs& inputs : planner::ToyGrid(2)) {
    const std::string what = FormatMix(inputs.mix);
    ProgramRunner plain(PlainOf(inputs)), placed(inputs);
    for (int step = 0; step < 3; ++step)
      EXPECT_NEAR(plain.Step(true), placed.Step(true), 2e-5) << what << " step " << step;
    EXPECT_NEAR(plain.Evaluate(), placed.Evaluate(), 2e-5) << what;
  }
}

std::vector<double> LossesOf(const ProgramInputs& inputs, int step_count) {
  ProgramRunner runner(inputs);
  std::vector<double> losses;
  for (int step = 0; step < step_count; ++step) losses.push_back(runner.Step(true));
  return losses;
}

// Plain SGD passes a gradient's error on as it is, so that weights after some steps show the placement's rounding and nothing else.
TEST(ExecutorTest, NoPlacementChangesTheWeightsOfSgd) {
  const std::vector<ProgramInputs> grid = planner::ToyGrid(2);
  for (size_t i = 0; i < grid.size(); i += 7) {  // coprime to what varies within a split
    ProgramInputs inputs = grid[i];
    inputs.mix.optimizer = planner::Optimizer::kSgd;
    ProgramRunner plain(PlainOf(inputs)), placed(inputs);
    for (int step = 0; step < 3; ++step) EXPECT_NEAR(plain.Step(true), placed.Step(true), 1e-5);
    ExpectSameTensors(plain.Weights(), placed.Weights(), 1e-6, FormatMix(inputs.mix));
    if (::testing::Test::HasFailure()) return;
  }
}

// Training with narrow states or sums is training with fp32 ones, disturbed: each element of a bf16 moment is off by at most 2^-7 and right on
// average, one of an 8-bit moment by at most 0.7 % of its block's largest. Over 20 steps the losses were seen to part by up to 0.16 % of
// what they fell; the bound is six times that.
TEST(ExecutorTest, NarrowStatesAndSumsTrainAsFp32) {
  constexpr int kSteps = 20;
  for (const ProgramInputs& inputs : planner::SemanticGrid(2, {planner::Precision::kFp32})) {
    ProgramInputs wide = inputs;
    wide.mix.optimizer_state = planner::OptimizerState::kFp32;
    wide.mix.accumulation_dtype = planner::AccumulationDtype::kFp32;
    const auto narrow_losses = LossesOf(inputs, kSteps), losses = LossesOf(wide, kSteps);
    const std::string what = FormatMix(inputs.mix);
    EXPECT_EQ(narrow_losses[0], losses[0]) << what;
    ASSERT_LT(losses.back(), losses[0]) << what;
    for (int step = 0; step < kSteps; ++step)
      EXPECT_NEAR(narrow_losses[step], losses[step], 0.01 * (losses[0] - losses.back()))
          << what << " step " << step;
  }
}

// Training with bf16 storage is training in fp32, disturbed: every value is off by at most 2^-9 of itself, some hundred values in a row.
TEST(ExecutorTest, Bf16StorageTrainsAsFp32) {
  constexpr int kSteps = 20;
  for (ProgramInputs inputs : planner::SemanticGrid(2, {planner::Precision::kBf16})) {
    const std::string what = FormatMix(inputs.mix);
    const auto narrow_losses = LossesOf(inputs, kSteps);
    inputs.mix.precision = planner::Precision::kFp32;
    inputs.mix.optimizer_state = planner::OptimizerState::kFp32;
    inputs.mix.accumulation_dtype = planner::AccumulationDtype::kFp32;
    const auto losses = LossesOf(inputs, kSteps);
    EXPECT_NEAR(narrow_losses[0], losses[0], 0.01 * losses[0]) << what;
    for (int step = 0; step < kSteps; ++step)
      EXPECT_NEAR(narrow_losses[step], losses[step], 0.05 * (losses[0] - losses.back()) + 0.01)
          << what << " step " << step;
  }
}

// Where rounding is random, it is the same random wherever and whenever it is computed.
TEST(ExecutorTest, NoPlacementChangesTheRounding) {
  for (ProgramInputs inputs :
       planner::SemanticGrid(2, {planner::Precision::kFp32, planner::Precision::kBf16})) {
    if (inputs.mix.accumulation_count > 1) continue;
    ProgramRunner one(inputs, /*guard_buffers=*/true, 1), three(inputs, false, 3);
    inputs.mix.recompute = {};
    inputs.mix.recompute[static_cast<size_t>(planner::Rung::kBlock)] = 2;
    ProgramRunner recomputed(inputs);
    for (int step = 0; step < 3; ++step) {
      const double loss = one.Step(true);
      EXPECT_EQ(loss, three.Step(true)) << FormatMix(inputs.mix);
      EXPECT_EQ(loss, recomputed.Step(true)) << FormatMix(inputs.mix);
    }
  }
}

// Central differences in fp64 through the whole program, for elements of every trainable tensor.
void CheckGradients(ProgramInputs inputs) {
  inputs.double_precision = true;
  ProgramRunner runner(inputs);
  runner.Step(false);
  const auto gradients = runner.Gradients();
  for (const auto& [name, weights] : runner.Weights()) {
    for (size_t e = 0; e < weights.size(); e += 1 + weights.size() / 3) {
      const double h = 1e-5;
      std::vector<double> moved = weights;
      moved[e] = weights[e] + h;
      runner.SetWeight(name, moved);
      const double up = runner.Evaluate();
      moved[e] = weights[e] - h;
      runner.SetWeight(name, moved);
      const double down = runner.Evaluate();
      runner.SetWeight(name, weights);
      // loss_scale is an fp32 buffer: the gradient carries its rounding.
      EXPECT_NEAR(gradients.at(name)[e], (up - down) / (2 * h),
                  1e-8 + 2e-7 * std::abs(gradients.at(name)[e]))
          << name << "[" << e << "]";
    }
  }
}

TEST(ExecutorTest, GradientsAreThoseOfCentralDifferences) {
  for (const bool tied : {true, false}) {
    for (Method method : planner::kAllMethods) {
      CheckGradients(planner::ToyInputs(
          planner::ToyModel(2, tied, !tied),
          {.method = method,
           .lora = {.rank = tied ? planner::kStackedRank : planner::kOddRank, .alpha = 3},
           .micro_batch = 3}));
    }
  }
}

TEST(ExecutorTest, GradientsOfEveryFamilyAreThoseOfCentralDifferences) {
  for (const planner::ModelSpec& model : planner::FamilyModels(2)) {
    SCOPED_TRACE(model.name);
    for (Method method : {Method::kFull, Method::kLora}) {
      for (auto attention : {planner::AttentionKernel::kEager, planner::AttentionKernel::kFlash}) {
        CheckGradients(planner::ToyInputs(model, {.method = method,
                                                  .lora = {.rank = 2, .alpha = 3},
                                                  .attention = attention,
                                                  .micro_batch = 3}));
      }
    }
  }
}

// Storage and arithmetic narrower than the oracle's, in every family: the loss is that of fp64 but for rounding.
TEST(ExecutorTest, NarrowTypesComputeEveryFamily) {
  for (const planner::ModelSpec& model : planner::FamilyModels(2)) {
    SCOPED_TRACE(model.name);
    ProgramInputs inputs = planner::ToyInputs(
        model,
        {.method = Method::kFull, .attention = planner::AttentionKernel::kFlash, .micro_batch = 3});
    ProgramInputs narrow = inputs, wide = inputs;
    narrow.mix.precision = planner::Precision::kBf16;
    wide.double_precision = true;
    const double exact = ProgramRunner(wide).Step(false);
    EXPECT_NEAR(ProgramRunner(inputs).Step(false), exact, 1e-5 * exact);
    EXPECT_NEAR(ProgramRunner(narrow).Step(false), exact, 0.03 * exact);
    const std::vector<double> losses = LossesOf(narrow, 12);
    EXPECT_LT(losses.back(), losses[0]);
  }
}

// What adapters drop depends on step, module, layer, row, token and element alone.
TEST(ExecutorTest, NoPlacementChangesWhatAdaptersDrop) {
  for (ProgramInputs inputs : planner::ToyGrid(2)) {
    if (inputs.mix.method != Method::kLora) continue;
    inputs.mix.lora.dropout = 0.3;
    inputs.double_precision = true;
    const std::string what = FormatMix(inputs.mix);
    ProgramRunner plain(PlainOf(inputs)), placed(inputs, /*guard_buffers=*/true);
    for (int step = 0; step < 2; ++step)
      EXPECT_NEAR(plain.Step(true), placed.Step(true), 1e-8) << what << " step " << step;
    ExpectSameTensors(plain.Gradients(), placed.Gradients(), 1e-8, what);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(ExecutorTest, DropoutChangesTrainingAndNotEvaluation) {
  ProgramInputs inputs = planner::ToyInputs(
      planner::ToyModel(2, true), {.method = Method::kLora, .lora = {.rank = 2}, .micro_batch = 2});
  ProgramRunner whole(inputs);
  inputs.mix.lora.dropout = 0.5;
  ProgramRunner dropping(inputs);
  EXPECT_EQ(whole.Evaluate(), dropping.Evaluate());
  EXPECT_NE(whole.Step(false), dropping.Step(false));
}

TEST(ExecutorTest, OpsTouchOnlyTheBuffersTheyName) {
  for (const ProgramInputs& inputs : planner::ToyGrid(2)) {
    ProgramRunner guarded(inputs, /*guard_buffers=*/true), open(inputs);
    EXPECT_EQ(guarded.Step(true), open.Step(true));
    EXPECT_EQ(guarded.Step(true), open.Step(true));
  }
}

TEST(ExecutorTest, ThreadsDoNotChangeABit) {
  const ProgramInputs inputs = planner::ToyGrid(2).front();
  ProgramRunner one(inputs, false, 1), four(inputs, false, 4);
  for (int step = 0; step < 3; ++step) EXPECT_EQ(one.Step(true), four.Step(true));
}

TEST(ExecutorTest, UsedBytesStayWithinTheArena) {
  std::vector<ProgramInputs> grid = planner::ToyGrid(2);
  const std::vector<ProgramInputs> families = planner::FamilyGrid(2);
  grid.insert(grid.end(), families.begin(), families.end());
  for (const ProgramInputs& inputs : grid) {
    ProgramRunner runner(inputs);
    runner.Step(true);
    runner.Evaluate();
    const auto used = runner.executor().arena().CountUsedBytes();
    ASSERT_TRUE(used.ok()) << used.status();
    const planner::MemoryPlan& plan = runner.executor().arena().plan();
    EXPECT_LE(*used, plan.device_bytes());
    // Padding to 256 bytes is large beside tensors this small, and scratch is reserved for more workers than run here.
    const int64_t scratch = plan.class_bytes[static_cast<size_t>(planner::MemoryClass::kWorkspace)];
    EXPECT_GT(*used, (plan.device_bytes() - scratch) / 2);
  }
}

TEST(ExecutorTest, SavingStagesEveryTrainedWeight) {
  for (Method method : planner::kAllMethods) {
    ProgramRunner runner(planner::ToyInputs(planner::ToyModel(2, true), {.method = method}));
    runner.Step(true);
    const auto weights = runner.Weights();
    Executor& executor = runner.executor();
    for (const planner::Parameter& p : executor.program().parameters) {
      if (!p.trainable) {
        EXPECT_EQ(executor.RunSave(p.weight, 0).status().code(), absl::StatusCode::kNotFound);
        continue;
      }
      const planner::Buffer& b = executor.program().buffers[static_cast<size_t>(p.weight)];
      const int64_t last = b.instance_count - 1;
      std::vector<float> weight(static_cast<size_t>(planner::ElementCount(b))),
          staged(weight.size());
      const auto staging = executor.RunSave(p.weight, last);
      ASSERT_TRUE(staging.ok()) << staging.status();
      ASSERT_TRUE(
          executor.arena().Read(p.weight, last, weight.data(), planner::InstanceBytes(b)).ok());
      ASSERT_TRUE(
          executor.arena().Read(*staging, last, staged.data(), planner::InstanceBytes(b)).ok());
      EXPECT_EQ(weight, staged) << b.name.Text();
    }
  }
}

TEST(ExecutorTest, UnknownSegmentIsNotFound) {
  ProgramInputs inputs = planner::ToyGrid(1).front();
  inputs.workload.generates = false;
  ProgramRunner runner(inputs);
  EXPECT_EQ(runner.executor().Run(planner::SegmentKind::kGenerate).code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tunesmith::trainer
