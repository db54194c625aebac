#include "server/launch/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>

#include "absl/time/clock.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/host_launcher.h"
#include "server/launch/kubernetes/kubernetes_launcher.h"
#include "server/launch/slurm/slurm_launcher.h"
#include "server/migrations.h"
#include "server/process.h"
#include "tests/server/kubernetes_cluster.h"
#include "tests/server/runner_socket.h"
#include "tests/server/server_process.h"
#include "tests/server/slurm_cluster.h"

// What the supervisor counts on, of every launcher. A new one is added to the list at the end.
namespace tunesmith::server {
namespace {

using Phase = AttemptView::Phase;
using ::testing::HasSubstr;

// Where a launcher's jobs run, while the object lives.
class Place {
 public:
  virtual ~Place() = default;
  // A launcher of jobs whose files are in `scratch`, each time as of another process.
  virtual std::unique_ptr<Launcher> Make(const ScratchDirectory& scratch) = 0;
  // A variable for attempts that are started from now on; "" takes it away.
  virtual void Set(const std::string& name, const std::string& value) {
    if (value.empty()) unsetenv(name.c_str());
    if (!value.empty()) setenv(name.c_str(), value.c_str(), 1);
  }
};

struct LauncherKind {
  const char* name;
  std::function<std::string()> why_absent;
  std::function<std::unique_ptr<Place>()> make;
};

class LauncherTest : public ::testing::TestWithParam<LauncherKind> {
 protected:
  void SetUp() override {
    if (const std::string why = GetParam().why_absent(); !why.empty()) GTEST_SKIP() << why;
    place_ = GetParam().make();
    place_->Set("FAKE_STEP_MILLISECONDS", "5");
    launcher_ = place_->Make(scratch_);
    const v1::CreateJobRequest request = TestJob(scratch_, 5);
    *job_.mutable_plan() = request.plan();
    *job_.mutable_spec() = request.spec();
    job_.mutable_spec()->set_device("cpu");
    job_.mutable_spec()->set_thread_count(1);
    job_.set_name("jobs/job-1");
    job_.set_uid(NewUid());
    job_.set_attempt(1);
    job_.set_run_directory(scratch_.path() + "/run");
    ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  }
  void TearDown() override {
    if (place_) place_->Set("FAKE_STEP_MILLISECONDS", "");
  }

  std::string Start() {
    const auto handle = launcher_->Start(job_);
    EXPECT_TRUE(handle.ok()) << handle.status();
    return handle.value_or("");
  }

  // The view once it is in this phase.
  AttemptView Await(const std::string& handle, Phase phase) {
    AttemptView view;
    for (int tries = 0; tries < 1000; ++tries) {
      const auto looked = launcher_->Look(job_, handle);
      EXPECT_TRUE(looked.ok()) << looked.status();
      if (looked.ok()) view = *looked;
      if (view.phase == phase || !looked.ok()) return view;
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "not reached";
    return view;
  }

  std::vector<std::string> Starts() {
    std::ifstream file(job_.run_directory() + "/starts");
    std::vector<std::string> attempts;
    for (std::string line; std::getline(file, line);) attempts.push_back(line);
    return attempts;
  }

  v1::ShimHandle Shim() {
    v1::ShimHandle handle;
    const std::string path = convert::InDirectory(job_.run_directory(), convert::kShimFile);
    EXPECT_TRUE(convert::ReadJsonFile(path, &handle).ok());
    return handle;
  }

  ScratchDirectory scratch_;
  std::unique_ptr<Place> place_;
  std::unique_ptr<Launcher> launcher_;
  v1::Job job_;
};

TEST_P(LauncherTest, AnAttemptRunsToItsEnd) {
  const std::string handle = Start();
  EXPECT_FALSE(handle.empty());
  const AttemptView view = Await(handle, Phase::kEnded);
  EXPECT_EQ(view.exit.state(), v1::JOB_STATE_SUCCEEDED) << view.exit.reason();
}

TEST_P(LauncherTest, OnlyWhatWasStartedIsFound) {
  EXPECT_EQ(*launcher_->Find(job_), "");
  Start();
  std::string found;
  for (int tries = 0; tries < 250 && found.empty(); ++tries) {
    absl::SleepFor(absl::Milliseconds(20));
    found = launcher_->Find(job_).value_or("");
  }
  ASSERT_FALSE(found.empty());
  const std::unique_ptr<Launcher> later = place_->Make(scratch_);
  EXPECT_FALSE(later->Find(job_)->empty()) << "by a launcher that did not start it";
  EXPECT_EQ(Await(found, Phase::kEnded).exit.state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_P(LauncherTest, StartingTwiceRunsOnce) {
  const std::string first = Start();
  const std::string second = Start();
  EXPECT_EQ(Await(second, Phase::kEnded).exit.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Await(first, Phase::kEnded).exit.state(), v1::JOB_STATE_SUCCEEDED);
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_THAT(Starts(), ::testing::ElementsAre("1"));
  EXPECT_FALSE(std::filesystem::exists(job_.run_directory() + "/double_launch"));
}

// When job.json was written is the date of the job's chat template.
TEST_P(LauncherTest, PreparingAgainKeepsTheTimeOfTheFirst) {
  const std::string path = job_.run_directory() + "/job.json";
  const auto then = std::filesystem::last_write_time(path) - std::chrono::hours(48);
  std::filesystem::last_write_time(path, then);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  EXPECT_EQ(std::filesystem::last_write_time(path), then);
  job_.mutable_spec()->mutable_training()->set_step_count(7);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  EXPECT_EQ(std::filesystem::last_write_time(path), then);
  v1::JobSpec spec;
  ASSERT_TRUE(convert::ReadJsonFile(path, &spec).ok());
  EXPECT_EQ(spec.training().step_count(), 7);
}

TEST_P(LauncherTest, ACancelledAttemptSavesAndEnds) {
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  const std::string handle = Start();
  Await(handle, Phase::kRunning);
  ASSERT_TRUE(AwaitStep(job_.run_directory()));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(launcher_->Cancel(job_, handle).ok());
  const AttemptView view = Await(handle, Phase::kEnded);
  EXPECT_EQ(view.exit.state(), v1::JOB_STATE_CANCELLED) << view.exit.reason();
  EXPECT_TRUE(std::filesystem::exists(job_.run_directory() + "/checkpoints"));
}

TEST_P(LauncherTest, ALostShimTakesItsTrainerAlong) {
  job_.mutable_spec()->mutable_training()->set_step_count(100000);
  ASSERT_TRUE(PrepareRunDirectory(job_).ok());
  const std::string handle = Start();
  Await(handle, Phase::kRunning);
  ASSERT_TRUE(AwaitStep(job_.run_directory()));
  const v1::ShimHandle shim = Shim();
  ASSERT_GT(shim.trainer_pid(), 0);
  SignalProcess(shim.pid(), shim.start_ticks(), SIGKILL);
  const AttemptView view = Await(handle, Phase::kEnded);
  EXPECT_EQ(view.exit.cause(), v1::END_CAUSE_LOST) << view.exit.reason();
  EXPECT_FALSE(IsAlive(shim.trainer_pid(), shim.trainer_start_ticks()));
}

// The exit that an earlier attempt left is not taken for that of one that was lost before it could put it away.
TEST_P(LauncherTest, AnOldExitIsNotTakenForANewOne) {
  Await(Start(), Phase::kEnded);
  job_.set_attempt(2);
  place_->Set("TUNESMITH_FAIL_POINT", "shim_claimed");
  const std::string handle = Start();
  EXPECT_EQ(Await(handle, Phase::kEnded).exit.cause(), v1::END_CAUSE_LOST);
  place_->Set("TUNESMITH_FAIL_POINT", "");
  EXPECT_THAT(Starts(), ::testing::ElementsAre("1"));
}

TEST_P(LauncherTest, WhatIsRenderedNamesTheRunDirectory) {
  const auto submission = launcher_->Render(job_);
  ASSERT_TRUE(submission.ok()) << submission.status();
  EXPECT_EQ(submission->launcher(), launcher_->name());
  EXPECT_THAT(submission->ShortDebugString(), HasSubstr(job_.run_directory()));
}

TEST_P(LauncherTest, AnswersEveryJobOfTheQueue) {
  const auto claim = launcher_->Check(job_);
  ASSERT_TRUE(claim.ok()) << claim.status();
  *job_.mutable_claim() = *claim;
  EXPECT_EQ(launcher_->Admit({job_, job_, job_}, {job_}).size(), 3u);
  EXPECT_TRUE(launcher_->Admit({job_}, {})[0].admitted);
  EXPECT_EQ(launcher_->Describe({job_}).launcher(), launcher_->name());
}

class ThisHost : public Place {
 public:
  std::unique_ptr<Launcher> Make(const ScratchDirectory&) override {
    return std::make_unique<HostLauncher>(
        HostLauncherOptions{.shim_path = BinaryPath("tunesmith-shim"),
                            .trainer_path = FakeTrainerPath(),
                            .runner_socket = {},
                            .grace = absl::Seconds(5),
                            .capacity = CapacityOfThisHost()});
  }
};

class ByRunner : public Place {
 public:
  std::unique_ptr<Launcher> Make(const ScratchDirectory&) override {
    return std::make_unique<HostLauncher>(HostLauncherOptions{.shim_path = {},
                                                              .trainer_path = {},
                                                              .runner_socket = socket_.path(),
                                                              .grace = absl::Seconds(5),
                                                              .capacity = CapacityOfThisHost()});
  }
  void Set(const std::string& name, const std::string& value) override { socket_.Set(name, value); }

 private:
  RunnerSocket socket_;
};

class OnSlurm : public Place {
 public:
  std::unique_ptr<Launcher> Make(const ScratchDirectory&) override {
    return std::make_unique<SlurmLauncher>(
        SlurmLauncherOptions{.shim_path = std::filesystem::absolute(BinaryPath("tunesmith-shim")),
                             .trainer_path = FakeTrainerPath(),
                             .grace = absl::Seconds(5),
                             .defaults = {},
                             .poll_interval = absl::Milliseconds(200)});
  }

 private:
  SlurmCluster cluster_;
};

class OnKubernetes : public Place {
 public:
  std::unique_ptr<Launcher> Make(const ScratchDirectory& scratch) override {
    return std::make_unique<KubernetesLauncher>(
        KubernetesLauncherOptions{.context = {},
                                  .image = "registry.example/tunesmith:1",
                                  .shim_path = cluster_.BinaryDirectory() + "/tunesmith-shim",
                                  .trainer_path = cluster_.BinaryDirectory() + "/tunesmith-trainer",
                                  .volumes = {{"shared", scratch.path()}},
                                  .queue = {},
                                  .priority_class = {},
                                  .node_selector = {},
                                  .grace = absl::Seconds(5),
                                  .poll_interval = absl::Milliseconds(200)});
  }
  void Set(const std::string& name, const std::string& value) override {
    environment_[name] = value;
    if (value.empty()) environment_.erase(name);
    cluster_.Do("set", {{"pod_environment", environment_}});
  }

 private:
  KubernetesCluster cluster_;
  std::map<std::string, std::string> environment_;
};

template <typename Kind>
std::unique_ptr<Place> MakePlace() {
  return std::make_unique<Kind>();
}

INSTANTIATE_TEST_SUITE_P(
    All, LauncherTest,
    ::testing::Values(LauncherKind{"host", [] { return std::string(); }, MakePlace<ThisHost>},
                      LauncherKind{"runner", RunnerSocket::WhyAbsent, MakePlace<ByRunner>},
                      LauncherKind{"slurm", SlurmCluster::WhyAbsent, MakePlace<OnSlurm>},
                      LauncherKind{"kubernetes", KubernetesCluster::WhyAbsent,
                                   MakePlace<OnKubernetes>}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace tunesmith::server
