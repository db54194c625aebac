#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/family_models.h"
#include "tests/planner/program_fixture.h"
#include "tests/planner/sharing.h"
#include "tests/trainer/program_runner.h"
#include "tests/trainer/rank_grid.h"
#include "tests/trainer/rank_team.h"

// Ranks that share the tokens and the heads of a micro-batch compute what one computes alone.
namespace tunesmith::trainer {
namespace {

using planner::ProgramInputs;

// Ranks, and how they are arranged: so many that share a micro-batch of rows of this length, by a model with these heads. Slices end within rows and within
// documents; key/value heads are shared out, or one is of several ranks.
struct Arrangement {
  int64_t data_parallel = 1;
  int64_t sequence_parallel = 1;
  int64_t context = 16;
  int64_t head_count = 6;
  int64_t kv_head_count = 2;
};
constexpr std::array<Arrangement, 6> kArrangements = {{
    {.sequence_parallel = 2},
    {.data_parallel = 2, .sequence_parallel = 2, .context = 15, .kv_head_count = 6},
    {.sequence_parallel = 3, .context = 15, .kv_head_count = 3},
    {.sequence_parallel = 3, .context = 18, .kv_head_count = 1},
    {.sequence_parallel = 4, .context = 18, .head_count = 8},
    {.sequence_parallel = 4, .context = 14, .head_count = 4, .kv_head_count = 4},
}};

planner::ModelSpec ModelOf(const Arrangement& a, int64_t layer_count, bool tied, bool bias) {
  planner::ModelSpec model = planner::ToyModel(layer_count, tied, bias);
  model.head_count = a.head_count;
  model.kv_head_count = a.kv_head_count;
  return model;
}

// Every arrangement, with all that its ranks may share and leave to their hosts, by every method; the rest varies along.
std::vector<ProgramInputs> SequenceGrid(int64_t layer_count) {
  std::vector<ProgramInputs> grid;
  const auto recomputes = planner::AllRecomputes(layer_count);
  size_t i = 0;
  for (const Arrangement& a : kArrangements) {
    for (const planner::Sharing& sharing :
         planner::SharingsOf(a.data_parallel * a.sequence_parallel)) {
      for (planner::Method method : planner::kAllMethods) {
        ++i;
        ProgramInputs inputs = planner::ToyInputs(
            ModelOf(a, layer_count, i % 2 == 0, i % 3 == 0),
            {.method = method,
             .lora = {.rank = i % 2 == 0 ? planner::kStackedRank : planner::kOddRank,
                      .alpha = 6.0,
                      .dropout = i % 4 == 1 ? 0.25 : 0.0},
             .double_quantization = i % 2 == 0,
             .recompute = recomputes[i * 7 % recomputes.size()],
             .attention =
                 i % 2 == 0 ? planner::AttentionKernel::kFlash : planner::AttentionKernel::kEager,
             .loss = i % 3 == 0 ? planner::LossKernel::kFull : planner::LossKernel::kChunked,
             .mlp_tile_count = static_cast<int64_t>(i % 3 + 1),
             .micro_batch = 2,
             .accumulation_count = static_cast<int64_t>(i % 3 + 1),
             .data_parallel = a.data_parallel,
             .sequence_parallel = a.sequence_parallel},
            a.context);
        inputs.mix = With(inputs.mix, sharing);
        // Few enough that slices name the rows of the loss, so many that each slice may be all of them, or any number.
        if (i % 5 < 3) inputs.workload.loss_token_capacity = static_cast<int64_t>(2 + 3 * (i % 5));
        grid.push_back(inputs);
      }
    }
  }
  return grid;
}

TEST(SequenceParallelTest, ProgramsReadNothingThatIsNotThere) {
  for (int64_t layers : {1, 2, 3, 4}) ExpectChecks(SequenceGrid(layers));
}

TEST(SequenceParallelTest, ChangesNeitherLossNorGradients) {
  for (int64_t layers : {1, 3}) ExpectLearnsAsAlone(SequenceGrid(layers));
}

// Through the optimizer, with and without its clip at work.
TEST(SequenceParallelTest, ChangesNoTraining) {
  for (double limit : {0.01, 100.0}) {
    for (ProgramInputs inputs : SequenceGrid(2)) {
      inputs.double_precision = true;
      const std::string what = FormatMix(inputs.mix);
      ProgramRunner alone(AloneOf(inputs));
      RankTeam team(inputs);
      alone.set_max_gradient_norm(limit);
      for (size_t r = 0; r < team.size(); ++r) team.rank(r).set_max_gradient_norm(limit);
      for (int step = 0; step < 3; ++step)
        EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-7) << what << " step " << step;
      EXPECT_EQ(alone.GradientNorm() > limit, limit < 1) << what;
      for (size_t r = 0; r < team.size(); ++r)
        EXPECT_NEAR(team.rank(r).GradientNorm(), alone.GradientNorm(), 1e-6) << what;
      ExpectSameTensors(alone.Weights(), team.Weights(), 1e-5, what);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// Windows, soft-caps, norms of heads, biases, learned positions, ALiBi's slope of every head; slices of which some have no token to predict.
TEST(SequenceParallelTest, ChangesNothingOfAnyFamily) {
  size_t turn = 0;
  for (ProgramInputs inputs : planner::FamilyGrid(3)) {
    ++turn;
    inputs.double_precision = true;
    const int64_t ranks = inputs.model.kv_head_count == 2 || turn % 2 == 0 ? 2 : 3;
    inputs.workload.context = 15;
    inputs.mix.sequence_parallel = ranks;
    inputs.mix.data_parallel = ranks == 2 ? static_cast<int64_t>(turn / 4 % 2 + 1) : 1;
    inputs.mix = With(inputs.mix, SharingOfTurn(turn, inputs.mix));
    inputs.workload.rows_per_step *= inputs.mix.data_parallel;
    inputs.workload.loss_token_capacity = 5;
    const std::string what = planner::NameOf(inputs);
    ProgramRunner alone(AloneOf(inputs));
    RankTeam team(inputs, /*guard_buffers=*/true);
    EXPECT_NEAR(alone.Step(false), team.Step(false), 1e-12) << what;
    ExpectSameTensors(alone.Gradients(), team.Gradients(), 1e-10, what);
    EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-12) << what;
    EXPECT_NEAR(alone.Step(true), team.Step(true), 1e-7) << what;
    ExpectSameTensors(alone.Weights(), team.Weights(), 1e-5, what);
    EXPECT_NEAR(alone.Evaluate(), team.Evaluate(), 1e-6) << what;
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(SequenceParallelTest, DelaysOfRanksChangeNoBit) {
  size_t turn = 0;
  for (const ProgramInputs& inputs : SequenceGrid(2)) {
    if (++turn % 5 != 0) continue;
    ExpectDelaysChangeNoBit(inputs, turn);
  }
}

// What ranks share beside changes no bit, in bf16 too.
TEST(SequenceParallelTest, SharingChangesNoBit) {
  for (planner::Precision precision : {planner::Precision::kFp32, planner::Precision::kBf16}) {
    for (planner::Method method : planner::kAllMethods) {
      std::unique_ptr<RankTeam> first;
      double first_loss = 0;
      for (const planner::Sharing& sharing : planner::SharingsOf(4)) {
        ProgramInputs inputs = planner::ToyInputs(planner::ToyModel(2, /*tied_head=*/false),
                                                  {.method = method,
                                                   .lora = {.rank = 3, .dropout = 0.25},
                                                   .precision = precision,
                                                   .attention = planner::AttentionKernel::kFlash,
                                                   .micro_batch = 2,
                                                   .data_parallel = 2,
                                                   .sequence_parallel = 2});
        inputs.mix = With(inputs.mix, sharing);
        auto team = std::make_unique<RankTeam>(inputs);
        double loss = 0;
        for (int step = 0; step < 2; ++step) loss = team->Step(true);
        if (first == nullptr) {
          first = std::move(team);
          first_loss = loss;
          continue;
        }
        EXPECT_EQ(loss, first_loss) << FormatMix(inputs.mix);
        ExpectSameTensors(first->Weights(), team->Weights(), 0, FormatMix(inputs.mix));
      }
    }
  }
}

int64_t SavedBytes(const planner::Program& program) {
  int64_t bytes = 0;
  for (const planner::Buffer& b : program.buffers) {
    if (b.region == planner::Region::kSaved) bytes += InstanceBytes(b) * b.instance_count;
  }
  return bytes;
}

// What a rank keeps for backward: its tokens' share, and what attention gave in both forms, of all tokens with its heads and of its tokens with all heads.
TEST(SequenceParallelTest, RanksKeepTheirTokens) {
  planner::ModelSpec model = planner::ToyModel(6, /*tied_head=*/false);
  model.head_count = model.kv_head_count = 8;
  model.context_limit = 2048;
  const auto program_of = [&](int64_t ranks) {
    return *planner::BuildProgram(planner::ToyInputs(model,
                                                     {.method = planner::Method::kFull,
                                                      .attention = planner::AttentionKernel::kFlash,
                                                      .sequence_parallel = ranks},
                                                     2048));
  };
  const planner::Program alone = program_of(1);
  const int64_t attended_bytes =
      model.layer_count * 2048 * model.head_count * model.head_size * SizeOf(DType::kF32);
  int64_t least_bytes = PlanMemory(alone).device_bytes();
  for (int64_t ranks : {2, 4, 8}) {
    const planner::Program program = program_of(ranks);
    EXPECT_EQ(SavedBytes(program) * ranks, SavedBytes(alone) + attended_bytes);
    EXPECT_LT(PlanMemory(program).device_bytes(), least_bytes);
    least_bytes = PlanMemory(program).device_bytes();
  }
}

std::string ErrorOf(const planner::ModelSpec& model, const planner::Mix& mix) {
  return std::string(planner::BuildProgram(planner::ToyInputs(model, mix)).status().message());
}

TEST(SequenceParallelTest, RanksThatDoNotFactorAreRefused) {
  using ::testing::HasSubstr;
  planner::ModelSpec model = planner::ToyModel(1, true);
  EXPECT_THAT(ErrorOf(model, {.micro_batch = 1, .sequence_parallel = 3}),
              HasSubstr("micro_batch(1) x context(16) tokens % sequence_parallel(3) = 1"));
  EXPECT_THAT(ErrorOf(model, {.sequence_parallel = 4}),
              HasSubstr("heads(6) % sequence_parallel(4) = 2, must be 0"));
  EXPECT_THAT(ErrorOf(model, {.micro_batch = 3, .sequence_parallel = 3}),
              HasSubstr("key/value heads(2) % sequence_parallel(3) = 2 and sequence_parallel(3) % "
                        "key/value heads(2) = 1, one must be 0"));
  EXPECT_THAT(ErrorOf(model, {.sequence_parallel = 0}), HasSubstr("sequence_parallel(0)"));
}

}  // namespace
}  // namespace tunesmith::trainer
