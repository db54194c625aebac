#include "trainer/comm/rank_meeting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/comm/tcp_socket.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

// "mpi", or the master's address.
std::string MeetingOf(const Environment& environment) {
  const auto place = FindRank(environment);
  EXPECT_TRUE(place.ok()) << place.status();
  const auto transport = TransportOf(environment, *place);
  if (!transport.ok()) return std::string(transport.status().message());
  if (*transport == RankTransport::kMpi) return "mpi";
  const auto master = FindMaster(environment);
  return master.ok() ? TextOf(*master) : std::string(master.status().message());
}

TEST(RankMeetingTest, EveryLauncherHasAWay) {
  EXPECT_EQ(MeetingOf({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}}), "mpi");
  EXPECT_EQ(MeetingOf({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}), "mpi");
  Environment torchrun = {
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "10.0.0.3"}, {"MASTER_PORT", "29400"}};
  EXPECT_EQ(MeetingOf(torchrun), "10.0.0.3:29400");
  torchrun.insert_or_assign("TORCHELASTIC_USE_AGENT_STORE", "True");
  EXPECT_EQ(MeetingOf(torchrun), "10.0.0.3:29401");
  EXPECT_EQ(MeetingOf({{"PET_NODE_RANK", "1"},
                       {"PET_NNODES", "2"},
                       {"PET_NPROC_PER_NODE", "1"},
                       {"PET_MASTER_ADDR", "trainer-0.trainer"},
                       {"PET_MASTER_PORT", "29500"}}),
            "trainer-0.trainer:29500");
  EXPECT_EQ(
      MeetingOf({{"JOB_COMPLETION_INDEX", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "j-0.j"}}),
      "j-0.j:29500");
}

TEST(RankMeetingTest, ASlurmStepMeetsOnItsFirstNode) {
  Environment step = {{"SLURM_PROCID", "1"},           {"SLURM_NTASKS", "2"},
                      {"SLURM_STEP_ID", "0"},          {"SLURM_JOB_ID", "4711"},
                      {"SLURM_JOB_NODELIST", "login"}, {"SLURM_STEP_NODELIST", "gpu[03-05,09]"}};
  const std::string found = MeetingOf(step);
  EXPECT_THAT(found, testing::StartsWith("gpu03:2"));
  EXPECT_EQ(MeetingOf(step), found);
  step.insert_or_assign("SLURM_STEP_ID", "1");
  EXPECT_NE(MeetingOf(step), found);
  step.insert_or_assign("MASTER_ADDR", "other");
  step.insert_or_assign("MASTER_PORT", "7");
  EXPECT_EQ(MeetingOf(step), "other:7");
  step.insert_or_assign("PMIX_NAMESPACE", "slurm.pmix.4711.0");
  EXPECT_EQ(MeetingOf(step), "mpi");
  step.insert_or_assign("TUNESMITH_RANK_TRANSPORT", "tcp");
  EXPECT_EQ(MeetingOf(step), "other:7");
}

TEST(RankMeetingTest, SaysWhatIsMissing) {
  Environment alone = {{"RANK", "1"}, {"WORLD_SIZE", "2"}};
  EXPECT_THAT(MeetingOf(alone), HasSubstr("has no MASTER_ADDR; set it"));
  alone.insert_or_assign("MASTER_ADDR", "h");
  for (const char* port : {"0", "x", "65535", "-1"}) {
    alone.insert_or_assign("MASTER_PORT", port);
    EXPECT_THAT(MeetingOf(alone), HasSubstr("MASTER_PORT="));
  }
  alone.insert_or_assign("TUNESMITH_RANK_TRANSPORT", "smoke");
  EXPECT_THAT(MeetingOf(alone), HasSubstr("give mpi or tcp"));
}

TEST(RankMeetingTest, ReadsListsOfNodes) {
  for (const auto& [list, host] :
       std::vector<std::pair<const char*, const char*>>{{"n1", "n1"},
                                                        {"n1,n2", "n1"},
                                                        {"n[1-3]", "n1"},
                                                        {"n[07,09]-ib,x", "n07-ib"},
                                                        {"r[1-2]n[03-04]", "r1n03"},
                                                        {"[a", ""},
                                                        {"", ""}})
    EXPECT_EQ(FirstHost(list), host) << list;
}

}  // namespace
}  // namespace tunesmith::trainer
