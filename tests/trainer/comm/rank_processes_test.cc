#include "trainer/comm/mpi_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/file.h"
#include "common/str_cat.h"
#include "tests/trainer/comm/exercise.h"
#include "tests/trainer/comm/run_mpi.h"
#include "trainer/comm/thread_communicator.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

constexpr char kRank[] = TUNESMITH_MPI_RANK_BINARY;

class MpiTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoMpi(); !why.empty()) GTEST_SKIP() << why;
  }

  // Every rank but `culprit` says `cause`, and all is over in time.
  static void ExpectCause(const MpiRun& run, int rank_count, int culprit,
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

TEST_F(MpiTest, ComputesTheBitsThatThreadsDo) {
  for (const int size : {1, 2, 3, 4}) {
    auto communicators = MakeThreadCommunicators(size, std::chrono::seconds(60));
    std::vector<std::string> digests(communicators.size());
    std::vector<std::thread> threads;
    for (size_t r = 0; r < communicators.size(); ++r)
      threads.emplace_back([&, r] { digests[r] = Exercise(*communicators[r]); });
    for (std::thread& thread : threads) thread.join();
    const MpiRun run = RunMpi(size, StrCat(kRank, " exercise"));
    EXPECT_EQ(run.status, 0) << run.output;
    for (size_t r = 0; r < digests.size(); ++r)
      EXPECT_THAT(run.output, HasSubstr(StrCat("rank ", r, ": ", digests[r], "\n")));
  }
}

TEST_F(MpiTest, EveryRankNamesTheOneThatFails) {
  for (const int culprit : {0, 2})
    ExpectCause(RunMpi(3, StrCat(kRank, " fail ", culprit)), 3, -1,
                StrCat("rank ", culprit, " failed: step 3: the loss is nan"));
}

TEST_F(MpiTest, EveryRankNamesTheOneThatDies) {
  for (const int culprit : {0, 2})
    ExpectCause(RunMpi(3, StrCat(kRank, " die ", culprit)), 3, culprit,
                StrCat("rank ", culprit, " (process "));
}

// Processes whose command line holds `mark`.
int CountProcesses(const std::string& mark) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string command{std::istreambuf_iterator<char>(file), {}};
    count += command.find(mark) != std::string::npos;
  }
  return count;
}

// The launcher is killed, as where memory runs out. MPI may end the ranks by itself, or leave them: they then say why they end.
TEST_F(MpiTest, RanksDoNotOutliveTheirLauncher) {
  // What ranks print goes through mpirun, so here it goes into a file.
  const std::string path = StrCat(testing::TempDir(), "tunesmith_orphans_", getpid());
  RunMpi(3, StrCat("sh -c 'exec ", kRank, " orphan 1 ", path, " >>", path, " 2>&1'"));
  for (int i = 0; i < 100 && CountProcesses(path) > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(CountProcesses(path), 0);
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("rank ")) continue;
    EXPECT_THAT(line, HasSubstr("what started the ranks (process "));
  }
  std::remove(path.c_str());
}

TEST_F(MpiTest, EveryRankNamesTheOneThatDoesNotCome) {
  ExpectCause(RunMpi(3, StrCat(kRank, " absent 1")), 3, 1, "no sign of rank 1 in 2 s");
}

TEST_F(MpiTest, WhoHasJoinedNamesTheOneThatHasNot) {
  const std::string board = StrCat(testing::TempDir(), "tunesmith_board_", getpid());
  // Another launch's name counts for nothing.
  ASSERT_TRUE(MakeDirectories(board).ok());
  ASSERT_TRUE(WriteFileAtomically(board + "/rank-1.joining", "another launch").ok());
  ExpectCause(RunMpi(3, StrCat("env RANK_BOARD=", board, " ", kRank, " late 1")), 3, 1,
              "2 s for rank 1 to join");
  std::filesystem::remove_all(board);
}

TEST_F(MpiTest, RanksOfAnotherPlanAreRefused) {
  ExpectCause(RunMpi(3, StrCat(kRank, " differ 1")), 3, -1,
              "different plan digests: a on ranks 0, 2; b on rank 1");
}

TEST_F(MpiTest, AProcessThatNoLauncherStartedIsTold) {
  const MpiRun run = RunMpi(1, StrCat("env OMPI_COMM_WORLD_SIZE=2 ", kRank, " exercise"));
  EXPECT_THAT(run.output, HasSubstr("the environment says rank 0 of 2 (OMPI_COMM_WORLD_SIZE), MPI "
                                    "says rank 0 of 1"));
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
