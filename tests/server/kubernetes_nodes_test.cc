#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/server/cluster_jobs.h"
#include "tests/server/kubernetes_cluster.h"
#include "tests/trainer/job/job_files.h"
#include "trainer/job/run_job.h"

// Jobs of two pods: real shims, starters and trainers as processes of this host, which meet by TCP at the names that pods have, through all that can happen to one of them.
namespace tunesmith::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kAlone[] =
    "method=lora:r4 precision=fp32 recompute=keep:2 attention=flash loss=full batch=4x1";
constexpr char kTwoNodes[] =
    "method=lora:r4 precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=3 "
    "batch=1x2x2";
constexpr char kTwoNodesOfTwo[] =
    "method=lora:r4 precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=2 "
    "batch=1x1x4";

std::vector<double> Losses(const std::string& run) {
  std::vector<double> losses;
  for (const auto& [step, loss] : trainer::LossesOf(run)) losses.push_back(loss);
  return losses;
}

class KubernetesNodesTest : public ClusterJobsTest {
 protected:
  void SetUp() override {
    if (const std::string why = KubernetesCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    if (geteuid() != 0) GTEST_SKIP() << "pods of their own process ids want root";
    cluster_ = std::make_unique<KubernetesCluster>(BinaryPath("tunesmith-trainer"));
  }

  void StartServer(const std::vector<std::string>& more_flags = {},
                   const std::map<std::string, std::string>& environment = {}) {
    std::vector<std::string> flags = {"--launchers",
                                      "kubernetes",
                                      "--kubernetes-poll-seconds",
                                      "0.3",
                                      "--kubernetes-fence-seconds",
                                      "2.5",
                                      "--grace-seconds",
                                      "20"};
    const std::string shared = testing::TempDir();
    for (const std::string& flag :
         cluster_->Flags(shared.substr(0, shared.find_last_not_of('/') + 1)))
      flags.push_back(flag);
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    ClusterJobsTest::StartServer(flags, environment);
  }

  // A job on two nodes with the ranks of `mix`.
  v1::CreateJobRequest Request(int64_t steps, const char* mix = kTwoNodes) {
    files_ = std::make_unique<trainer::JobFiles>(mix);
    files_->devices().node_count = 2;
    files_->spec().mutable_training()->set_step_count(steps);
    files_->spec().set_checkpoint_every_step_count(20);
    files_->spec().set_thread_count(1);
    const std::string run = files_->WriteRun();
    v1::CreateJobRequest request;
    EXPECT_TRUE(
        convert::ReadJsonFile(convert::InDirectory(run, convert::kPlanFile), request.mutable_plan())
            .ok());
    *request.mutable_spec() = files_->spec();
    return request;
  }

  // What the ranks of `mix` learn in so many steps, as threads.
  static std::vector<double> LossesHere(int64_t steps, const char* mix) {
    trainer::JobFiles files(mix);
    files.spec().mutable_training()->set_step_count(steps);
    files.spec().set_thread_count(1);
    const std::string run = files.WriteRun();
    EXPECT_EQ(trainer::RunJob(run, std::atomic<bool>(false)).state(), v1::JOB_STATE_SUCCEEDED);
    return Losses(run);
  }

  static void ExpectLossesOfOneRank(const v1::Job& job) {
    const std::vector<double> losses = Losses(job.run_directory());
    const std::vector<double> expected = LossesHere(12, kAlone);
    ASSERT_EQ(losses.size(), expected.size());
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(losses[i], expected[i], 2e-5 * std::abs(expected[i])) << "step " << i + 1;
  }

  v1::Job Succeed(const std::string& name) {
    const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 120);
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
    return job;
  }

  std::unique_ptr<KubernetesCluster> cluster_;
  std::unique_ptr<trainer::JobFiles> files_;
};

TEST_F(KubernetesNodesTest, TwoPodsLearnWhatOneRankLearns) {
  StartServer();
  for (const char* mix : {kTwoNodes, kTwoNodesOfTwo}) {
    const v1::Job job = Succeed(Create(Request(12, mix)));
    EXPECT_EQ(job.attempt(), 1);
    ExpectLossesOfOneRank(job);
  }
  EXPECT_EQ(cluster_->Objects("Pod").size(), 4u);
  EXPECT_EQ(cluster_->Objects("Service").size(), 2u);
}

TEST_F(KubernetesNodesTest, AJobSetAndATrainJobDoTheSame) {
  for (const char* form : {"jobset", "trainjob"}) {
    StartServer({"--kubernetes-form", form, "--kubernetes-runtime", "tunesmith"});
    const v1::Job job = Succeed(Create(Request(12)));
    ExpectLossesOfOneRank(job);
    server_.reset();
  }
  EXPECT_EQ(cluster_->Objects("JobSet").size(), 2u) << "one is the TrainJob's";
  EXPECT_EQ(cluster_->Objects("TrainJob").size(), 1u);
}

TEST_F(KubernetesNodesTest, APodThatIsEvictedRestartsTheAttemptAsAWhole) {
  const std::vector<double> expected = LossesHere(400, kTwoNodes);
  StartServer();
  for (const char* index : {"1", "0"}) {
    const std::string name = Create(Request(400));
    AwaitStep(name, 25);
    cluster_->Do("evict", {{"index", index}});
    const v1::Job job = Succeed(name);
    EXPECT_EQ(job.attempt(), 2) << "node " << index;
    EXPECT_EQ(Losses(job.run_directory()), expected) << "to the last bit";
    EXPECT_THAT(Told(name), Contains(HasSubstr(" the job again, to go on from")));
  }
  EXPECT_EQ(cluster_->Objects("Job").size(), 2u);
}

// Its ranks are gone without a word: those of the other pod see it, and the attempt is started again.
TEST_F(KubernetesNodesTest, ANodeThatIsLostRestartsTheAttemptAsAWhole) {
  StartServer();
  for (const char* index : {"1", "0"}) {
    const std::string name = Create(Request(400));
    AwaitStep(name, 25);
    cluster_->Do("lose_node", {{"index", index}, {"dies", true}});
    const v1::Job job = Succeed(name);
    EXPECT_EQ(job.attempt(), 2) << "node " << index;
    EXPECT_EQ(job.summary().step(), 400);
  }
}

TEST_F(KubernetesNodesTest, APodThatFailsEndsTheJobAndIsNamed) {
  StartServer();
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 5);
  cluster_->Do("kill_for_memory", {{"index", "1"}});
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.cause(), v1::END_CAUSE_KILLED) << job.reason();
  EXPECT_THAT(job.reason(), HasSubstr("ran out of the memory"));
}

TEST_F(KubernetesNodesTest, APodThatHasNoNodeIsWaitedForAndNamed) {
  cluster_->Do("set", {{"unschedulable_indices", nlohmann::json::array({"1"})}});
  StartServer();
  const std::string name = Create(Request(12));
  const v1::Job waiting = AwaitReason(name, "Unschedulable: 0/3 nodes are available");
  EXPECT_EQ(waiting.state(), v1::JOB_STATE_LAUNCHING);
  EXPECT_THAT(Losses(waiting.run_directory()), testing::IsEmpty());
  cluster_->Do("set", {{"unschedulable_indices", nlohmann::json::array()}});
  Succeed(name);
}

TEST_F(KubernetesNodesTest, ACancelledJobSavesOnBothNodes) {
  StartServer();
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 5);
  Cancel(name);
  const v1::Job job = server_->WaitFor(name, v1::JOB_STATE_UNSPECIFIED, 60);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_GE(job.progress().step(), 5);
  for (const char* kind : {"Job", "Pod", "Service"})
    EXPECT_TRUE(cluster_->Objects(kind).empty()) << kind;
}

// Kueue takes back the quota of all pods at once, and lets all go again.
TEST_F(KubernetesNodesTest, AJobThatKueueStopsGoesOnLater) {
  StartServer({"--kubernetes-queue", "team-a"});
  const std::string name = Create(Request(400));
  AwaitReason(name, "is suspended");
  cluster_->Do("suspend", {{"value", false}});
  AwaitStep(name, 25);
  cluster_->Do("suspend");
  Await(name, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_LAUNCHING; });
  cluster_->Do("suspend", {{"value", false}});
  EXPECT_EQ(Succeed(name).attempt(), 2);
}

TEST_F(KubernetesNodesTest, JobsOutliveAnApiServerThatDoesNotAnswer) {
  StartServer();
  const std::string name = Create(Request(400));
  AwaitStep(name, 5);
  cluster_->Do("fail",
               {{"count", 10}, {"code", 503}, {"reason", "ServiceUnavailable"}, {"message", "x"}});
  EXPECT_EQ(Succeed(name).attempt(), 1);
}

// A server that was killed before it noted what it had submitted meets its own Job and Service.
TEST_F(KubernetesNodesTest, ASubmissionThatIsRepeatedMeetsItsOwn) {
  StartServer({}, {{"TUNESMITH_FAIL_POINT", "after_launch"}});
  v1::CreateJobRequest request = Request(12);
  request.set_request_id("the-one");
  v1::CreateJobResponse response;
  (void)ClusterJobsTest::Create(request, response);
  for (int i = 0; i < 400 && !server_->HasEnded(); ++i) absl::SleepFor(absl::Milliseconds(50));
  ASSERT_TRUE(server_->HasEnded());
  StartServer();
  EXPECT_EQ(Succeed(ClusterJobsTest::Create(request)).attempt(), 1);
  EXPECT_EQ(cluster_->Objects("Service").size(), 1u);
}

TEST_F(KubernetesNodesTest, ValidationShowsBothManifestsAndMakesNothing) {
  StartServer();
  v1::CreateJobRequest request = Request(5);
  request.set_validate_only(true);
  v1::CreateJobResponse response;
  const grpc::Status status = ClusterJobsTest::Create(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.submission().files(0).text(),
              AllOf(HasSubstr("\"kind\": \"Job\""), HasSubstr("\"completions\": 2")));
  EXPECT_THAT(response.submission().files(1).text(), HasSubstr("\"kind\": \"Service\""));
  EXPECT_TRUE(cluster_->Objects("Job").empty());
  EXPECT_TRUE(cluster_->Objects("Service").empty());
}

}  // namespace
}  // namespace tunesmith::server
