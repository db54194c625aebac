#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "tests/server/cluster_jobs.h"
#include "tests/server/server_process.h"
#include "tests/server/slurm_cluster.h"

// The server on a real Slurm, through all that can happen to a job there.
namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SlurmTest : public ClusterJobsTest {
 protected:
  void SetUp() override {
    if (const std::string why = SlurmCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    cluster_ = std::make_unique<SlurmCluster>();
  }

  void StartServer(const std::map<std::string, std::string>& environment = {},
                   std::vector<std::string> more_flags = {}) {
    std::vector<std::string> flags = {
        "--launchers",           "slurm,host", "--slurm-poll-seconds", "0.2",
        "--slurm-fence-seconds", "2.5",        "--grace-seconds",      "5"};
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    ClusterJobsTest::StartServer(flags, environment);
  }

  // A job that Slurm has queued again waits for two minutes, unless it is told not to.
  void StartNow(const std::string& name) {
    Await(name, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_LAUNCHING; });
    const std::string id = cluster_->NewestJob();
    for (int i = 0; i < 100 && cluster_->JobField(id, "JobState") != "PENDING"; ++i)
      absl::SleepFor(absl::Milliseconds(50));
    // Slurm's credentials are of whole seconds: a job that is started in the second in which it was queued again is taken for the one before.
    absl::SleepFor(absl::Milliseconds(1500));
    cluster_->Run({"scontrol", "update", "jobid=" + id, "StartTime=now"});
  }

  // All nodes are taken until the job is cancelled.
  void TakeAllNodes() {
    cluster_->Run({"sbatch", "--nodes=4", "--exclusive", "--time=10", "--output=/dev/null",
                   "--wrap=sleep 600"});
    for (int i = 0; i < 100 && cluster_->JobField("1", "JobState") != "RUNNING"; ++i)
      absl::SleepFor(absl::Milliseconds(50));
    ASSERT_EQ(cluster_->JobField("1", "JobState"), "RUNNING");
  }

  std::unique_ptr<SlurmCluster> cluster_;
};

TEST_F(SlurmTest, AJobIsSubmittedWatchedAndFinished) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "100"}});
  const std::string name = Create(Request(6));
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_COMPLETED);
  EXPECT_EQ(job.launcher(), "slurm");
  EXPECT_EQ(job.summary().step(), 6);
  EXPECT_EQ(cluster_->JobField("1", "JobName"), "tunesmith-" + job.uid() + "-1");
  EXPECT_EQ(cluster_->JobField("1", "JobState"), "COMPLETED");
  const std::vector<std::string> told = Told(name);
  EXPECT_EQ(told.front(), "QUEUED");
  EXPECT_THAT(told, Contains("RUNNING"));
  EXPECT_EQ(told.back(), "SUCCEEDED");
}

TEST_F(SlurmTest, ATrainerThatFailsFailsTheJobAndSlurmsRecord) {
  StartServer({{"FAKE_EXIT_CODE", "3"}});
  const v1::Job job = server_->WaitFor(Create(Request(6)));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_TRAINER_FAILED);
  EXPECT_THAT(job.reason(), HasSubstr("status 3"));
  for (int i = 0; i < 100 && cluster_->JobField("1", "JobState") != "FAILED"; ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(cluster_->JobField("1", "ExitCode"), "3:0");
}

TEST_F(SlurmTest, AWaitingJobSaysForWhatAndUntilWhenAndIsCancelled) {
  TakeAllNodes();
  StartServer();
  const std::string name = Create(Request(6));
  const v1::Job waiting =
      Await(name, [](const v1::Job& job) { return job.has_expected_start_time(); });
  EXPECT_EQ(waiting.state(), v1::JOB_STATE_LAUNCHING);
  EXPECT_THAT(waiting.reason(), HasSubstr("Slurm job 2 waits: Resources (for nodes"));
  const double wait = static_cast<double>(waiting.expected_start_time().seconds()) -
                      absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  EXPECT_GT(wait, 8 * 60);
  EXPECT_LT(wait, 11 * 60) << "the job that it waits for has ten minutes";
  const ProcessResult shown =
      RunProcess({BinaryPath("tunesmith"), "--server", server_->address(), "jobs", "get", name});
  EXPECT_THAT(shown.output, AllOf(HasSubstr("Resources"), HasSubstr("as expected now")));
  Cancel(name);
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_EQ(cluster_->JobField("2", "JobState"), "CANCELLED");
  EXPECT_THAT(Told(name), Contains(HasSubstr("LAUNCHING: Slurm job 2 waits: Resources")));
  const ProcessResult watched =
      RunProcess({BinaryPath("tunesmith"), "--server", server_->address(), "jobs", "watch", name});
  EXPECT_THAT(watched.errors, HasSubstr("expected to start"));
}

TEST_F(SlurmTest, ARunningJobThatIsCancelledSavesFirst) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 3);
  Cancel(name);
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_GE(job.progress().step(), 3);
}

TEST_F(SlurmTest, AJobThatSomebodyCancelsInSlurmIsNotQueuedAgain) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 2);
  cluster_->Run({"scancel", "1"});
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
}

TEST_F(SlurmTest, AJobThatIsRequeuedGoesOnAsTheNextAttempt) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "30"}});
  const std::string name = Create(Request(60));
  const int64_t reached = AwaitStep(name, 5).progress().step();
  cluster_->Run({"scontrol", "requeue", "1"});
  StartNow(name);
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_EQ(job.summary().step(), 60);
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
  EXPECT_FALSE(RanTwiceAtOnce(job));
  EXPECT_EQ(cluster_->NewestJob(), "1") << "the same job of Slurm";
  EXPECT_THAT(Told(name), Contains(HasSubstr("slurm has queued the job again")));
  int64_t first_of_second = 0;
  bool requeued = false;
  for (const v1::Event& event : server_->Watch(name)) {
    requeued |= event.state_changed().reason().find("queued the job again") != std::string::npos;
    if (requeued && event.has_progress() && first_of_second == 0)
      first_of_second = event.progress().step();
  }
  EXPECT_GE(first_of_second, reached) << "from its checkpoint";
}

// What Slurm does by itself before the time limit, sent at once.
TEST_F(SlurmTest, AWarningMakesItSaveAndQueueAgain) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "30"}});
  const std::string name = Create(Request(60));
  AwaitStep(name, 5);
  cluster_->Run({"scancel", "--batch", "--signal=USR1", "1"});
  StartNow(name);
  EXPECT_EQ(cluster_->JobField("1", "Restarts"), "1");
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
}

TEST_F(SlurmTest, AJobWhoseNodeGoesDownIsStartedAgain) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "30"}});
  const std::string name = Create(Request(60));
  AwaitStep(name, 5);
  cluster_->SetNodeDown(cluster_->JobField("1", "NodeList"));
  StartNow(name);
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(cluster_->JobField("1", "Restarts"), "1");
  EXPECT_FALSE(RanTwiceAtOnce(job));
  EXPECT_EQ(job.attempt(), 2);
}

TEST_F(SlurmTest, JobsOutliveTheController) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "50"}});
  const std::string running = Create(Request(100));
  AwaitStep(running, 2);
  cluster_->KillController();
  const std::string waiting = Create(Request(5));
  Await(waiting, [](const v1::Job& job) {
    return job.reason().find("does not answer") != std::string::npos ||
           job.reason().find("Unable to contact") != std::string::npos;
  });
  EXPECT_EQ(Get(waiting).state(), v1::JOB_STATE_LAUNCHING);
  EXPECT_EQ(Get(running).state(), v1::JOB_STATE_RUNNING) << "silence is no end";
  cluster_->StartController();
  for (const std::string& name : {running, waiting}) {
    const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 120);
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
    EXPECT_FALSE(RanTwiceAtOnce(job));
  }
}

TEST_F(SlurmTest, WhatTheClusterRefusesIsToldBeforeAndAfterSubmitting) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  request.mutable_slurm()->set_partition("nowhere");
  request.set_validate_only(true);
  v1::CreateJobResponse response;
  const grpc::Status refused = Create(request, response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("invalid partition"));
  EXPECT_THAT(refused.error_details(), HasSubstr("CLUSTER_REFUSES"));
  request.set_validate_only(false);
  const v1::Job job = server_->WaitFor(Create(request));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(job.reason(), HasSubstr("invalid partition"));
  request.mutable_slurm()->set_partition("gpu");
  request.mutable_slurm()->add_options("constraint=a100");
  const v1::Job constrained = server_->WaitFor(Create(request));
  EXPECT_EQ(constrained.cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(constrained.reason(), HasSubstr("sbatch"));
}

TEST_F(SlurmTest, ValidationShowsTheScriptAndTheStart) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  request.set_validate_only(true);
  request.mutable_slurm()->mutable_time_limit()->set_seconds(3600);
  v1::CreateJobResponse response;
  ASSERT_TRUE(Create(request, response).ok());
  EXPECT_THAT(response.submission().outlook(), HasSubstr("Slurm would start it: to start at 20"));
  EXPECT_THAT(response.submission().files(0).text(),
              AllOf(HasSubstr("#SBATCH --time=60\n"), HasSubstr("#SBATCH --signal=B:USR1@65\n")));
  EXPECT_EQ(cluster_->NewestJob(), "0") << "nothing was submitted";
}

TEST_F(SlurmTest, RefusesWhatIsNotSlurmsOrNotHarmless) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  v1::CreateJobResponse response;
  request.mutable_slurm()->add_options("comment=$(touch /tmp/x)");
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("has the character"));
  request.mutable_slurm()->set_options(0, "wrap=id");
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("is set by Tunesmith"));
  request.mutable_slurm()->clear_options();
  request.mutable_slurm()->mutable_time_limit()->set_seconds(65);
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("leaves no time to train"));
  request.mutable_slurm()->mutable_time_limit()->set_seconds(3600);
  request.set_cluster("clusters/host");
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("clusters/slurm"));
  request.clear_cluster();
  request.mutable_spec()->set_thread_count(0);
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("--threads"));
}

TEST_F(SlurmTest, TheClusterIsDescribed) {
  TakeAllNodes();
  StartServer();
  grpc::ClientContext context;
  v1::ListClustersResponse clusters;
  ASSERT_TRUE(
      server_->clusters().ListClusters(&context, v1::ListClustersRequest(), &clusters).ok());
  ASSERT_EQ(clusters.clusters_size(), 2);
  EXPECT_EQ(clusters.clusters(0).name(), "clusters/slurm");
  EXPECT_EQ(clusters.clusters(0).gpu_count(), 32);
  EXPECT_EQ(clusters.clusters(0).free_gpu_count(), 0) << "of nodes that are taken whole";
  EXPECT_EQ(clusters.clusters(0).cpu_thread_count(), 256);
  EXPECT_EQ(clusters.clusters(0).free_cpu_thread_count(), 0);
}

// Slurm's clock counts minutes: one job is warned by it, saves and goes on; another one, whose trainer does not listen, is ended by it.
TEST_F(SlurmTest, SlowTimeLimits) {
  StartServer({{"FAKE_STEP_MILLISECONDS", "200"}});
  v1::CreateJobRequest request = Request(450);
  request.mutable_slurm()->mutable_time_limit()->set_seconds(120);
  const std::string warned = Create(request);
  AwaitStep(warned, 1);
  ServerProcess deaf(
      scratch_.path() + "/deaf", {{"FAKE_STEP_MILLISECONDS", "200"}, {"FAKE_IGNORE_SIGTERM", "1"}},
      {"--launchers", "slurm", "--slurm-poll-seconds", "0.2", "--grace-seconds", "600"});
  grpc::ClientContext context;
  v1::CreateJobResponse made;
  ASSERT_TRUE(deaf.jobs().CreateJob(&context, Request(kMany), &made).ok());
  deaf.WaitFor(made.job().name(), v1::JOB_STATE_RUNNING);
  cluster_->Run({"scontrol", "update", "jobid=2", "TimeLimit=1"});
  const absl::Time deadline = absl::Now() + absl::Seconds(240);
  while (Get(warned).state() != v1::JOB_STATE_SUCCEEDED && absl::Now() < deadline) {
    if (cluster_->JobField("1", "JobState") == "PENDING") {
      absl::SleepFor(absl::Milliseconds(1500));
      cluster_->Run({"scontrol", "update", "jobid=1", "StartTime=now"});
    }
    absl::SleepFor(absl::Seconds(1));
  }
  const v1::Job went_on = Get(warned);
  EXPECT_EQ(went_on.state(), v1::JOB_STATE_SUCCEEDED) << went_on.reason();
  EXPECT_GE(went_on.attempt(), 2);
  EXPECT_EQ(went_on.summary().step(), 450);
  EXPECT_EQ(cluster_->JobField("1", "Restarts"), std::to_string(went_on.attempt() - 1));
  const v1::Job ended = deaf.WaitFor(made.job().name(), v1::JOB_STATE_UNSPECIFIED, 120);
  EXPECT_EQ(ended.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(ended.cause(), v1::END_CAUSE_TIME_LIMIT) << ended.reason();
  EXPECT_THAT(ended.reason(), HasSubstr("reached its time limit"));
  EXPECT_EQ(cluster_->JobField("2", "JobState"), "TIMEOUT");
}

}  // namespace
}  // namespace tunesmith::server
