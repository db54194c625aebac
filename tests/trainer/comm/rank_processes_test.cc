// Ranks that are processes, by MPI and by TCP: the same bits as threads, and the cause of every end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/file.h"
#include "common/str_cat.h"
#include "tests/common/eventually.h"
#include "tests/common/processes.h"
#include "tests/trainer/comm/exercise.h"
#include "tests/trainer/comm/run_ranks.h"
#include "trainer/comm/mpi_communicator.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

constexpr char kRank[] = COMM_RANK_BINARY;

class RankProcessesTest : public testing::TestWithParam<Launcher> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyAbsent(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }

  static RanksRun Run(int rank_count, const std::string& command) {
    return RunRanks(GetParam(), rank_count, command);
  }

  // Every rank but `culprit` says `cause`, and all is over in time.
  static void ExpectCause(const RanksRun& run, int rank_count, int culprit,
                          const std::string& cause) {
    EXPECT_NE(run.status, 0);
    EXPECT_LT(run.seconds, 10);
    for (int rank = 0; rank < rank_count; ++rank) {
      if (rank == culprit) continue;
      const size_t at = run.output.find(StrCat("rank ", rank, ": "));
      ASSERT_NE(at, std::string::npos) << "rank " << rank << " says nothing in\n" << run.output;
      const std::string line = run.output.substr(at, run.output.find('\n', at) - at);
      EXPECT_THAT(line, HasSubstr(cause)) << run.output;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Launchers, RankProcessesTest,
                         testing::Values(Launcher::kMpi, Launcher::kShell), LauncherName);

TEST_P(RankProcessesTest, ComputesTheBitsThatThreadsDo) {
  for (const int size : {1, 2, 3, 4}) {
    const std::vector<std::string> digests = ExerciseThreads(size);
    const RanksRun run = Run(size, StrCat(kRank, " exercise"));
    EXPECT_EQ(run.status, 0) << run.output;
    for (size_t r = 0; r < digests.size(); ++r)
      EXPECT_THAT(run.output, HasSubstr(StrCat("rank ", r, ": ", digests[r], "\n")));
  }
}

TEST_P(RankProcessesTest, EveryRankNamesTheOneThatFails) {
  for (const int culprit : {0, 2})
    ExpectCause(Run(3, StrCat(kRank, " fail ", culprit)), 3, -1,
                StrCat("rank ", culprit, " failed: step 3: the loss is nan"));
}

TEST_P(RankProcessesTest, EveryRankNamesTheOneThatDies) {
  for (const int culprit : {0, 2})
    ExpectCause(Run(3, StrCat(kRank, " die ", culprit)), 3, culprit,
                StrCat("rank ", culprit, " (process "));
}

// The launcher is killed, as where memory runs out. mpirun may end the ranks by itself, or leave them: they then say why they end.
TEST_P(RankProcessesTest, RanksDoNotOutliveTheirLauncher) {
  // What ranks print goes through the launcher, so here it goes into a file.
  const std::string path = StrCat(testing::TempDir(), "tunesmith_orphans_", getpid());
  Run(3, StrCat("sh -c 'exec ", kRank, " orphan 1 ", path, " >>", path, " 2>&1'"));
  EXPECT_TRUE(Eventually([&] { return ProcessesThatNameIt(path).empty(); }));
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("rank ")) continue;
    EXPECT_THAT(line, HasSubstr("what started the ranks (process "));
  }
  std::remove(path.c_str());
}

// A process that is stopped lives, as far as anybody can see.
TEST_P(RankProcessesTest, EveryRankNamesTheOneThatIsFrozen) {
  const std::string mark = StrCat(testing::TempDir(), "tunesmith_frozen_", getpid());
  std::thread thaw([&] {
    // It would hold what ranks print open.
    std::this_thread::sleep_for(std::chrono::seconds(6));
    for (const ProcessSeen& process : ProcessesThatNameIt(mark)) kill(process.pid, SIGKILL);
  });
  ExpectCause(Run(3, StrCat(kRank, " freeze 1 ", mark)), 3, 1, "no sign of rank 1 in 2 s");
  thaw.join();
}

TEST_P(RankProcessesTest, EveryRankNamesTheOneThatDoesNotCome) {
  ExpectCause(Run(3, StrCat(kRank, " absent 1")), 3, 1, "no sign of rank 1 in 2 s");
}

TEST_P(RankProcessesTest, WhoHasJoinedNamesTheOneThatHasNot) {
  const std::string board = StrCat(testing::TempDir(), "tunesmith_board_", getpid());
  // Another launch's name counts for nothing.
  ASSERT_TRUE(MakeDirectories(board).ok());
  ASSERT_TRUE(WriteFileAtomically(board + "/rank-1.joining", "another launch").ok());
  ExpectCause(Run(3, StrCat("env RANK_BOARD=", board, " ", kRank, " late 1")), 3, 1,
              "rank 1 to join");
  std::filesystem::remove_all(board);
}

TEST_P(RankProcessesTest, RanksOfAnotherPlanAreRefused) {
  ExpectCause(Run(3, StrCat(kRank, " differ 1")), 3, -1,
              "different plan digests: a on ranks 0, 2; b on rank 1");
}

TEST(MpiPluginTest, AProcessThatNoLauncherStartedIsTold) {
  if (const std::string why = WhyAbsent(Launcher::kMpi); !why.empty()) GTEST_SKIP() << why;
  const RanksRun run =
      RunRanks(Launcher::kMpi, 1, StrCat("env OMPI_COMM_WORLD_SIZE=2 ", kRank, " exercise"));
  EXPECT_THAT(run.output, HasSubstr("the environment says rank 0 of 2 (OMPI_COMM_WORLD_SIZE), MPI "
                                    "says rank 0 of 1"));
}

// Two network namespaces with a cable between them stand for two hosts.
class TwoHostsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string script =
        StrCat("(ip netns add ", Name(0), " && ip netns add ", Name(1), " && ip link add ", Link(0),
               " netns ", Name(0), " type veth peer name ", Link(1), " netns ", Name(1), " && ",
               SetUpHost(0), " && ", SetUpHost(1), ") >/dev/null 2>&1");
    if (std::system(script.c_str()) != 0)
      GTEST_SKIP() << "network namespaces cannot be made here (root and iproute2 are needed)";
  }
  void TearDown() override {
    for (const int host : {0, 1})
      (void)!std::system(StrCat("ip netns del ", Name(host), " 2>/dev/null").c_str());
  }

  static std::string Name(int host) { return StrCat("tunesmith-", getpid(), "-", host); }
  static std::string Link(int host) { return StrCat("ts", getpid(), "-", host); }
  static std::string SetUpHost(int host) {
    const std::string ip = StrCat("ip -n ", Name(host), " ");
    return StrCat(ip, "addr add 10.231.77.", host + 1, "/24 dev ", Link(host), " && ", ip,
                  "link set ", Link(host), " up && ", ip, "link set lo up");
  }
  static RanksRun RunRank(int host, const std::string& mode) {
    return RunRanks(Launcher::kShell,
                    {StrCat("ip netns exec ", Name(host), " env RANK=", host,
                            " WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=10.231.77.1 "
                            "MASTER_PORT=29500 TUNESMITH_START_TIMEOUT_SECONDS=20 "
                            "TUNESMITH_RANK_TIMEOUT_SECONDS=60 ",
                            kRank, " ", mode)});
  }
};

TEST_F(TwoHostsTest, RanksOfTwoHostsMeet) {
  RanksRun first;
  std::thread lead([&] { first = RunRank(0, "exercise"); });
  const RanksRun second = RunRank(1, "exercise");
  lead.join();
  EXPECT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(second.status, 0) << second.output;
  const std::vector<std::string> digests = ExerciseThreads(2);
  EXPECT_EQ(first.output, StrCat("rank 0: ", digests[0], "\n"));
  EXPECT_EQ(second.output, StrCat("rank 1: ", digests[1], "\n"));
}

TEST_F(TwoHostsTest, AHostThatVanishesEndsAllWithinTenSeconds) {
  RanksRun vanished;
  std::thread other([&] { vanished = RunRank(1, "vanish 1"); });
  std::thread cable([] {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    EXPECT_EQ(std::system(StrCat("ip -n ", Name(1), " link set ", Link(1), " down").c_str()), 0);
  });
  const RanksRun run = RunRank(0, "vanish 1");
  cable.join();
  other.join();
  EXPECT_THAT(vanished.output, HasSubstr("rank 1: is there"));
  EXPECT_NE(run.status, 0);
  EXPECT_LT(run.seconds, 2 + 10);
  EXPECT_THAT(run.output, AllOf(HasSubstr("rank 0: rank 1 (process "),
                                HasSubstr("is lost: its host has not answered for 7 s")));
}

TEST(MpiPluginTest, AMissingPluginIsNamedWithTheCure) {
  setenv("TUNESMITH_MPI_PLUGIN", "/nowhere/libtunesmith_mpi.so", 1);
  const auto communicator = OpenMpiCommunicator({.size = 2}, {}, RankBoard("", {}, {.size = 2}));
  EXPECT_EQ(communicator.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(communicator.status().message()),
              AllOf(HasSubstr("/nowhere/libtunesmith_mpi.so"), HasSubstr("install openmpi-bin")));
  unsetenv("TUNESMITH_MPI_PLUGIN");
}

}  // namespace
}  // namespace tunesmith::trainer
