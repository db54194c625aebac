#include "planner/answer/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/model/catalog.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

// With so many bytes for the arena; 0: all the memory of the device.
Question ToyQuestion(int64_t rows, Objective objective, int64_t arena_bytes,
                     const char* device = "cpu") {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 32, .rows_per_step = rows},
                    .devices = {.hardware = *FindHardware(device)},
                    .lora = {.rank = 3},
                    .objective = objective};
  if (arena_bytes > 0)
    question.memory_budget_bytes = arena_bytes + BudgetOf(question).outside_arena_bytes;
  return question;
}

// Whole programs of every mix, in the order of the objective.
Prediction BruteForce(const Question& question) {
  Prediction best;
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question));
  for (Mix mix : FamiliesOf(question)) {
    const RecomputeLimits limits = LimitsOf(question, mix);
    for (const auto& recompute : AllRecomputes(question.model.layer_count)) {
      if (recompute[static_cast<size_t>(Rung::kHost)] > limits.host_layer_count) continue;
      mix.recompute = recompute;
      const Prediction p = *Predict(question, mix, prices, BudgetOf(question));
      if (!p.fits) continue;
      const auto key = [&](const Prediction& x) {
        return question.objective == Objective::kTime
                   ? std::pair(x.time.step_picoseconds, x.memory.arena_bytes)
                   : std::pair(x.memory.arena_bytes, x.time.step_picoseconds);
      };
      if (best.program_digest.empty() || key(p) < key(best)) best = p;
    }
  }
  return best;
}

// Families leave out what takes g times the micro-batch to g times the ranks, for as many tokens on a rank, as often: it has more to exchange.
TEST(SearchTest, FewerRanksOfSmallerMicroBatchesAreNeverWorse) {
  for (const char* device : {"cpu", "A100-80GB"}) {
    Question question = ToyQuestion(8, Objective::kTime, 0, device);
    question.model.kv_head_count = 6;
    question.workload.context = 36;
    question.devices.device_count = 6;
    question.devices.node_count = 2;
    question.workload.rows_per_step = 24;
    question.workload.loss_token_capacity = 5;  // so few that the slices of all name them
    const PriceTable prices(question.devices.hardware, {}, PrecisionOf(question), {},
                            LinksOf(question.devices));
    const auto predict = [&](const Mix& mix) {
      return *Predict(question, mix, prices, BudgetOf(question));
    };
    const auto recomputes = AllRecomputes(question.model.layer_count, Rung::kBlock);
    size_t turn = 0;
    for (const Method method : kAllMethods) {
      for (const int64_t zero_stage : {0, 1, 2, 3}) {
        for (const auto& [ranks, common] : {std::pair(1, 2), {1, 3}, {1, 6}, {2, 3}, {3, 2}}) {
          Mix mix{.method = method,
                  .precision = PrecisionOf(question),
                  .zero_stage = zero_stage,
                  .recompute = recomputes[turn++ % recomputes.size()],
                  .attention = AttentionKernel::kFlash,
                  .micro_batch = 1,
                  .accumulation_count = 4 * ranks,
                  .data_parallel = 6 / ranks,
                  .sequence_parallel = ranks};
          const Prediction few = predict(mix);
          mix.micro_batch *= common;
          mix.data_parallel /= common;
          mix.sequence_parallel *= common;
          const Prediction many = predict(mix);
          EXPECT_LT(few.time.step_picoseconds, many.time.step_picoseconds) << FormatMix(mix);
          EXPECT_LE(few.memory.arena_bytes, many.memory.arena_bytes) << FormatMix(mix);
        }
      }
    }
  }
}

// A row whose activations no device holds alone, in a node of eight.
TEST(SearchTest, RanksShareRowsThatAreTooLongForOne) {
  Question question{.model = *FindModel("Llama-3.1-8B"),
                    .workload = {.context = 131072, .rows_per_step = 8},
                    .devices = *ParseDeviceGroup("8xA100-40GB"),
                    .method = MethodChoice::kLora};
  const auto chosen = Recommend(question);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  ASSERT_FALSE(chosen->ranked.empty());
  EXPECT_GT(chosen->ranked[0].mix.sequence_parallel, 1);
  question.pinned.sequence_parallel = 1;
  const auto alone = Recommend(question);
  ASSERT_TRUE(alone.ok()) << alone.status();
  ASSERT_FALSE(alone->ranked.empty());
  for (const Prediction& p : alone->ranked)
    EXPECT_GT(p.time.step_picoseconds, chosen->ranked[0].time.step_picoseconds);
}

// Weights that are gathered late take less memory and more time: they are chosen where nothing else fits, and listed where they are better.
TEST(SearchTest, WeightsAreGatheredLateWhereNothingElseFits) {
  Question question{.model = *FindModel("Llama-2-70b-hf"),
                    .workload = {.context = 4096, .rows_per_step = 64},
                    .devices = *ParseDeviceGroup("8xA100-80GB"),
                    .method = MethodChoice::kLora};
  const auto ample = Recommend(question);
  ASSERT_TRUE(ample.ok()) << ample.status();
  for (const Prediction& p : ample->ranked) EXPECT_EQ(p.mix.gather_depth, 1) << FormatMix(p.mix);
  question.memory_budget_bytes = 21 * kGiB;
  const auto scarce = Recommend(question);
  ASSERT_TRUE(scarce.ok() && !scarce->ranked.empty()) << scarce.status();
  for (const Prediction& p : scarce->ranked) EXPECT_EQ(p.mix.gather_depth, 0) << FormatMix(p.mix);
  question.pinned.gather_depth = 1;
  const auto early = Recommend(question);
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_TRUE(early->ranked.empty());
}

TEST(SearchTest, LateGatheringIsPinnedOnlyWhereWeightsAreGathered) {
  Question question{.model = *FindModel("1B"),
                    .workload = {.context = 512, .rows_per_step = 8},
                    .devices = *ParseDeviceGroup("A100-80GB")};
  question.pinned.gather_depth = 0;
  EXPECT_THAT(std::string(Recommend(question).status().message()),
              ::testing::HasSubstr("gather_depth(0)"));
  question.pinned.offload = Offload::kAll;
  EXPECT_TRUE(Recommend(question).ok());
  question.pinned.offload = std::nullopt;
  question.devices = *ParseDeviceGroup("2xA100-80GB");
  EXPECT_TRUE(Recommend(question).ok());
  question.pinned.zero_stage = 2;
  EXPECT_TRUE(absl::IsInvalidArgument(Recommend(question).status()));
  question.pinned = {.gather_depth = 2};
  EXPECT_THAT(std::string(Recommend(question).status().message()),
              ::testing::HasSubstr("must be 0 or 1"));
}

// What the device updates is updated beside the host, and takes its memory: as much stays there as fits.
TEST(SearchTest, TheHostKeepsAsMuchOfTheStatesAsItMust) {
  Question question{.model = *FindModel("Llama-3.2-3B"),
                    .workload = {.context = 2048, .rows_per_step = 16},
                    .devices = *ParseDeviceGroup("A100-80GB"),
                    .method = MethodChoice::kFull};
  question.pinned.offload = Offload::kOptimizer;
  int64_t last_percent = 0, last_picoseconds = 0;
  for (int64_t gib : {60, 50, 40, 28}) {
    question.memory_budget_bytes = gib * kGiB;
    const auto found = Recommend(question);
    ASSERT_TRUE(found.ok() && !found->ranked.empty()) << gib << " GiB: " << found.status();
    const Prediction& best = found->ranked[0];
    EXPECT_GE(best.mix.offload_percent, last_percent) << gib << " GiB";
    EXPECT_GE(best.time.step_picoseconds, last_picoseconds) << gib << " GiB";
    last_percent = best.mix.offload_percent;
    last_picoseconds = best.time.step_picoseconds;
    for (const Prediction& p : found->ranked)
      EXPECT_TRUE(&p == &best || p.mix.micro_batch != best.mix.micro_batch ||
                  p.mix.attention != best.mix.attention || p.mix.loss != best.mix.loss ||
                  p.mix.mlp_tile_count != best.mix.mlp_tile_count)
          << "told twice: " << FormatMix(p.mix);
  }
  EXPECT_EQ(last_percent, 100);
}

TEST(SearchTest, ASharePinnedOfWhatTheHostDoesNotKeepIsRefused) {
  Question question{.model = *FindModel("1B"),
                    .workload = {.context = 512, .rows_per_step = 8},
                    .devices = *ParseDeviceGroup("A100-80GB")};
  question.pinned.offload_percent = 50;
  EXPECT_THAT(std::string(Recommend(question).status().message()),
              ::testing::HasSubstr("ask for offload optimizer"));
  question.pinned.offload = Offload::kAll;
  EXPECT_TRUE(absl::IsInvalidArgument(Recommend(question).status()));
  question.pinned.offload = Offload::kOptimizer;
  EXPECT_EQ(Recommend(question)->ranked[0].mix.offload_percent, 50);
  question.pinned.offload_percent = 101;
  EXPECT_THAT(std::string(Recommend(question).status().message()),
              ::testing::HasSubstr("must be 1 to 100"));
}

TEST(SearchTest, FindsWhatBruteForceFinds) {
  for (int64_t rows : {1, 4, 6}) {
    for (Objective objective : {Objective::kTime, Objective::kMemory}) {
      for (int64_t budget : {1 * kGiB, 700 * kKiB, 400 * kKiB, 250 * kKiB}) {
        const Question question = ToyQuestion(rows, objective, budget);
        const auto result = Recommend(question);
        ASSERT_TRUE(result.ok()) << result.status();
        const Prediction best = BruteForce(question);
        ASSERT_EQ(result->ranked.empty(), best.program_digest.empty());
        if (result->ranked.empty()) continue;
        EXPECT_EQ(result->ranked[0].time.step_picoseconds, best.time.step_picoseconds)
            << FormatMix(best.mix);
        EXPECT_EQ(result->ranked[0].memory.arena_bytes, best.memory.arena_bytes)
            << FormatMix(best.mix);
      }
    }
  }
}

TEST(SearchTest, RankedMixesFitAndAreInOrder) {
  const auto result = Recommend(ToyQuestion(8, Objective::kTime, 0));
  ASSERT_TRUE(result.ok());
  ASSERT_GT(result->ranked.size(), 1u);
  for (size_t i = 0; i < result->ranked.size(); ++i) {
    const Prediction& p = result->ranked[i];
    EXPECT_TRUE(p.fits);
    EXPECT_EQ(std::accumulate(p.memory.class_bytes.begin(), p.memory.class_bytes.end(), int64_t{0}),
              p.memory.arena_bytes);
    EXPECT_GE(p.time.step_picoseconds, result->ranked[0].time.step_picoseconds);
  }
  EXPECT_TRUE(result->rejections.empty());
}

TEST(SearchTest, AnyMethodShowsTheBestOfEach) {
  Question question = ToyQuestion(4, Objective::kTime, 0);
  question.ranked_count = 1;
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok());
  std::set<Method> methods;
  for (const Prediction& p : result->ranked) methods.insert(p.mix.method);
  EXPECT_EQ(methods.size(), static_cast<size_t>(kMethodCount));
  EXPECT_EQ(result->ranked.size(), methods.size());
}

TEST(SearchTest, WhatFitsNowhereIsAnAnswerWithTheAmountMissing) {
  Question question = ToyQuestion(4, Objective::kTime, 1 * kKiB);
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->ranked.empty());
  ASSERT_TRUE(result->nearest.has_value());
  EXPECT_FALSE(result->nearest->fits);
  ASSERT_EQ(result->rejections.size(), 1u);
  EXPECT_GT(result->rejections[0].mix_count, 0);
  EXPECT_EQ(result->rejections[0].least_needed_bytes, result->nearest->memory.total_bytes);
  EXPECT_GT(result->rejections[0].least_needed_bytes, result->rejections[0].available_bytes);
}

// The process alone takes more of the host than that, with every mix. A CPU's host is the device.
TEST(SearchTest, NothingFitsAHostThatDoesNotHoldTheProcess) {
  Question question = ToyQuestion(4, Objective::kTime, 0, "A100-80GB");
  question.host_memory_budget_bytes = 1 * kGiB;
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->ranked.empty());
  ASSERT_TRUE(result->nearest.has_value());
  EXPECT_FALSE(result->nearest->fits);
  EXPECT_LT(result->nearest->memory.total_bytes, result->nearest->memory.budget_bytes);
  ASSERT_EQ(result->rejections.size(), 1u);
  EXPECT_EQ(result->rejections[0].reason, "host memory");
  EXPECT_EQ(result->rejections[0].least_needed_bytes, result->nearest->memory.host_bytes);
  EXPECT_EQ(result->rejections[0].available_bytes, 1 * kGiB);
  question.host_memory_budget_bytes = result->nearest->memory.host_bytes;
  EXPECT_FALSE(Recommend(question)->ranked.empty());
  question.devices.hardware = *FindHardware("cpu");
  question.host_memory_budget_bytes = 1;
  EXPECT_FALSE(Recommend(question)->ranked.empty());
}

TEST(SearchTest, ADataSetTakesWholeSteps) {
  Question question = ToyQuestion(4, Objective::kTime, 0);
  const auto hours = [&](int64_t tokens) {
    question.workload.dataset_token_count = tokens;
    const Prediction p = Recommend(question)->ranked[0];
    return p.time.total_hours * 3600 / p.time.step_seconds;
  };
  EXPECT_NEAR(hours(1), 1, 1e-9);
  EXPECT_NEAR(hours(4 * 32), 1, 1e-9);
  EXPECT_NEAR(hours(10 * 4 * 32 + 1), 11, 1e-9);
}

TEST(SearchTest, WhatIsAssumedOfAModelIsToldInANote) {
  const auto notes = [](std::string_view name) {
    return Recommend({.model = *FindModel(name),
                      .workload = {.context = 128, .rows_per_step = 1},
                      .devices = {.hardware = *FindHardware("A100-80GB")},
                      .method = MethodChoice::kLora})
        ->notes;
  };
  EXPECT_THAT(notes("350M"), ::testing::Contains(HasSubstr("350M is assumed from the size 350M")));
  EXPECT_THAT(notes("SmolLM2-135M-Instruct"),
              ::testing::Contains("Model SmolLM2-135M-Instruct is taken to have the shape of "
                                  "SmolLM2-135M."));
  EXPECT_THAT(notes("SmolLM2-135M"), ::testing::Not(::testing::Contains(HasSubstr("SmolLM2"))));
}

TEST(SearchTest, MoreMemoryNeverMakesTheAnswerSlower) {
  int64_t before = std::numeric_limits<int64_t>::max();
  for (int64_t kib = 150; kib < 2000; kib += 150) {
    const auto result = Recommend(ToyQuestion(4, Objective::kTime, kib * kKiB));
    ASSERT_TRUE(result.ok());
    const int64_t now = result->ranked.empty() ? std::numeric_limits<int64_t>::max()
                                               : result->ranked[0].time.step_picoseconds;
    EXPECT_LE(now, before) << kib << " KiB";
    before = now;
  }
}

// Where collectives and copies bind, where only the largest devices hold the states, and where nothing does: each once took millions of mixes, and half a minute. The
// list, the mix that misses by least and the quickest one all count.
TEST(SearchTest, LargeQuestionsPriceFewMixes) {
  constexpr int64_t kMostPriced = 200'000;
  struct Case {
    const char* device;
    int64_t node_count;
    int64_t device_count;
    int64_t rows;
    std::optional<Offload> offload;
    int64_t ranked_count = 8;
  };
  for (const Case& c :
       {Case{"H100-SXM", 8, 64, 64, std::nullopt}, Case{"H100-SXM", 4, 32, 64, std::nullopt},
        Case{"H100-SXM", 1, 8, 1, std::nullopt}, Case{"H100-SXM", 1, 1, 8, std::nullopt},
        Case{"H100-SXM", 1, 4, 128, Offload::kAll},
        // The best alone, whose time is all that other families have to keep to.
        Case{"H100-SXM", 1, 4, 128, Offload::kAll, 1}}) {
    Question question{
        .model = *FindModel("Llama-2-70b-hf"),
        .workload = {.context = 4096, .rows_per_step = c.rows, .document_capacity = 64},
        .devices = {.hardware = *FindHardware(c.device),
                    .device_count = c.device_count,
                    .node_count = c.node_count},
        .method = MethodChoice::kFull};
    question.pinned.offload = c.offload;
    question.ranked_count = c.ranked_count;
    const auto result = Recommend(question);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(!result->ranked.empty() || result->nearest);
    EXPECT_LT(result->evaluated_count, kMostPriced)
        << c.node_count << " nodes, " << c.device_count << " devices, " << c.rows << " rows";
  }
}

TEST(SearchTest, ADeadlineStopsItAndSaysSo) {
  Question question = ToyQuestion(4, Objective::kTime, 0);
  question.deadline = absl::InfinitePast();
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->deadline_reached);
}

// Semantic axes are asked for, never traded.
TEST(SearchTest, EveryMixHasTheOptimizerThatWasAskedFor) {
  Question question = ToyQuestion(4, Objective::kMemory, 0);
  question.method = MethodChoice::kFull;
  const auto plain = Recommend(question);
  question.optimizer_state = OptimizerState::kInt8;
  const auto coded = Recommend(question);
  ASSERT_TRUE(coded.ok()) << coded.status();
  for (const Prediction& p : coded->ranked) {
    EXPECT_EQ(p.mix.optimizer_state, OptimizerState::kInt8);
  }
  EXPECT_LT(coded->ranked[0].memory.arena_bytes, plain->ranked[0].memory.arena_bytes);
  question.optimizer = Optimizer::kSgd;
  EXPECT_EQ(Recommend(question).status().code(), absl::StatusCode::kInvalidArgument);
  question.optimizer_state = OptimizerState::kFp32;
  question.accumulation_dtype = AccumulationDtype::kBf16;
  const auto sgd = Recommend(question);
  ASSERT_TRUE(sgd.ok()) << sgd.status();
  EXPECT_EQ(sgd->ranked[0].mix.optimizer, Optimizer::kSgd);
  EXPECT_EQ(sgd->ranked[0].mix.accumulation_dtype, AccumulationDtype::kBf16);
}

TEST(SearchTest, RefusesWhatIsNotPlanned) {
  Question question = ToyQuestion(4, Objective::kTime, 0);
  question.devices.hardware = *FindHardware("V100-16GB");
  EXPECT_EQ(Recommend(question).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(Recommend(question).status().message()), HasSubstr("--runtime hf"));
  question.devices = {.hardware = *FindHardware("A100-80GB"), .device_count = 3};
  EXPECT_THAT(std::string(Recommend(question).status().message()),
              HasSubstr("rows per step(4) % devices(3) = 1"));
}

TEST(SearchTest, EstimateEqualsTheRankedPrediction) {
  const Question question = ToyQuestion(4, Objective::kTime, 0);
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok());
  const auto estimate = Estimate(question, result->ranked[0].mix);
  ASSERT_TRUE(estimate.ok()) << estimate.status();
  EXPECT_EQ(estimate->program_digest, result->ranked[0].program_digest);
  EXPECT_EQ(estimate->time.step_picoseconds, result->ranked[0].time.step_picoseconds);
}

TEST(SearchTest, AnswersForARealModel) {
  const auto model = FindModel("SmolLM2-135M");
  ASSERT_TRUE(model.ok()) << model.status();
  const Question question{.model = *model,
                          .workload = {.context = 512, .rows_per_step = 16},
                          .devices = {.hardware = *FindHardware("cpu")}};
  const auto result = Recommend(question);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_FALSE(result->ranked.empty());
  EXPECT_EQ(result->ranked[0].mix.method, Method::kLora);
}

}  // namespace
}  // namespace tunesmith::planner
