#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/launcher.h"
#include "server/process.h"
#include "server/rank_launch.h"
#include "tests/common/eventually.h"
#include "tests/common/processes.h"
#include "tests/server/server_process.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;
using ::testing::HasSubstr;

class ShimTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const v1::CreateJobRequest request = TestJob(scratch_, 3);
    *job_.mutable_plan() = request.plan();
    *job_.mutable_spec() = request.spec();
    job_.set_run_directory(scratch_.path() + "/run");
    ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  }

  // Runs an attempt to its end; the shim's exit status.
  int RunAttempt(int64_t attempt, const std::map<std::string, std::string>& environment = {},
                 const std::string& trainer = FakeTrainerPath()) {
    return RunProcess({BinaryPath("tunesmith-shim"), "--run-dir", job_.run_directory(), "--attempt",
                       std::to_string(attempt), "--trainer", trainer, "--grace-seconds", "0.3"},
                      environment)
        .status;
  }

  // Starts the job's present attempt.
  absl::StatusOr<pid_t> SpawnShim(const char* grace_seconds) {
    return Spawn({.arguments = {BinaryPath("tunesmith-shim"), "--run-dir", job_.run_directory(),
                                "--attempt", std::to_string(job_.attempt()), "--trainer",
                                FakeTrainerPath(), "--grace-seconds", grace_seconds},
                  .environment = {},
                  .output_path = scratch_.path() + "/shim.log"});
  }

  v1::JobExit Exit() {
    v1::JobExit exit;
    const absl::Status status =
        convert::ReadJsonFile(InDirectory(job_.run_directory(), convert::kExitFile), &exit);
    EXPECT_TRUE(status.ok()) << status;
    return exit;
  }

  ScratchDirectory scratch_;
  v1::Job job_;
};

TEST_F(ShimTest, LeavesTheTrainersOwnExit) {
  EXPECT_EQ(RunAttempt(1), 0);
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_SUCCEEDED);
  v1::ShimHandle handle;
  ASSERT_TRUE(
      convert::ReadJsonFile(InDirectory(job_.run_directory(), convert::kShimFile), &handle).ok());
  EXPECT_EQ(handle.attempt(), 1);
  EXPECT_GT(handle.trainer_pid(), 0);
  EXPECT_FALSE(IsAlive(handle.pid(), handle.start_ticks()));
}

TEST_F(ShimTest, StartsNothingThatWasForbidden) {
  job_.set_attempt(1);
  ASSERT_TRUE(ForbidAttempt(job_).ok());
  EXPECT_NE(RunAttempt(1), 0) << "it was handed over, and starts late";
  EXPECT_FALSE(std::filesystem::exists(job_.run_directory() + "/starts"));
  EXPECT_EQ(RunAttempt(2), 0);
}

TEST_F(ShimTest, NamesTheSignalThatKilledTheTrainer) {
  EXPECT_EQ(RunAttempt(1, {{"FAKE_CRASH_AT_STEP", "2"}}), 0);
  const v1::JobExit exit = Exit();
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(exit.signal(), 9);
  EXPECT_EQ(exit.exit_code(), 137);
  EXPECT_EQ(exit.last_step(), 2);
  EXPECT_THAT(exit.reason(), HasSubstr("signal 9 (SIGKILL)"));
}

TEST_F(ShimTest, NamesTheStatusOfATrainerThatSaidNothing) {
  EXPECT_EQ(RunAttempt(1, {{"FAKE_EXIT_CODE", "7"}}), 0);
  EXPECT_THAT(Exit().reason(), HasSubstr("status 7"));
}

TEST_F(ShimTest, SaysThatTheTrainerCannotBeStarted) {
  EXPECT_EQ(RunAttempt(1, {}, "/absent/trainer"), 0);
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Exit().reason(), HasSubstr("/absent/trainer"));
}

TEST_F(ShimTest, AnAttemptRunsOnceAndALaterOnePutsTheOldExitAway) {
  EXPECT_EQ(RunAttempt(1, {{"FAKE_EXIT_CODE", "7"}}), 0);
  EXPECT_EQ(RunAttempt(1), 1);
  EXPECT_EQ(Exit().exit_code(), 7);
  EXPECT_EQ(RunAttempt(2), 0);
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(std::filesystem::exists(job_.run_directory() + "/log/exit-1.json"));
  EXPECT_EQ(RunAttempt(1), 1) << "an older attempt must not start";
}

TEST_F(ShimTest, PassesSigtermOnAndKillsAfterTheGrace) {
  for (const bool ignores : {false, true}) {
    job_.set_attempt(ignores ? 2 : 1);
    setenv("FAKE_STEP_MILLISECONDS", "100", 1);
    setenv("FAKE_IGNORE_SIGTERM", ignores ? "1" : "0", 1);
    job_.mutable_spec()->mutable_training()->set_step_count(1000);
    ASSERT_TRUE(PrepareRunDirectory(job_).ok());
    ForgetSteps(job_.run_directory());
    const auto pid = SpawnShim("0.5");
    ASSERT_TRUE(pid.ok()) << pid.status();
    ASSERT_TRUE(AwaitStep(job_.run_directory()));
    kill(*pid, SIGTERM);
    int status = 0;
    waitpid(*pid, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(Exit().state(), v1::JOB_STATE_CANCELLED);
    EXPECT_EQ(Exit().signal(), ignores ? 9 : 0);
  }
}

class RankShimTest : public ShimTest {
 protected:
  void SetUp() override {
    if (std::system("command -v mpirun >/dev/null") != 0)
      GTEST_SKIP() << "mpirun is not installed (openmpi-bin)";
    if (access(BinaryPath("libtunesmith_mpi.so").c_str(), R_OK) != 0)
      GTEST_SKIP() << "the plugin was not built (libopenmpi-dev)";
    unsetenv("FAKE_IGNORE_SIGTERM");  // of another test
    setenv("TUNESMITH_MPI_PLUGIN", BinaryPath("libtunesmith_mpi.so").c_str(), 1);
    ShimTest::SetUp();
    job_.mutable_plan()->mutable_mix()->set_data_parallel(2);
    job_.mutable_plan()->mutable_mix()->set_accumulation_count(1);
    job_.mutable_plan()->mutable_inputs()->mutable_devices()->set_device_count(2);
    job_.mutable_spec()->mutable_training()->set_step_count(1000);
    job_.set_attempt(1);
    ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  }
  void TearDown() override { unsetenv("TUNESMITH_MPI_PLUGIN"); }

  // Command lines of the attempt's processes, mpirun's among them.
  std::vector<std::string> Processes() const {
    std::vector<std::string> found;
    for (const ProcessSeen& process : ProcessesThatNameIt(job_.run_directory())) {
      std::string command = process.command;
      std::replace(command.begin(), command.end(), '\0', ' ');
      if (command.find("tunesmith-shim") == std::string::npos) found.push_back(command);
    }
    return found;
  }

  // The shim, once mpirun and both ranks run and the first one has taken a step.
  pid_t Start() {
    setenv("FAKE_STEP_MILLISECONDS", "100", 1);
    const auto pid = SpawnShim("1");
    unsetenv("FAKE_STEP_MILLISECONDS");
    EXPECT_TRUE(pid.ok()) << pid.status();
    const std::string heartbeat = InDirectory(job_.run_directory(), convert::kHeartbeatFile);
    EXPECT_TRUE(Eventually([&] {
      return Processes().size() == 3 && std::filesystem::exists(heartbeat);
    })) << testing::PrintToString(Processes());
    return pid.value_or(0);
  }
};

TEST_F(RankShimTest, StopsAllRanksAndLeavesNothingBehind) {
  const pid_t shim = Start();
  kill(shim, SIGTERM);
  int status = 0;
  waitpid(shim, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(Processes().empty()) << testing::PrintToString(Processes());
  // The first rank has saved; the other one, which hears nothing, was killed.
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Exit().reason(), "interrupted")
      << std::ifstream(InDirectory(job_.run_directory(), convert::kTrainerLogFile)).rdbuf();
}

TEST_F(RankShimTest, NothingOutlivesAnMpirunThatIsKilled) {
  const pid_t shim = Start();
  v1::ShimHandle handle;
  ASSERT_TRUE(
      convert::ReadJsonFile(InDirectory(job_.run_directory(), convert::kShimFile), &handle).ok());
  kill(static_cast<pid_t>(handle.trainer_pid()), SIGKILL);
  int status = 0;
  waitpid(shim, &status, 0);
  EXPECT_TRUE(Processes().empty()) << testing::PrintToString(Processes());
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Exit().reason(), HasSubstr("signal 9 (SIGKILL)"));
}

TEST_F(RankShimTest, WithoutThePluginOneProcessIsAllRanks) {
  setenv("TUNESMITH_MPI_PLUGIN", "/nowhere/libtunesmith_mpi.so", 1);
  const RankLaunch launch = LaunchOf({.run_directory = "/run", .trainer_path = "/bin/trainer"}, 2);
  EXPECT_EQ(launch.starter, RankStarter::kNone);
  EXPECT_THAT(launch.arguments, testing::ElementsAre("/bin/trainer", "run", "--run-dir", "/run"));
  EXPECT_EQ(RankCountOf(job_.run_directory()), 2);
  EXPECT_EQ(RankCountOf("/nowhere"), 1);
}

class NodeStarterTest : public testing::Test {
 protected:
  // Ranks 2 and 3 of four, which run a script.
  ProcessResult Start(const std::string& script) {
    return RunProcess({BinaryPath("tunesmith-shim"), "ranks", "--count", "2", "--nodes", "2",
                       "--node", "1", "--master", "node-0.job:29500", "--log", log_, "--",
                       "/bin/sh", "-c", script});
  }

  const ScratchDirectory scratch_;
  const std::string log_ = scratch_.path() + "/log";
};

TEST_F(NodeStarterTest, TellsRanksWhoTheyAre) {
  const ProcessResult result = Start(
      "echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK "
      "$MASTER_ADDR:$MASTER_PORT");
  EXPECT_EQ(result.status, 0) << result.errors;
  std::ifstream file(log_);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_THAT(lines, testing::UnorderedElementsAre("2/4 0/2 1 node-0.job:29500",
                                                   "3/4 1/2 1 node-0.job:29500"));
}

TEST_F(NodeStarterTest, EndsAsTheRankThatFailed) {
  EXPECT_EQ(Start("test $RANK = 2 || exit 5").status, 5);
  EXPECT_EQ(Start("test $RANK = 2 || kill -KILL $$").status, 128 + SIGKILL);
  EXPECT_EQ(RunProcess({BinaryPath("tunesmith-shim"), "ranks", "--count", "1", "--nodes", "1",
                        "--node", "0", "--master", "h:1", "--log", log_, "--", "/nowhere/trainer"})
                .status,
            127);
}

TEST(ProcessTest, AProcessIsItsIdAndItsStartTime) {
  const auto ticks = StartTicks(getpid());
  ASSERT_TRUE(ticks.ok());
  EXPECT_TRUE(IsAlive(getpid(), *ticks));
  EXPECT_FALSE(IsAlive(getpid(), *ticks + 1));
  EXPECT_FALSE(IsAlive(0, 0));
}

// Without a descriptor to look with, nobody is known to have ended.
TEST(ProcessTest, WhatCannotBeToldIsNoEnd) {
  const auto ticks = StartTicks(getpid());
  ASSERT_TRUE(ticks.ok());
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status status = StartTicks(getpid()).status();
  const bool alive = IsAlive(getpid(), *ticks);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(alive);
}

TEST(ProcessTest, AZombieIsNotAlive) {
  const ScratchDirectory scratch;
  const auto pid = Spawn(
      {.arguments = {"/bin/true"}, .environment = {}, .output_path = scratch.path() + "/out"});
  ASSERT_TRUE(pid.ok());
  for (int tries = 0; tries < 100 && StartTicks(*pid).ok(); ++tries)
    absl::SleepFor(absl::Milliseconds(10));
  EXPECT_FALSE(StartTicks(*pid).ok());
  waitpid(*pid, nullptr, 0);
}

// A batch script of Slurm's job `id`.
class SlurmShimTest : public ShimTest {
 protected:
  void SetUp() override {
    unsetenv("FAKE_IGNORE_SIGTERM");  // of another test
    ShimTest::SetUp();
  }

  std::vector<std::string> Arguments(int64_t attempt) {
    return {BinaryPath("tunesmith-shim"),
            "--slurm",
            "--run-dir",
            job_.run_directory(),
            "--attempt",
            std::to_string(attempt),
            "--trainer",
            FakeTrainerPath(),
            "--grace-seconds",
            "5",
            "--fence-seconds",
            fence_seconds_};
  }

  ProcessResult RunJob(const std::string& id, int64_t attempt,
                       std::map<std::string, std::string> environment = {}) {
    environment["SLURM_JOB_ID"] = id;
    return RunProcess(Arguments(attempt), environment);
  }

  pid_t SpawnJob(const std::string& id, int64_t attempt, int64_t step_milliseconds) {
    const auto pid =
        Spawn({.arguments = Arguments(attempt),
               .environment = {"SLURM_JOB_ID=" + id,
                               "FAKE_STEP_MILLISECONDS=" + std::to_string(step_milliseconds)},
               .output_path = scratch_.path() + "/shim.log"});
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value_or(0);
  }

  // Its exit status; -1 where it had to be killed.
  int AwaitEnd(pid_t pid) {
    int status = 0;
    for (int i = 0; i < 1000; ++i) {
      if (waitpid(pid, &status, WNOHANG) == pid) return WEXITSTATUS(status);
      absl::SleepFor(absl::Milliseconds(10));
    }
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return -1;
  }

  void AwaitFile(const std::string& name) {
    const std::string path = InDirectory(job_.run_directory(), name);
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(path); })) << path;
  }

  // A claim by a job on a host that nothing is heard of.
  void ClaimFromElsewhere(int64_t attempt, const std::string& id) {
    v1::ShimHandle claim;
    claim.set_attempt(attempt);
    claim.set_pid(1);
    claim.set_cluster_job(id);
    char name[256] = {};
    gethostname(name, sizeof name - 1);
    claim.set_host(name);
    claim.set_process_space("another host of the same name");
    const std::string path = InDirectory(job_.run_directory(), convert::AttemptFile(attempt));
    ASSERT_TRUE(convert::WriteJsonFile(path, claim).ok());
  }

  std::string Starts() const { return Slurp(job_.run_directory() + "/starts"); }

  std::string fence_seconds_ = "2.5";

  v1::ShimHandle Claim(int64_t attempt) {
    v1::ShimHandle claim;
    const std::string path = InDirectory(job_.run_directory(), convert::AttemptFile(attempt));
    EXPECT_TRUE(convert::ReadJsonFile(path, &claim).ok()) << path;
    return claim;
  }
};

TEST_F(SlurmShimTest, TellsItsJobAndEndsAsTheTrainer) {
  EXPECT_EQ(RunJob("17", 1).status, 0);
  EXPECT_EQ(Claim(1).cluster_job(), "17");
  EXPECT_FALSE(Claim(1).host().empty());
  EXPECT_EQ(RunJob("18", 2, {{"FAKE_EXIT_CODE", "3"}}).status, 3);
  EXPECT_THAT(RunProcess(Arguments(3)).errors, HasSubstr("SLURM_JOB_ID"));
}

// A Job of Kubernetes, which takes the status 0 for the end of the work.
TEST_F(SlurmShimTest, ANamedClusterJobThatHasSavedSaysSoByItsStatus) {
  const auto arguments = [&](int64_t attempt) {
    std::vector<std::string> words = Arguments(attempt);
    std::replace(words.begin(), words.end(), std::string("--slurm"),
                 std::string("--cluster-job=j"));
    return words;
  };
  EXPECT_EQ(RunProcess(arguments(1)).status, 0);
  EXPECT_EQ(Claim(1).cluster_job(), "j");
  EXPECT_EQ(RunProcess(arguments(2), {{"FAKE_EXIT_CODE", "3"}}).status, 3);
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  ForgetSteps(job_.run_directory());
  const auto pid = Spawn({.arguments = arguments(3),
                          .environment = {"FAKE_STEP_MILLISECONDS=20"},
                          .output_path = scratch_.path() + "/shim.log"});
  ASSERT_TRUE(pid.ok()) << pid.status();
  AwaitFile("attempt-3");
  ASSERT_TRUE(AwaitStep(job_.run_directory()));
  kill(*pid, SIGTERM);
  EXPECT_EQ(AwaitEnd(*pid), 75);
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_CANCELLED);
}

// Somebody requeues a job whose server has long gone on with another.
TEST_F(SlurmShimTest, AnOldJobThatIsStartedAgainEndsAtOnce) {
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  job_.mutable_spec()->set_checkpoint_every_step_count(5);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  RunJob("17", 1, {{"FAKE_CRASH_AT_STEP", "1"}});
  const pid_t present = SpawnJob("18", 2, 20);
  AwaitFile("checkpoints");  // it trains, and listens
  EXPECT_EQ(AwaitEnd(SpawnJob("17", 1, 20)), 1);
  EXPECT_FALSE(std::filesystem::exists(job_.run_directory() + "/attempt-3"));
  kill(present, SIGTERM);
  EXPECT_EQ(AwaitEnd(present), 0) << "and the other one heard nothing of it";
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_CANCELLED);
}

TEST_F(SlurmShimTest, AJobThatHasEndedIsNotStartedAgain) {
  EXPECT_EQ(RunJob("17", 1).status, 0);
  const ProcessResult again = RunJob("17", 1);
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.errors, HasSubstr("has ended"));
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_SUCCEEDED) << "and its word stays";
}

// Slurm has given a node up that still runs the job.
TEST_F(SlurmShimTest, ANewerAttemptEndsTheOneThatNobodySees) {
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  const pid_t old_shim = SpawnJob("17", 1, 20);
  AwaitFile("starts");
  const pid_t new_shim = SpawnJob("17", 1, 20);
  EXPECT_EQ(AwaitEnd(old_shim), 1) << "superseded";
  for (int i = 0; i < 500 && Claim(2).pid() == 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  absl::SleepFor(absl::Seconds(4));
  kill(new_shim, SIGTERM);
  EXPECT_EQ(AwaitEnd(new_shim), 0);
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_FALSE(std::filesystem::exists(job_.run_directory() + "/double_launch"));
}

// Slurm has queued job 17 again while the server went on with job 18: it trains when the other is known to have ended, long before the
// fence's time is over.
TEST_F(SlurmShimTest, AnotherJobsAttemptIsWaitedFor) {
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  fence_seconds_ = "60";
  const pid_t old_shim = SpawnJob("17", 1, 20);
  AwaitFile("starts");
  const pid_t new_shim = SpawnJob("18", 2, 20);
  AwaitFile("log/exit-1.json");
  for (int i = 0; i < 1000 && Starts() != "1\n2\n"; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(Starts(), "1\n2\n");
  EXPECT_EQ(AwaitEnd(old_shim), 1) << "superseded";
  kill(new_shim, SIGTERM);
  EXPECT_EQ(AwaitEnd(new_shim), 0);
  EXPECT_FALSE(std::filesystem::exists(job_.run_directory() + "/double_launch"));
}

// Of attempts on a node that answers nobody, the newest waits the fence's time, says so, and no other starts.
TEST_F(SlurmShimTest, WhatWasSupersededWhileItWaitedNeverStarts) {
  ClaimFromElsewhere(1, "17");
  const pid_t overtaken = SpawnJob("18", 2, 5);
  AwaitFile("attempt-2");
  const absl::Time start = absl::Now();
  const pid_t newest = SpawnJob("19", 3, 5);
  EXPECT_EQ(AwaitEnd(overtaken), 1);
  EXPECT_EQ(AwaitEnd(newest), 0);
  EXPECT_GT(absl::Now() - start, absl::Seconds(2.5));
  EXPECT_EQ(Starts(), "3\n");
  EXPECT_EQ(Exit().state(), v1::JOB_STATE_SUCCEEDED);
  const std::string log = Slurp(scratch_.path() + "/shim.log");
  EXPECT_THAT(log, HasSubstr("attempt 2 waits 2.5s at most for attempt 1"));
  EXPECT_THAT(Slurp(job_.run_directory() + "/log/exit-1.json"), HasSubstr("END_CAUSE_LOST"));
}

TEST_F(SlurmShimTest, SeveralNodesNeedMpirun) {
  job_.mutable_plan()->mutable_mix()->set_data_parallel(2);
  job_.mutable_plan()->mutable_mix()->set_accumulation_count(1);
  job_.mutable_plan()->mutable_inputs()->mutable_devices()->set_device_count(2);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  RunJob("17", 1, {{"SLURM_JOB_NUM_NODES", "2"}});
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(Exit().cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(Exit().reason(), HasSubstr("mpirun"));
}

}  // namespace
}  // namespace tunesmith::server
