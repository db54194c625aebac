#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "server/launch/kubernetes/kubernetes_launcher.h"
#include "tests/server/cluster_jobs.h"
#include "tests/server/kubernetes_cluster.h"

// The server on Kubernetes, through all that can happen to a job there: by the real kubectl, with a test API server.
namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class KubernetesTest : public ClusterJobsTest {
 protected:
  void SetUp() override {
    if (const std::string why = KubernetesCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    cluster_ = std::make_unique<KubernetesCluster>();
  }

  void StartServer(const std::map<std::string, std::string>& environment = {},
                   std::vector<std::string> more_flags = {}) {
    // Pods are children of the API server, and take from the test what they are to do.
    std::vector<std::string> flags = {"--launchers",
                                      "kubernetes,host",
                                      "--kubernetes-poll-seconds",
                                      "0.3",
                                      "--kubernetes-fence-seconds",
                                      "2.5",
                                      "--grace-seconds",
                                      "5"};
    for (const std::string& flag : cluster_->Flags(scratch_.path())) flags.push_back(flag);
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    ClusterJobsTest::StartServer(flags, environment);
  }

  // What trainers in pods find in their environment.
  void SetSteps(int64_t milliseconds) {
    cluster_->Do("set", {{"pod_environment", {{"FAKE_STEP_MILLISECONDS", StrCat(milliseconds)}}}});
  }

  static std::string JobName(const v1::Job& job, int64_t number) {
    return StrCat("tunesmith-", job.uid(), "-", number);
  }

  std::unique_ptr<KubernetesCluster> cluster_;
};

TEST_F(KubernetesTest, AJobIsSubmittedWatchedAndFinished) {
  SetSteps(300);  // long enough to be seen running on a busy host
  StartServer();
  const std::string name = Create(Request(6));
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_COMPLETED);
  EXPECT_EQ(job.launcher(), "kubernetes");
  EXPECT_EQ(job.summary().step(), 6);
  const std::vector<std::string> told = Told(name);
  EXPECT_EQ(told.front(), "QUEUED");
  EXPECT_THAT(told, Contains("RUNNING"));
  EXPECT_EQ(told.back(), "SUCCEEDED");
  const auto jobs = cluster_->Objects("Job");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0]["metadata"]["name"], JobName(job, 1));
  EXPECT_EQ(cluster_->Objects("Pod").size(), 1u);
}

TEST_F(KubernetesTest, ATrainerThatFailsIsNotTriedAgain) {
  cluster_->Do("set", {{"pod_environment", {{"FAKE_EXIT_CODE", "3"}}}});
  StartServer();
  const v1::Job job = server_->WaitFor(Create(Request(6)));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_TRAINER_FAILED);
  EXPECT_THAT(job.reason(), HasSubstr("status 3"));
  EXPECT_EQ(cluster_->Objects("Pod").size(), 1u);
  EXPECT_EQ(cluster_->Objects("Job")[0]["status"]["conditions"][0]["reason"], "PodFailurePolicy");
}

TEST_F(KubernetesTest, AWaitingJobSaysForWhatAndIsCancelled) {
  cluster_->Do("set", {{"schedulable", false}});
  StartServer();
  const std::string name = Create(Request(6));
  const v1::Job waiting = AwaitReason(name, "Unschedulable: 0/3 nodes are available");
  EXPECT_EQ(waiting.state(), v1::JOB_STATE_LAUNCHING);
  Cancel(name);
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_TRUE(cluster_->Objects("Job").empty());
  EXPECT_TRUE(Starts(job).empty());
}

TEST_F(KubernetesTest, AnImageThatCannotBePulledIsNamed) {
  cluster_->Do("set",
               {{"image_problem", "Back-off pulling image \"registry.example/tunesmith:1\""}});
  StartServer();
  const std::string name = Create(Request(6));
  AwaitReason(name, "ImagePullBackOff: Back-off pulling image");
  cluster_->Do("set", {{"image_problem", ""}});
  EXPECT_EQ(server_->WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(KubernetesTest, ARunningJobThatIsCancelledSavesFirst) {
  SetSteps(20);
  StartServer();
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 3);
  Cancel(name);
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_GE(job.progress().step(), 3);
  EXPECT_TRUE(cluster_->Objects("Job").empty());
  EXPECT_TRUE(cluster_->Objects("Pod").empty());
}

TEST_F(KubernetesTest, AJobThatSomebodyDeletesIsCancelledAndCanBeResumed) {
  SetSteps(30);
  StartServer();
  const std::string name = Create(Request(60));
  AwaitStep(name, 2);
  cluster_->Do("delete_jobs");
  v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_THAT(job.reason(), HasSubstr("was deleted"));
  Resume(name);
  Await(name, [](const v1::Job& now) { return now.state() == v1::JOB_STATE_RUNNING; });
  job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
  EXPECT_EQ(cluster_->Objects("Job")[0]["metadata"]["name"], JobName(job, 2));
}

// As `kubectl delete job` does: the Job is gone at once, and its pod saves.
TEST_F(KubernetesTest, AJobThatIsDeletedWithoutItsPodIsWaitedFor) {
  SetSteps(3000);
  StartServer();
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 1);
  cluster_->Do("delete_jobs", {{"in_background", true}});
  EXPECT_TRUE(cluster_->Objects("Job").empty());
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_TRUE(cluster_->Objects("Pod").empty());
}

TEST_F(KubernetesTest, AnImageWithoutTheShimIsToldOf) {
  const std::string shim = cluster_->BinaryDirectory() + "/tunesmith-shim";
  std::filesystem::remove(shim);
  StartServer();
  const v1::Job job = server_->WaitFor(Create(Request(5)));
  EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED) << job.reason();
  EXPECT_THAT(job.reason(), HasSubstr(shim));
}

TEST_F(KubernetesTest, AnEvictedPodIsReplacedAndGoesOnAsTheNextAttempt) {
  SetSteps(30);
  StartServer();
  const std::string name = Create(Request(60));
  const int64_t reached = AwaitStep(name, 5).progress().step();
  cluster_->Do("set", {{"schedulable", false}});
  cluster_->Do("evict");
  const v1::Job waiting = Await(name, [](const v1::Job& job) {
    return job.state() == v1::JOB_STATE_LAUNCHING &&
           job.reason().find("Unschedulable") != std::string::npos;
  });
  cluster_->Do("set", {{"schedulable", true}});
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_EQ(job.summary().step(), 60);
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
  EXPECT_FALSE(RanTwiceAtOnce(job));
  EXPECT_EQ(cluster_->Objects("Job").size(), 1u) << "the same Job";
  EXPECT_THAT(Told(name), Contains(HasSubstr("kubernetes has queued the job again")));
  const auto events = server_->Watch(name);
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [&](const v1::Event& event) {
    return event.checkpoint_saved().step() >= reached;
  }));
}

TEST_F(KubernetesTest, APodThatSomebodyDeletesIsReplaced) {
  SetSteps(30);
  StartServer();
  const std::string name = Create(Request(60));
  AwaitStep(name, 5);
  cluster_->Do("delete_pods");
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
  EXPECT_EQ(cluster_->Objects("Job").size(), 1u) << "the same Job";
}

// A Job that has the name of ours, and is none of ours, is neither taken for it nor touched.
TEST_F(KubernetesTest, AJobOfAnotherOwnerIsLeftAlone) {
  KubernetesLauncherOptions options{.context = {},
                                    .image = "i",
                                    .shim_path = "/bin/true",
                                    .trainer_path = "/bin/true",
                                    .volumes = {{"shared", scratch_.path()}},
                                    .queue = "held",
                                    .priority_class = {},
                                    .node_selector = {}};
  const v1::CreateJobRequest request = Request(5);
  v1::Job job;
  *job.mutable_plan() = request.plan();
  *job.mutable_spec() = request.spec();
  job.mutable_spec()->set_device("cpu");
  job.set_uid("u");
  job.set_attempt(1);
  job.set_run_directory(scratch_.path() + "/run");
  nlohmann::json other = AttemptObject(options, job).manifest;
  other["metadata"]["labels"][kJobUidLabel] = "v";
  const Kubectl kubectl("", absl::Seconds(20));
  ASSERT_TRUE(
      kubectl.Create("/apis/batch/v1/namespaces/default/jobs?fieldValidation=Strict", other).ok());
  KubernetesLauncher launcher(options);
  EXPECT_EQ(*launcher.Find(job), "");
  const auto started = launcher.Start(job);
  EXPECT_TRUE(absl::IsFailedPrecondition(started.status())) << started.status();
  EXPECT_THAT(std::string(started.status().message()), HasSubstr("not ours"));
}

// The node does not answer, and its pod trains on: the replacement's claim ends it.
TEST_F(KubernetesTest, APodOnALostNodeDoesNotTrainBesideItsReplacement) {
  SetSteps(30);
  StartServer();
  const std::string name = Create(Request(100));
  AwaitStep(name, 3);
  cluster_->Do("lose_node");
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 40);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
  EXPECT_FALSE(RanTwiceAtOnce(job));
}

TEST_F(KubernetesTest, MemoryThatRunsOutIsToldAndNotTriedAgain) {
  SetSteps(20);
  StartServer();
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 2);
  cluster_->Do("kill_for_memory");
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_KILLED) << job.reason();
  EXPECT_THAT(job.reason(), HasSubstr("ran out of the memory"));
  EXPECT_EQ(cluster_->Objects("Pod").size(), 1u);
}

TEST_F(KubernetesTest, AtItsTimeLimitAJobSavesAndGoesOnInAnother) {
  SetSteps(50);
  StartServer({}, {"--kubernetes-time-limit-minutes", "0.05"});
  const std::string name = Create(Request(80));
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_GE(job.attempt(), 2);
  EXPECT_FALSE(RanTwiceAtOnce(job));
  EXPECT_EQ(static_cast<int64_t>(cluster_->Objects("Job").size()), job.attempt());
  EXPECT_THAT(Told(name), Contains(HasSubstr("time limit")));
}

TEST_F(KubernetesTest, AJobThatKueueHoldsBackSaysWhy) {
  StartServer({}, {"--kubernetes-queue", "team-a"});
  const std::string name = Create(Request(6));
  AwaitReason(name, "is suspended");
  EXPECT_EQ(cluster_->Objects("Job")[0]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
            "team-a");
  cluster_->Do("workload", {{"reason", "Pending"}, {"message", "insufficient quota for gpu"}});
  AwaitReason(name, "and Kueue says: Pending: insufficient quota for gpu");
  cluster_->Do("suspend", {{"value", false}});
  EXPECT_EQ(server_->WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
}

// As when somebody with a higher priority wants the quota.
TEST_F(KubernetesTest, AJobThatKueueStopsSavesAndGoesOnLater) {
  SetSteps(30);
  StartServer({}, {"--kubernetes-queue", "team-a"});
  const std::string name = Create(Request(60));
  AwaitReason(name, "is suspended");
  cluster_->Do("suspend", {{"value", false}});
  AwaitStep(name, 5);
  cluster_->Do("suspend");
  Await(name, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_LAUNCHING; });
  cluster_->Do("suspend", {{"value", false}});
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1", "2"));
}

TEST_F(KubernetesTest, JobsOutliveAnApiServerThatDoesNotAnswer) {
  SetSteps(50);
  StartServer();
  const std::string running = Create(Request(60));
  AwaitStep(running, 2);
  cluster_->Do("fail",
               {{"count", 20}, {"code", 503}, {"reason", "ServiceUnavailable"}, {"message", "x"}});
  const std::string waiting = Create(Request(5));
  Await(waiting, [](const v1::Job& job) {
    return job.reason().find("ServiceUnavailable") != std::string::npos;
  });
  EXPECT_EQ(Get(waiting).state(), v1::JOB_STATE_LAUNCHING);
  EXPECT_EQ(Get(running).state(), v1::JOB_STATE_RUNNING) << "silence is no end";
  cluster_->Do("fail", {{"count", 0}, {"code", 0}, {"reason", ""}, {"message", ""}});
  for (const std::string& name : {running, waiting})
    EXPECT_EQ(server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 40).state(),
              v1::JOB_STATE_SUCCEEDED);
}

TEST_F(KubernetesTest, AFullQuotaIsWaitedFor) {
  StartServer();
  cluster_->Do("fail", {{"count", 3},
                        {"code", 403},
                        {"reason", "Forbidden"},
                        {"message", "jobs.batch is forbidden: exceeded quota: team-a"}});
  const std::string name = Create(Request(5));
  AwaitReason(name, "exceeded quota");
  EXPECT_EQ(server_->WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
}

// Nothing is submitted for a job that nobody wants any more.
TEST_F(KubernetesTest, AJobThatWaitsForQuotaCanBeCancelled) {
  StartServer();
  cluster_->Do("fail", {{"count", 1000},
                        {"code", 403},
                        {"reason", "Forbidden"},
                        {"message", "jobs.batch is forbidden: exceeded quota: team-a"}});
  const std::string name = Create(Request(5));
  AwaitReason(name, "exceeded quota");
  Cancel(name);
  cluster_->Do("fail", {{"count", 0}, {"code", 403}, {"reason", ""}, {"message", ""}});
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_EQ(job.cause(), v1::END_CAUSE_CANCELLED);
  EXPECT_THAT(cluster_->Objects("Job"), IsEmpty());
}

TEST_F(KubernetesTest, ATokenThatRotatesIsTakenUp) {
  SetSteps(50);
  StartServer();
  const std::string running = Create(Request(60));
  AwaitStep(running, 2);
  cluster_->TakeTokens("second-token");
  const std::string waiting = Create(Request(5));
  AwaitReason(waiting, "Unauthorized");
  EXPECT_EQ(Get(running).state(), v1::JOB_STATE_RUNNING);
  cluster_->ShowToken("second-token");
  for (const std::string& name : {running, waiting})
    EXPECT_EQ(server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 40).state(),
              v1::JOB_STATE_SUCCEEDED);
}

// A server that was killed before it noted what it had submitted meets its own Job.
TEST_F(KubernetesTest, ASubmissionThatIsRepeatedMeetsItsOwnJob) {
  StartServer({{"TUNESMITH_FAIL_POINT", "after_launch"}});
  v1::CreateJobRequest request = Request(5);
  request.set_request_id("the-one");
  v1::CreateJobResponse response;
  (void)Create(request, response);
  for (int i = 0; i < 200 && !server_->HasEnded(); ++i) absl::SleepFor(absl::Milliseconds(50));
  ASSERT_TRUE(server_->HasEnded());
  StartServer();
  const v1::Job job = server_->WaitFor(Create(request));
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1"));
  EXPECT_EQ(cluster_->Objects("Job").size(), 1u);
}

TEST_F(KubernetesTest, WhatTheClusterRefusesIsToldBeforeAndAfterSubmitting) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  request.set_validate_only(true);
  v1::CreateJobResponse response;
  const auto refuse = [&] {
    cluster_->Do("fail", {{"count", 1},
                          {"code", 403},
                          {"reason", "Forbidden"},
                          {"message", "admission webhook denied the request: no root"}});
  };
  refuse();
  const grpc::Status refused = Create(request, response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("no root"));
  EXPECT_THAT(refused.error_details(), HasSubstr("CLUSTER_REFUSES"));
  request.set_validate_only(false);
  refuse();
  const v1::Job job = server_->WaitFor(Create(request));
  EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
  EXPECT_THAT(job.reason(), HasSubstr("no root"));
}

TEST_F(KubernetesTest, ValidationShowsTheManifestAndMakesNothing) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  request.set_validate_only(true);
  v1::CreateJobResponse response;
  const grpc::Status status = Create(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.submission().outlook(),
              HasSubstr("would take it into the namespace default"));
  EXPECT_THAT(response.submission().files(0).text(),
              AllOf(HasSubstr("\"kind\": \"Job\""), HasSubstr("registry.example/tunesmith:1")));
  EXPECT_TRUE(cluster_->Objects("Job").empty());
}

TEST_F(KubernetesTest, RefusesWhatPodsDoNotSee) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  v1::CreateJobResponse response;
  request.mutable_spec()->set_model_path("/usr");
  EXPECT_THAT(Create(request, response).error_message(),
              HasSubstr("/usr would not be there in a pod"));
  request = Request(5);
  request.mutable_spec()->set_thread_count(0);
  EXPECT_THAT(Create(request, response).error_message(), HasSubstr("and Kubernetes gives those"));
}

// Only what deploy/kubernetes/rbac.json grants: the test API server refuses all else.
TEST_F(KubernetesTest, TheRolesThatAreShippedAreWhatIsUsed) {
  SetSteps(20);
  StartServer({}, {"--kubernetes-queue", "team-a"});
  const std::string name = Create(Request(kMany));
  AwaitReason(name, "is suspended");
  cluster_->Do("suspend", {{"value", false}});
  AwaitStep(name, 2);
  Cancel(name);
  server_->WaitFor(name);
  std::set<std::string> used;
  for (const std::string& request : cluster_->Requests()) {
    if (request.find("/control") == std::string::npos)
      used.insert(request.substr(0, request.find('/')));
  }
  EXPECT_THAT(used, ElementsAre("DELETE ", "GET ", "POST "));
}

}  // namespace
}  // namespace tunesmith::server
