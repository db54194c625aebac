#include "trainer/job/device_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/units.h"
#include "planner/answer/search.h"
#include "planner/model/catalog.h"

namespace tunesmith::trainer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

convert::Plan PlanFor8B() {
  const planner::Question question{.model = *planner::FindModel("Llama-3.1-8B"),
                                   .workload = {.context = 4096, .rows_per_step = 8},
                                   .devices = {.hardware = *planner::FindHardware("H100-SXM")},
                                   .method = planner::MethodChoice::kLora};
  const auto result = planner::Recommend(question);
  EXPECT_TRUE(result.ok() && !result->ranked.empty()) << result.status();
  return convert::MakePlan(question, result->ranked[0]);
}

std::string Refusal(int64_t free_bytes) {
  const convert::Plan plan = PlanFor8B();
  const absl::Status status =
      CheckDeviceRoom(plan, {"cuda:0 (NVIDIA H100 80GB HBM3)", 80 * kGiB, free_bytes});
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  return std::string(status.message());
}

TEST(DeviceRoomTest, WhatIsFreeIsEnough) {
  const convert::Plan plan = PlanFor8B();
  const int64_t arena = plan.prediction.memory.arena_bytes;
  EXPECT_TRUE(CheckDeviceRoom(plan, {"cuda:0", 80 * kGiB, arena}).ok());
  EXPECT_FALSE(CheckDeviceRoom(plan, {"cuda:0", 80 * kGiB, arena - 1}).ok());
}

// Another mix fits in what others leave: it is named, with the budget to plan again with and what it costs.
TEST(DeviceRoomTest, NamesTheAmountsAndTheMixThatWouldFit) {
  EXPECT_THAT(Refusal(24 * kGiB),
              AllOf(HasSubstr("cuda:0 (NVIDIA H100 80GB HBM3) has 24.00 GiB free of 80.00 GiB"),
                    HasSubstr("the plan's arena takes"), HasSubstr("nvidia-smi"),
                    HasSubstr("--memory-budget"), HasSubstr("method=lora:r16"),
                    HasSubstr("times the planned step")));
}

// The budget that is named does give a plan for what is free.
TEST(DeviceRoomTest, TheBudgetGivesAPlanThatFits) {
  const int64_t free_bytes = 24 * kGiB;
  const std::string message = Refusal(free_bytes);
  convert::Plan plan = PlanFor8B();
  const std::string flag = "--memory-budget ";
  plan.question.memory_budget_bytes = std::stoll(message.substr(message.find(flag) + flag.size()));
  const auto again = planner::Recommend(plan.question);
  ASSERT_TRUE(again.ok() && !again->ranked.empty()) << again.status();
  EXPECT_LE(again->ranked[0].memory.arena_bytes, free_bytes);
}

TEST(DeviceRoomTest, WhereNoMixFitsTheSmallestChangeIsNamed) {
  EXPECT_THAT(Refusal(10 * kGiB), AllOf(HasSubstr("no mix fits in what is free"),
                                        HasSubstr("end what else runs there")));
}

}  // namespace
}  // namespace tunesmith::trainer
