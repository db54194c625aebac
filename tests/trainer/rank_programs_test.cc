#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/family_models.h"
#include "tests/planner/program_fixture.h"
#include "tests/planner/sharing.h"
#include "tests/trainer/program_runner.h"
#include "tests/trainer/rank_grid.h"
#include "tests/trainer/rank_team.h"

// Several ranks compute what one computes alone, whatever they share.
namespace tunesmith::trainer {
namespace {

using planner::ProgramInputs;

// Every stage, offload, method and number of ranks; recompute, kernels, tied heads, biases and accumulation vary along.
std::vector<ProgramInputs> RankGrid(int64_t layer_count) {
  std::vector<ProgramInputs> grid;
  const auto recomputes = planner::AllRecomputes(layer_count);
  size_t i = 0;
  for (int64_t ranks : {1, 2, 3, 4}) {
    for (const planner::Sharing& sharing : planner::SharingsOf(ranks)) {
      if (ranks == 1 && sharing.offload == planner::Offload::kNone) continue;
      for (planner::Method method : planner::kAllMethods) {
        for (int64_t accumulation : {1, 2, 3}) {
          ++i;
          const bool tied = i % 2 == 0;
          const planner::Mix mix = {
              .method = method,
              .lora = {.rank = i / 3 % 2 == 0 ? planner::kStackedRank : planner::kOddRank,
                       .alpha = 6.0},
              .double_quantization = i % 2 == 0,
              .recompute = recomputes[i * 7 % recomputes.size()],
              .attention =
                  i % 2 == 0 ? planner::AttentionKernel::kFlash : planner::AttentionKernel::kEager,
              .loss = i % 3 == 0 ? planner::LossKernel::kFull : planner::LossKernel::kChunked,
              .mlp_tile_count = static_cast<int64_t>(i % 2 + 1),
              .micro_batch = static_cast<int64_t>(i % 2 + 1),
              .accumulation_count = accumulation,
              .data_parallel = ranks};
          const planner::ModelSpec model = i % 4 < 2
                                               ? planner::EvenToyModel(layer_count, tied)
                                               : planner::ToyModel(layer_count, tied, i % 3 == 0);
          grid.push_back(planner::ToyInputs(model, With(mix, sharing)));
        }
      }
    }
  }
  return grid;
}

TEST(RanksTest, ProgramsReadNothingThatIsNotThere) {
  for (int64_t layers : {1, 2, 3, 4}) ExpectChecks(RankGrid(layers));
}

TEST(RanksTest, RanksChangeNeitherLossNorGradients) {
  for (int64_t layers : {1, 3}) ExpectLearnsAsAlone(RankGrid(layers));
}

// Through the optimizer, with its clip at work: fp64 states, so that nothing but the order of sums can differ.
TEST(RanksTest, RanksChangeNoTraining) {
  for (ProgramInputs inputs : RankGrid(2)) {
    inputs.double_precision = true;
    const std::string what = FormatMix(inputs.mix);
    ProgramRunner alone(AloneOf(inputs));
    RankTeam team(inputs);
    for (int step = 0; step < 3; ++step)
      EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-7) << what << " step " << step;
    ExpectSameTensors(alone.Weights(), team.Weights(), 1e-5, what);
    if (::testing::Test::HasFailure()) return;
  }
}

// Any family's parameters, at either end and in the layers, and ranks of which some have no token to predict.
TEST(RanksTest, RanksChangeNothingOfAnyFamily) {
  size_t turn = 0;
  for (ProgramInputs inputs : planner::FamilyGrid(3)) {
    ++turn;
    inputs.double_precision = true;
    inputs.mix.data_parallel = static_cast<int64_t>(turn % 4 + 1);
    inputs.mix = With(inputs.mix, SharingOfTurn(turn, inputs.mix));
    inputs.workload.rows_per_step *= inputs.mix.data_parallel;
    inputs.workload.loss_token_capacity = 5;
    const std::string what = planner::NameOf(inputs) + " " + FormatMix(inputs.mix);
    ProgramRunner alone(AloneOf(inputs));
    RankTeam team(inputs, /*guard_buffers=*/true);
    EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-12) << what;
    EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-7) << what;
    ExpectSameTensors(alone.Weights(), team.Weights(), 1e-5, what);
    EXPECT_NEAR(alone.Evaluate(), team.Evaluate(), 1e-6) << what;
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(RanksTest, DelaysOfRanksChangeNoBit) {
  size_t turn = 0;
  for (const ProgramInputs& inputs : RankGrid(2)) {
    if (++turn % 7 != 0 || inputs.mix.data_parallel == 1) continue;
    ExpectDelaysChangeNoBit(inputs, turn);
  }
}

TEST(RanksTest, ClippingIsByTheNormOfAllRanks) {
  for (double limit : {0.01, 100.0}) {
    for (ProgramInputs inputs : RankGrid(2)) {
      if (inputs.mix.accumulation_count != 2) continue;
      inputs.double_precision = true;
      inputs.mix.optimizer = planner::Optimizer::kSgd;
      ProgramRunner alone(AloneOf(inputs));
      RankTeam team(inputs);
      alone.set_max_gradient_norm(limit);
      for (size_t r = 0; r < team.size(); ++r) team.rank(r).set_max_gradient_norm(limit);
      const std::string what = FormatMix(inputs.mix);
      EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-12) << what;
      EXPECT_EQ(alone.GradientNorm() > limit, limit < 1) << what;
      for (size_t r = 0; r < team.size(); ++r)
        EXPECT_NEAR(team.rank(r).GradientNorm(), alone.GradientNorm(), 1e-6) << what;
      ExpectSameTensors(alone.Weights(), team.Weights(), 1e-9, what);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// What ranks share and leave to their hosts changes no bit, whatever is rounded how. Where micro-batches are added before ranks (up to stage 1) or after (from
// stage 2, and where the host adds them), sums differ in their order; and a host that adds in bf16 rounds once more.
TEST(RanksTest, SharingChangesNoBit) {
  size_t turn = 0;
  for (ProgramInputs inputs :
       planner::SemanticGrid(2, {planner::Precision::kFp32, planner::Precision::kBf16})) {
    if (++turn % 5 < 3) continue;  // coprime to what varies in the grid
    const int64_t ranks = turn % 3 == 0 ? 1 : 2;
    inputs.mix.data_parallel = ranks;
    inputs.workload.rows_per_step *= ranks;
    // By the order of sums: the losses and weights of the first.
    std::array<std::unique_ptr<RankTeam>, 3> first;
    std::array<double, 3> losses = {};
    for (const planner::Sharing& sharing : planner::SharingsOf(ranks)) {
      inputs.mix = With(inputs.mix, sharing);
      const bool slots = sharing.zero_stage >= 2 || sharing.offload == planner::Offload::kAll;
      const bool rounds = sharing.offload == planner::Offload::kAll &&
                          inputs.mix.accumulation_dtype == planner::AccumulationDtype::kBf16;
      const size_t order = inputs.mix.accumulation_count == 1 ? 0 : rounds ? 2 : slots ? 1 : 0;
      auto team = std::make_unique<RankTeam>(inputs);
      double loss = 0;
      for (int step = 0; step < 2; ++step) loss = team->Step(true);
      const std::string what = FormatMix(inputs.mix);
      if (first[order] == nullptr) {
        first[order] = std::move(team);
        losses[order] = loss;
        continue;
      }
      EXPECT_EQ(loss, losses[order]) << what;
      ExpectSameTensors(first[order]->Weights(), team->Weights(), 0, what);
    }
    if (::testing::Test::HasFailure()) return;
  }
}

// The closed form: of every shard the host has so many per cent, in whole blocks, and the device the rest.
TEST(RanksTest, StatesAreOffloadedInPart) {
  for (int64_t ranks : {1, 3}) {
    const auto program = planner::BuildProgram(planner::ToyInputs(
        planner::ToyModel(3, /*tied_head=*/false), {.method = planner::Method::kFull,
                                                    .zero_stage = ranks > 1 ? 1 : 0,
                                                    .offload = planner::Offload::kOptimizer,
                                                    .offload_percent = 30,
                                                    .data_parallel = ranks}));
    ASSERT_TRUE(program.ok()) << program.status();
    for (const planner::Bucket& bucket : program->buckets) {
      ASSERT_EQ(bucket.updates.size(), 2u);
      const planner::BucketUpdate &host = bucket.updates[0], &device = bucket.updates[1];
      const int64_t block_count = bucket.shard_count / planner::kStateBlockSize;
      EXPECT_EQ(host.count, (block_count * 30 + 99) / 100 * planner::kStateBlockSize);
      EXPECT_EQ(device.first, host.count);
      EXPECT_EQ(host.count + device.count, bucket.shard_count);
      for (const planner::BucketUpdate* update : {&host, &device}) {
        const planner::Buffer& moment = program->buffers[static_cast<size_t>(update->moment1)];
        EXPECT_EQ(moment.space, update->space);
        EXPECT_EQ(planner::ElementCount(moment), update->count);
      }
    }
  }
}

// A rank's part of what is shared: the closed form, each bucket filled up to equal shards of whole blocks.
TEST(RanksTest, ArenasHoldTheRanksShare) {
  planner::ModelSpec model = planner::ToyModel(4, /*tied_head=*/false);
  model.hidden_size = 192;
  model.head_size = 32;
  model.intermediate_size = 512;
  model.vocab_size = 2048;
  const auto weights_and_states = [&](int64_t stage, int64_t ranks) {
    const auto program = planner::BuildProgram(planner::ToyInputs(
        model, {.method = planner::Method::kFull, .zero_stage = stage, .data_parallel = ranks}));
    EXPECT_TRUE(program.ok()) << program.status();
    const auto plan = PlanMemory(*program);
    const auto of = [&](planner::MemoryClass c) {
      return plan.class_bytes[static_cast<size_t>(c)];
    };
    return std::pair(of(planner::MemoryClass::kWeights), of(planner::MemoryClass::kOptimizer));
  };
  const auto [weights, states] = weights_and_states(0, 1);
  for (int64_t ranks : {2, 4}) {
    const auto near = [&](int64_t bytes, int64_t whole) {
      EXPECT_GE(bytes * ranks, whole);
      EXPECT_LE(bytes * ranks, whole + whole / 50);
    };
    for (int64_t stage : {1, 2}) {
      EXPECT_EQ(weights_and_states(stage, ranks).first, weights_and_states(0, ranks).first);
      near(weights_and_states(stage, ranks).second, states);
    }
    near(weights_and_states(3, ranks).first, weights);
    near(weights_and_states(3, ranks).second, states);
  }
}

TEST(RanksTest, AnotherNumberOfRanksIsRefused) {
  ThreadPool threads(1);
  const OpContext context{.device = planner::BackendKind::kCpu, .threads = &threads};
  auto program =
      planner::BuildProgram(planner::ToyInputs(planner::ToyModel(1, true), {.data_parallel = 2}));
  ASSERT_TRUE(program.ok());
  const auto executor = Executor::Create(*std::move(program), context, {});
  EXPECT_EQ(executor.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(executor.status().message()),
              ::testing::HasSubstr("for 2 ranks (batch: micro x accumulation x ranks), 1 runs"));
}

}  // namespace
}  // namespace tunesmith::trainer
