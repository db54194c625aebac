#include "profiler/probe_program.h"

#include <gtest/gtest.h>

#include <vector>

namespace tunesmith::profiler {
namespace {

std::vector<Round> RoundsOf(const std::vector<double>& waited_shares) {
  std::vector<Round> rounds;
  for (const double share : waited_shares)
    rounds.push_back(
        {.step_seconds = 1 + share, .waited_share = share, .ops = OpStatistics(nullptr)});
  return rounds;
}

std::vector<double> Shares(const std::vector<Round>& rounds) {
  std::vector<double> shares;
  for (const Round& round : rounds) shares.push_back(round.waited_share);
  return shares;
}

TEST(QuietRoundsTest, WhatOthersDisturbedDoesNotCount) {
  EXPECT_EQ(Shares(QuietRounds(RoundsOf({0.4, 0.01, 0.0, 0.2, 0.02}))),
            (std::vector<double>{0.0, 0.01, 0.02}));
}

TEST(QuietRoundsTest, OfABusyMachineTheTwoThatWereDisturbedLeastCount) {
  EXPECT_EQ(Shares(QuietRounds(RoundsOf({0.4, 0.3, 0.5, 0.2}))), (std::vector<double>{0.2, 0.3}));
  EXPECT_EQ(Shares(QuietRounds(RoundsOf({0.0, 0.3, 0.5}))), (std::vector<double>{0.0, 0.3}));
  EXPECT_EQ(Shares(QuietRounds(RoundsOf({0.5}))), (std::vector<double>{0.5}));
}

}  // namespace
}  // namespace tunesmith::profiler
