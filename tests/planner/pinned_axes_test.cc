#include "planner/answer/pinned_axes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/answer/search.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

// With so many KiB for the arena; 0: all the memory of the device.
Question ToyQuestion(const PinnedAxes& pinned, int64_t kib = 0) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 32, .rows_per_step = 4},
                    .devices = {.hardware = *FindHardware("cpu")},
                    .method = MethodChoice::kFull,
                    .pinned = pinned};
  if (kib > 0) question.memory_budget_bytes = BudgetOf(question).outside_arena_bytes + kib * kKiB;
  return question;
}

// The quickest of all whole programs whose mix has the pinned values; picoseconds and bytes, or none.
std::optional<std::pair<int64_t, int64_t>> BruteForce(const Question& question) {
  Question free = question;
  free.pinned = {};
  const PinnedAxes& pinned = question.pinned;
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question));
  std::optional<std::pair<int64_t, int64_t>> best;
  for (Mix mix : FamiliesOf(free)) {
    if (mix.attention != pinned.attention.value_or(mix.attention) ||
        mix.micro_batch != pinned.micro_batch.value_or(mix.micro_batch))
      continue;
    for (const auto& recompute : AllRecomputes(question.model.layer_count, Rung::kBlock)) {
      if (!TakesOnly(recompute, pinned.rungs)) continue;
      mix.recompute = recompute;
      const Prediction p = *Predict(question, mix, prices, BudgetOf(question));
      const std::pair key(p.time.step_picoseconds, p.memory.arena_bytes);
      if (p.fits && (!best || key < *best)) best = key;
    }
  }
  return best;
}

TEST(PinnedAxesTest, TheSearchFindsTheBestOfWhatIsLeft) {
  const uint32_t rung_sets[] = {kAnyRung, BitOf(Rung::kKeep), BitOf(Rung::kBlock),
                                BitOf(Rung::kActivation) | BitOf(Rung::kGateUp),
                                BitOf(Rung::kKeep) | BitOf(Rung::kNorms)};
  for (const uint32_t rungs : rung_sets) {
    for (const int64_t micro_batch : {1, 4}) {
      for (const AttentionKernel attention : {AttentionKernel::kEager, AttentionKernel::kFlash}) {
        for (const int64_t kib : {100'000, 650, 420, 300}) {
          const Question question = ToyQuestion(
              {.attention = attention, .micro_batch = micro_batch, .rungs = rungs}, kib);
          const auto result = Recommend(question);
          ASSERT_TRUE(result.ok()) << result.status();
          const auto best = BruteForce(question);
          ASSERT_EQ(result->ranked.empty(), !best.has_value());
          if (!best) continue;
          const Prediction& chosen = result->ranked[0];
          EXPECT_EQ(chosen.time.step_picoseconds, best->first);
          EXPECT_EQ(chosen.memory.arena_bytes, best->second);
          EXPECT_TRUE(TakesOnly(chosen.mix.recompute, rungs)) << FormatMix(chosen.mix);
          EXPECT_EQ(chosen.mix.attention, attention);
          EXPECT_EQ(chosen.mix.micro_batch, micro_batch);
        }
      }
    }
  }
}

TEST(PinnedAxesTest, AChunkedLossIsKeptWhereOneChunkHoldsEverything) {
  const auto result = Recommend(ToyQuestion({.loss = LossKernel::kChunked}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->ranked[0].mix.loss, LossKernel::kChunked);
}

std::string ErrorOf(const PinnedAxes& pinned, absl::StatusCode code) {
  const absl::Status status = Recommend(ToyQuestion(pinned)).status();
  EXPECT_EQ(status.code(), code);
  return std::string(status.message());
}

TEST(PinnedAxesTest, WhatCannotBeMetPrintsTheEquation) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ErrorOf({.micro_batch = 3}, kInvalid),
              HasSubstr("micro_batch(3) does not divide rows per step(4) / devices(1) = 4"));
  EXPECT_THAT(ErrorOf({.micro_batch = 0}, kInvalid), HasSubstr("micro_batch(0)"));
  EXPECT_THAT(ErrorOf({.micro_batch = 2, .mlp_tile_count = 65}, kInvalid),
              HasSubstr("mlp_tiles(65) must be 1 to the tokens of a micro-batch(64)"));
  EXPECT_THAT(ErrorOf({.rungs = 0}, kInvalid), HasSubstr("rungs(0)"));
  EXPECT_THAT(ErrorOf({.rungs = BitOf(Rung::kHost)}, kInvalid),
              HasSubstr("cpu has no host memory apart"));
}

Question OnDevices(int64_t devices, int64_t rows, const PinnedAxes& pinned = {}) {
  Question question = ToyQuestion(pinned);
  question.workload.rows_per_step = rows;
  question.devices.device_count = devices;
  return question;
}

std::string ErrorOf(const Question& question) {
  const absl::Status status = Recommend(question).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(PinnedAxesTest, RanksShareAMicroBatchAsTheyArePinnedTo) {
  for (const int64_t ranks : {1, 2, 6}) {
    const auto result = Recommend(OnDevices(6, 6, {.sequence_parallel = ranks}));
    ASSERT_TRUE(result.ok()) << result.status();
    for (const Prediction& p : result->ranked) {
      EXPECT_EQ(p.mix.sequence_parallel, ranks);
      EXPECT_EQ(RankCount(p.mix), 6);
    }
  }
}

// With fewer rows than devices there is no other way.
TEST(PinnedAxesTest, RanksShareAMicroBatchWhereRowsAreFew) {
  const auto result = Recommend(OnDevices(4, 2));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->ranked[0].mix.sequence_parallel, 2);
  EXPECT_EQ(result->ranked[0].mix.data_parallel, 2);
}

TEST(PinnedAxesTest, RanksThatDoNotFactorPrintTheEquation) {
  EXPECT_THAT(ErrorOf(OnDevices(4, 4, {.sequence_parallel = 3})),
              HasSubstr("devices(4) % sequence_parallel(3) must be 0"));
  EXPECT_THAT(ErrorOf(OnDevices(1, 4, {.sequence_parallel = 2})),
              HasSubstr("devices(1) % sequence_parallel(2) must be 0"));
  EXPECT_THAT(ErrorOf(OnDevices(4, 4, {.sequence_parallel = 4})),
              HasSubstr("heads(6) % sequence_parallel(4) = 2, must be 0"));
  EXPECT_THAT(ErrorOf(OnDevices(3, 4, {.sequence_parallel = 3})),
              HasSubstr("tokens % sequence_parallel(3) = 2, must be 0"));
  EXPECT_THAT(ErrorOf(OnDevices(6, 4, {.sequence_parallel = 2})),
              HasSubstr("rows per step(4) % devices(6) / sequence_parallel(2) = 1, must be 0"));
  EXPECT_THAT(ErrorOf(OnDevices(4, 8, {.micro_batch = 3, .sequence_parallel = 2})),
              HasSubstr("pinned micro_batch(3) does not divide rows per step(8) / devices(4) / "
                        "sequence_parallel(2) = 4"));
  EXPECT_THAT(ErrorOf(OnDevices(5, 4)), HasSubstr("rows per step(4) % devices(5) = 4"));
}

}  // namespace
}  // namespace tunesmith::planner
