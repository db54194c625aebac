#include "planner/answer/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "common/str_cat.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/model/mix_names.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

// With so many KiB for the arena.
Question ToyQuestion(int64_t kib, Objective objective = Objective::kTime) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 32, .rows_per_step = 4},
                    .devices = {.hardware = *FindHardware("cpu")},
                    .lora = {.rank = 3},
                    .objective = objective};
  question.memory_budget_bytes = BudgetOf(question).outside_arena_bytes + kib * kKiB;
  return question;
}

std::string ValueOf(const Mix& mix, ExplainedAxis axis) {
  switch (axis) {
    case ExplainedAxis::kMethod:
      return std::string(NameOf(kMethodNames, mix.method));
    case ExplainedAxis::kAttention:
      return std::string(NameOf(kAttentionNames, mix.attention));
    case ExplainedAxis::kLoss:
      return std::string(NameOf(kLossNames, mix.loss));
    case ExplainedAxis::kMicroBatch:
      return std::to_string(mix.micro_batch);
    case ExplainedAxis::kMlpTiles:
      return std::to_string(mix.mlp_tile_count);
    case ExplainedAxis::kRecompute:
      for (const Rung rung : {Rung::kKeep, Rung::kBlock}) {
        if (TakesOnly(mix.recompute, BitOf(rung))) return std::string(NameOf(kRungNames, rung));
      }
      return "mixed";
    case ExplainedAxis::kZeroStage:
      return std::to_string(mix.zero_stage);
    case ExplainedAxis::kSequenceParallel:
      return std::to_string(mix.sequence_parallel);
    case ExplainedAxis::kOffload:
      return std::string(NameOf(kOffloadNames, mix.offload));
    case ExplainedAxis::kGatherDepth:
      return std::to_string(mix.gather_depth);
    case ExplainedAxis::kOffloadPercent:
      return std::to_string(mix.offload_percent);
  }
  return "";
}

// By whole programs: of all mixes with the value, the best that fits, else the smallest.
Prediction BruteForce(const Question& question, const Mix& chosen, ExplainedAxis axis,
                      const std::string& value) {
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question),
                          {}, LinksOf(question.devices));
  std::vector<Prediction> all;
  Question pinned = question;
  if (axis == ExplainedAxis::kLoss)
    pinned.pinned.loss = ValueNamed<LossKernel>(kLossNames, value);  // else one chunk is left out
  if (axis == ExplainedAxis::kOffload)
    pinned.pinned.offload = ValueNamed<Offload>(kOffloadNames, value);  // offered when asked for
  if (axis == ExplainedAxis::kGatherDepth) pinned.pinned.zero_stage = chosen.zero_stage;
  if (axis == ExplainedAxis::kSequenceParallel)
    pinned.pinned.sequence_parallel = std::stoll(value);  // else twins of one rank's are left out
  for (Mix mix : FamiliesOf(pinned)) {
    if (axis != ExplainedAxis::kMethod && mix.method != chosen.method) continue;
    for (const auto& recompute : AllRecomputes(question.model.layer_count, Rung::kBlock)) {
      mix.recompute = recompute;
      if (ValueOf(mix, axis) != value) continue;
      all.push_back(*Predict(question, mix, prices, BudgetOf(question)));
    }
  }
  const auto key = [&](const Prediction& p) {
    const int64_t time = p.time.step_picoseconds, bytes = p.memory.arena_bytes;
    const bool by_time = p.fits && question.objective == Objective::kTime;
    return std::tuple(!p.fits, by_time ? time : bytes, by_time ? bytes : time);
  };
  return *std::min_element(all.begin(), all.end(), [&](const Prediction& a, const Prediction& b) {
    return key(a) < key(b);
  });
}

TEST(ExplainTest, EveryAlternativeIsTheBestOfItsKind) {
  std::set<LostBecause> reasons;
  for (const Objective objective : {Objective::kTime, Objective::kMemory}) {
    for (const int64_t kib : {100'000, 420, 250}) {
      const Question question = ToyQuestion(kib, objective);
      const auto result = Recommend(question);
      ASSERT_TRUE(result.ok() && !result->ranked.empty());
      const Prediction& chosen = result->ranked[0];
      const auto explanation = Explain(question, chosen);
      ASSERT_TRUE(explanation.ok()) << explanation.status();
      EXPECT_GE(explanation->alternatives.size(), 5u);
      for (const Alternative& a : explanation->alternatives) {
        const Prediction best = BruteForce(question, chosen.mix, a.axis, a.value);
        ASSERT_EQ(a.best.fits, best.fits) << a.sentence;
        EXPECT_EQ(a.best.memory.arena_bytes, best.memory.arena_bytes) << a.sentence;
        EXPECT_EQ(a.bytes_more, best.memory.total_bytes - chosen.memory.total_bytes) << a.sentence;
        if (a.best.fits) {
          EXPECT_EQ(a.best.time.step_picoseconds, best.time.step_picoseconds) << a.sentence;
        }
        EXPECT_EQ(a.missing_bytes,
                  best.fits ? 0 : best.memory.total_bytes - question.memory_budget_bytes);
        EXPECT_EQ(a.semantic, a.axis == ExplainedAxis::kMethod);
        EXPECT_EQ(ValueOf(a.best.mix, a.axis), a.value);
        EXPECT_NE(ValueOf(chosen.mix, a.axis), a.value);
        reasons.insert(a.reason);
      }
    }
  }
  EXPECT_TRUE(reasons.contains(LostBecause::kSlower));
  EXPECT_TRUE(reasons.contains(LostBecause::kMoreMemory));
  EXPECT_TRUE(reasons.contains(LostBecause::kDoesNotFit));
}

// Two devices with a host: the axes that one device has not.
TEST(ExplainTest, SharingAndOffloadAreToldOfSeveralDevices) {
  Question question = ToyQuestion(100'000);
  question.devices = {.hardware = *FindHardware("A100-40GB"), .device_count = 2};
  question.method = MethodChoice::kFull;
  question.pinned = {.attention = AttentionKernel::kFlash,
                     .loss = LossKernel::kFull,
                     .rungs = kAnyRung & ~BitOf(Rung::kHost)};
  question.memory_budget_bytes = 0;
  question.objective = Objective::kMemory;
  const int64_t least = Recommend(question)->ranked[0].memory.total_bytes;
  question.objective = Objective::kTime;
  for (const int64_t budget : {2 * least, least + 16 * kKiB}) {
    question.memory_budget_bytes = budget;
    const auto result = Recommend(question);
    ASSERT_TRUE(result.ok() && !result->ranked.empty()) << result.status();
    const Prediction& chosen = result->ranked[0];
    const auto explanation = Explain(question, chosen);
    ASSERT_TRUE(explanation.ok()) << explanation.status();
    std::set<std::string> told;
    for (const Alternative& a : explanation->alternatives) {
      if (a.axis < ExplainedAxis::kZeroStage) continue;
      told.insert(StrCat(ExplainedAxisName(a.axis), "=", a.value));
      const Prediction best = BruteForce(question, chosen.mix, a.axis, a.value);
      EXPECT_EQ(a.best.fits, best.fits) << a.sentence;
      EXPECT_EQ(a.best.memory.arena_bytes, best.memory.arena_bytes) << a.sentence;
      if (best.fits) {
        EXPECT_EQ(a.best.time.step_picoseconds, best.time.step_picoseconds) << a.sentence;
      }
    }
    const size_t depths = GathersWeights(chosen.mix) ? 1 : 0;
    EXPECT_EQ(told.size(), 3u + 1u + 2u + depths) << ::testing::PrintToString(told);
  }
}

// Offload needs stages that a pinned one may rule out, as late gathering does.
TEST(ExplainTest, ValuesThatContradictWhatIsPinnedAreLeftOut) {
  Question question = ToyQuestion(0);
  question.memory_budget_bytes = 0;
  question.method = MethodChoice::kFull;
  question.devices = {.hardware = *FindHardware("A100-40GB"), .device_count = 2};
  const auto told = [](const Question& q) {
    const auto explanation = Explain(q, Recommend(q)->ranked[0]);
    EXPECT_TRUE(explanation.ok()) << explanation.status();
    std::set<std::string> values;
    for (const Alternative& a : explanation->alternatives)
      values.insert(StrCat(ExplainedAxisName(a.axis), "=", a.value));
    return values;
  };
  question.pinned.zero_stage = 1;
  EXPECT_TRUE(told(question).contains("offload=optimizer"));
  EXPECT_FALSE(told(question).contains("offload=all"));
  question.pinned.zero_stage = std::nullopt;
  question.pinned.gather_depth = 0;
  EXPECT_FALSE(told(question).empty());
  question.pinned = {.zero_stage = 0};
  EXPECT_FALSE(told(question).contains("offload=optimizer"));
}

TEST(ExplainTest, AHostThatLacksMemoryIsToldByItsAmounts) {
  Question question = ToyQuestion(0);
  question.memory_budget_bytes = 0;
  question.method = MethodChoice::kFull;
  question.devices = {.hardware = *FindHardware("A100-40GB")};
  question.pinned_memory_budget_bytes = 1;
  const auto explanation = Explain(question, Recommend(question)->ranked[0]);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  int offload_count = 0;
  for (const Alternative& a : explanation->alternatives) {
    if (a.axis != ExplainedAxis::kOffload) continue;
    ++offload_count;
    EXPECT_EQ(a.reason, LostBecause::kDoesNotFit);
    EXPECT_EQ(a.missing_bytes, a.best.memory.pinned_bytes - 1);
    EXPECT_THAT(a.sentence, HasSubstr("of page-locked memory per device"));
  }
  EXPECT_EQ(offload_count, 2);
}

TEST(ExplainTest, ReasonsAgreeWithTheAmounts) {
  for (const Objective objective : {Objective::kTime, Objective::kMemory}) {
    const Question question = ToyQuestion(100'000, objective);
    const Prediction chosen = Recommend(question)->ranked[0];
    for (const Alternative& a : Explain(question, chosen)->alternatives) {
      if (a.semantic) continue;
      const std::pair lost = objective == Objective::kTime
                                 ? std::pair(a.seconds_more, static_cast<double>(a.bytes_more))
                                 : std::pair(static_cast<double>(a.bytes_more), a.seconds_more);
      EXPECT_GE(lost, std::pair(0.0, 0.0)) << a.sentence;
      EXPECT_EQ(a.reason == LostBecause::kNoBetter, lost == std::pair(0.0, 0.0)) << a.sentence;
      if (a.reason == LostBecause::kSlower) {
        EXPECT_GT(a.seconds_more, 0);
        EXPECT_THAT(a.sentence, HasSubstr("slower"));
      }
      if (a.reason == LostBecause::kMoreMemory) {
        EXPECT_GT(a.bytes_more, 0);
      }
    }
  }
}

TEST(ExplainTest, PinnedAxesAreLeftOut) {
  Question question = ToyQuestion(100'000);
  question.method = MethodChoice::kFull;
  question.pinned = {.attention = AttentionKernel::kEager,
                     .loss = LossKernel::kFull,
                     .micro_batch = 2,
                     .rungs = BitOf(Rung::kKeep) | BitOf(Rung::kNorms)};
  const auto explanation = Explain(question, Recommend(question)->ranked[0]);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  EXPECT_TRUE(explanation->alternatives.empty());
}

TEST(ExplainTest, TheDeadlineCutsItShort) {
  Question question = ToyQuestion(100'000);
  const Prediction chosen = Recommend(question)->ranked[0];
  question.deadline = absl::InfinitePast();
  const auto explanation = Explain(question, chosen);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  EXPECT_TRUE(explanation->deadline_reached);
  EXPECT_TRUE(explanation->alternatives.empty());
}

TEST(ExplainTest, InstantsAreOrderedAndTheFirstBinds) {
  const Question question = ToyQuestion(100'000);
  const Prediction chosen = Recommend(question)->ranked[0];
  const auto explanation = Explain(question, chosen);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  const std::vector<InstantBytes>& instants = explanation->instants;
  ASSERT_GE(instants.size(), 6u);
  EXPECT_EQ(instants[0].name, chosen.memory.binding_instant);
  EXPECT_EQ(instants[0].bytes, chosen.memory.arena_bytes);
  std::set<std::string> names;
  for (size_t i = 0; i < instants.size(); ++i) {
    names.insert(instants[i].name);
    EXPECT_LE(instants[i].bytes, instants[i == 0 ? 0 : i - 1].bytes);
  }
  EXPECT_EQ(names.size(), instants.size());
  for (const std::string& part : {chosen.memory.binding_instant, instants[1].name})
    EXPECT_THAT(explanation->binding_sentence, HasSubstr(part));
}

}  // namespace
}  // namespace tunesmith::planner
