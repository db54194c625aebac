#include "trainer/job/checkpoint_state.h"

#include <gtest/gtest.h>

#include <string>

namespace tunesmith::trainer {
namespace {

absl::StatusOr<CheckpointState> Read(const std::string& text) {
  return CheckpointStateFromJson(*ParseJson(text, "here"), "here");
}

TEST(CheckpointStateTest, GoesThroughJsonAndBack) {
  CheckpointState state{.step = 5,
                        .loader = {.epoch = 1, .next_row = 2, .seed = static_cast<uint64_t>(-3)},
                        .token_count = 77,
                        .data_digest = 0xfedcba9876543210,
                        .held_out_loss_before = 1.0 / 3,
                        .last_loss = 0.7};
  state.history.AddLoss(2);
  EXPECT_EQ(*Read(ToJson(state).dump()), state);
  const CheckpointState bare{.step = 0};
  EXPECT_EQ(*Read(ToJson(bare).dump()), bare);
}

// They wrote a negative seed as the unsigned number that has its bits.
TEST(CheckpointStateTest, WhatEarlierVersionsWroteIsRead) {
  const auto state = Read(
      R"({"step": 4, "epoch": 0, "next_row": 3, "seed": 18446744073709551615, "token_count": 9})");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(*state, (CheckpointState{.step = 4,
                                     .loader = {.next_row = 3, .seed = static_cast<uint64_t>(-1)},
                                     .token_count = 9}));
}

TEST(CheckpointStateTest, WrongFieldsAreNamed) {
  nlohmann::json json = ToJson({.step = 1, .data_digest = 1});
  json["data_digest"] = "xyz";
  EXPECT_EQ(Read(json.dump()).status().message(),
            "here: \"data_digest\" must be a hexadecimal number, found \"xyz\"");
  json = ToJson({.step = 1});
  json["seed"] = 0.5;
  EXPECT_FALSE(Read(json.dump()).ok());
  json.erase("seed");
  EXPECT_FALSE(Read(json.dump()).ok());
}

}  // namespace
}  // namespace tunesmith::trainer
