#include "trainer/comm/rank_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

struct Case {
  const char* name;
  Environment environment;
  RankPlace expected;
};

class LauncherTest : public testing::TestWithParam<Case> {};

const Case kCases[] = {
    {"alone", {{"HOME", "/root"}}, {0, 1, 0, 1, 0, ""}},
    {"open_mpi",
     {{"OMPI_COMM_WORLD_RANK", "5"},
      {"OMPI_COMM_WORLD_SIZE", "8"},
      {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
      {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
      {"PMIX_RANK", "5"}},
     {5, 8, 1, 4, 1, "OMPI_COMM_WORLD_SIZE"}},
    {"mpich", {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, {1, 2, 0, 1, 1, "PMI_SIZE"}},
    {"mpich_with_nodes",
     {{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}},
     {3, 4, 1, 2, 1, "PMI_SIZE"}},
    {"torchrun",
     {{"RANK", "3"},
      {"WORLD_SIZE", "4"},
      {"LOCAL_RANK", "1"},
      {"LOCAL_WORLD_SIZE", "2"},
      {"GROUP_RANK", "1"}},
     {3, 4, 1, 2, 1, "WORLD_SIZE"}},
    {"one_process_a_node",
     {{"PET_NODE_RANK", "2"}, {"PET_NNODES", "4"}, {"PET_NPROC_PER_NODE", "1"}},
     {2, 4, 0, 1, 2, "PET_NNODES"}},
    // torchrun starts the ranks, with variables of their own.
    {"processes_that_torchrun_has_yet_to_start",
     {{"PET_NODE_RANK", "2"}, {"PET_NNODES", "4"}, {"PET_NPROC_PER_NODE", "8"}},
     {0, 1, 0, 1, 0, ""}},
    {"slurm_step",
     {{"SLURM_STEP_ID", "0"},
      {"SLURM_PROCID", "5"},
      {"SLURM_NTASKS", "7"},
      {"SLURM_LOCALID", "1"},
      {"SLURM_NODEID", "2"},
      {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}},
     {5, 7, 1, 2, 2, "SLURM_NTASKS"}},
    {"slurm_last_node",
     {{"SLURM_STEP_ID", "0"},
      {"SLURM_PROCID", "6"},
      {"SLURM_NTASKS", "7"},
      {"SLURM_LOCALID", "0"},
      {"SLURM_NODEID", "3"},
      {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}},
     {6, 7, 0, 1, 3, "SLURM_NTASKS"}},
    {"slurm_batch_script", {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}, {0, 1, 0, 1, 0, ""}},
    // mpirun in an allocation starts its daemons as a step of one task a node; ranks inherit that.
    {"mpirun_in_slurm",
     {{"SLURM_STEP_ID", "0"},
      {"SLURM_PROCID", "1"},
      {"SLURM_NTASKS", "2"},
      {"OMPI_COMM_WORLD_RANK", "3"},
      {"OMPI_COMM_WORLD_SIZE", "4"},
      {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
      {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}},
     {3, 4, 1, 2, 1, "OMPI_COMM_WORLD_SIZE"}},
    {"kubernetes",
     {{"JOB_COMPLETION_INDEX", "2"}, {"WORLD_SIZE", "3"}},
     {2, 3, 0, 1, 2, "WORLD_SIZE"}},
    {"the_only_pod", {{"JOB_COMPLETION_INDEX", "0"}}, {0, 1, 0, 1, 0, ""}},
};

INSTANTIATE_TEST_SUITE_P(Launchers, LauncherTest, testing::ValuesIn(kCases),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(LauncherTest, TellsWhichProcessThisIs) {
  const auto place = FindRank(GetParam().environment);
  ASSERT_TRUE(place.ok()) << place.status();
  const RankPlace& expected = GetParam().expected;
  EXPECT_EQ(place->rank, expected.rank);
  EXPECT_EQ(place->size, expected.size);
  EXPECT_EQ(place->local_rank, expected.local_rank);
  EXPECT_EQ(place->local_size, expected.local_size);
  EXPECT_EQ(place->node, expected.node);
  EXPECT_EQ(place->size_variable, expected.size_variable);
}

std::string ErrorOf(const Environment& environment) {
  const auto place = FindRank(environment);
  EXPECT_EQ(place.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(place.status().message());
}

planner::Mix RanksOf(int64_t data_parallel, int64_t sequence_parallel) {
  return {.data_parallel = data_parallel, .sequence_parallel = sequence_parallel};
}

TEST(RankTableTest, WhatCannotBeNamesItsVariables) {
  EXPECT_THAT(ErrorOf({{"RANK", "1"}}), HasSubstr("RANK=1 without WORLD_SIZE"));
  EXPECT_THAT(ErrorOf({{"WORLD_SIZE", "2"}}), HasSubstr("WORLD_SIZE=2 without RANK"));
  EXPECT_THAT(ErrorOf({{"OMPI_COMM_WORLD_SIZE", "2"}}),
              HasSubstr("OMPI_COMM_WORLD_SIZE=2 without OMPI_COMM_WORLD_RANK"));
  EXPECT_THAT(ErrorOf({{"JOB_COMPLETION_INDEX", "3"}}),
              HasSubstr("JOB_COMPLETION_INDEX=3 without WORLD_SIZE"));
  EXPECT_THAT(ErrorOf({{"RANK", "two"}, {"WORLD_SIZE", "4"}}), HasSubstr("RANK=two"));
  EXPECT_THAT(ErrorOf({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}), HasSubstr("RANK=-1"));
  EXPECT_THAT(ErrorOf({{"RANK", "4"}, {"WORLD_SIZE", "4"}}),
              AllOf(HasSubstr("RANK=4"), HasSubstr("WORLD_SIZE=4")));
  EXPECT_THAT(ErrorOf({{"RANK", "0"}, {"WORLD_SIZE", "0"}}), HasSubstr("WORLD_SIZE=0"));
  EXPECT_THAT(
      ErrorOf({{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "2"}, {"LOCAL_WORLD_SIZE", "2"}}),
      AllOf(HasSubstr("LOCAL_RANK=2"), HasSubstr("LOCAL_WORLD_SIZE=2")));
  const std::string differ = ErrorOf({{"RANK", "0"},
                                      {"WORLD_SIZE", "4"},
                                      {"OMPI_COMM_WORLD_RANK", "1"},
                                      {"OMPI_COMM_WORLD_SIZE", "2"}});
  EXPECT_THAT(differ, AllOf(HasSubstr("OMPI_COMM_WORLD_RANK=1 and OMPI_COMM_WORLD_SIZE=2"),
                            HasSubstr("RANK=0 and WORLD_SIZE=4")));
}

TEST(RankTableTest, RanksMustBeThePlans) {
  const RankPlace place{.size = 2, .size_variable = "SLURM_NTASKS"};
  EXPECT_TRUE(CheckRankCount(place, RanksOf(2, 1)).ok());
  EXPECT_TRUE(CheckRankCount(place, RanksOf(1, 2)).ok());
  EXPECT_THAT(std::string(CheckRankCount(place, RanksOf(2, 3)).message()),
              HasSubstr("data_parallel(2) x sequence_parallel(3) of the plan != ranks(2)"));
  EXPECT_THAT(std::string(CheckRankCount(place, RanksOf(4, 1)).message()),
              AllOf(HasSubstr("data_parallel(4) of the plan != ranks(2) by SLURM_NTASKS"),
                    HasSubstr("start 4 processes, or make the plan for 2")));
}

}  // namespace
}  // namespace tunesmith::trainer
