#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/time/clock.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "tests/common/eventually.h"
#include "tests/server/api_fixture.h"
#include "tunesmith/v1/run_directory.pb.h"

// Jobs that run: what the API tells of them meanwhile, and of how they end.
namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::ShimHandle HandleOf(const v1::Job& job) {
  v1::ShimHandle handle;
  EXPECT_TRUE(
      convert::ReadJsonFile(convert::InDirectory(job.run_directory(), convert::kShimFile), &handle)
          .ok());
  return handle;
}

std::vector<v1::EndCause> Causes(const std::vector<v1::Event>& events) {
  std::vector<v1::EndCause> causes;
  for (const v1::Event& event : events) {
    if (event.state_changed().cause() != v1::END_CAUSE_UNSPECIFIED)
      causes.push_back(event.state_changed().cause());
  }
  return causes;
}

TEST_F(ApiTest, JobsRunBesideEachOtherAndTheClusterTellsWhatIsFree) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}}, {"--cpu-threads", "2"});
  for (int i = 0; i < 3; ++i) Create(server, JobRequest(10000));
  server.WaitFor("jobs/job-1", v1::JOB_STATE_RUNNING);
  server.WaitFor("jobs/job-2", v1::JOB_STATE_RUNNING);
  v1::GetJobRequest get;
  get.set_name("jobs/job-3");
  v1::GetJobResponse third;
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(Call(server.jobs(), &v1::JobService::Stub::GetJob, get, &third).ok());
    return third.job().reason().find("waits for 1 threads; 0 are free") != std::string::npos;
  })) << third.job().reason();
  EXPECT_EQ(third.job().state(), v1::JOB_STATE_QUEUED);
  v1::ListClustersResponse clusters;
  ASSERT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::ListClusters,
                   v1::ListClustersRequest(), &clusters)
                  .ok());
  ASSERT_EQ(clusters.clusters_size(), 1);
  EXPECT_EQ(clusters.clusters(0).name(), "clusters/host");
  EXPECT_EQ(clusters.clusters(0).cpu_thread_count(), 2);
  EXPECT_EQ(clusters.clusters(0).free_cpu_thread_count(), 0);
  EXPECT_EQ(clusters.clusters(0).queued_job_count(), 1);
  EXPECT_EQ(clusters.clusters(0).active_job_count(), 2);
  for (const char* name : {"jobs/job-3", "jobs/job-1", "jobs/job-2"}) {
    v1::CancelJobRequest cancel;
    cancel.set_name(name);
    v1::CancelJobResponse response;
    EXPECT_TRUE(Call(server.jobs(), &v1::JobService::Stub::CancelJob, cancel, &response).ok());
    EXPECT_EQ(server.WaitFor(name).cause(), v1::END_CAUSE_CANCELLED);
  }
  v1::GetClusterRequest wrong;
  wrong.set_name("clusters/moon");
  v1::GetClusterResponse none;
  EXPECT_EQ(DetailsOf(Call(server.clusters(), &v1::ClusterService::Stub::GetCluster, wrong, &none))
                .reason,
            "CLUSTER_NOT_FOUND");
}

TEST_F(ApiTest, LogsAreFollowedToTheJobsEnd) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "10"}});
  const v1::Job job = Create(server, JobRequest(40));
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  grpc::ClientContext context;
  const auto reader = server.jobs().StreamLogs(&context, request);
  v1::StreamLogsResponse chunk;
  std::string text;
  while (reader->Read(&chunk)) text += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  std::ifstream file(job.run_directory() + "/log/trainer.log");
  std::stringstream whole;
  whole << file.rdbuf();
  EXPECT_EQ(text, whole.str());
  EXPECT_THAT(text, HasSubstr("step 40\n"));
  EXPECT_EQ(chunk.next_offset(), static_cast<int64_t>(text.size()));

  request.set_follow(false);
  request.set_tail_bytes(12);
  grpc::ClientContext tail_context;
  const auto tail = server.jobs().StreamLogs(&tail_context, request);
  ASSERT_TRUE(tail->Read(&chunk));
  EXPECT_EQ(chunk.data(), "step 40\n") << "from the beginning of a line";
  EXPECT_FALSE(tail->Read(&chunk));
  EXPECT_TRUE(tail->Finish().ok());

  request.set_tail_bytes(0);
  request.set_offset(1 << 20);
  grpc::ClientContext beyond_context;
  const auto beyond = server.jobs().StreamLogs(&beyond_context, request);
  EXPECT_FALSE(beyond->Read(&chunk));
  EXPECT_EQ(beyond->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(ApiTest, AFollowedLogEndsWithTheServerAndNotWithTheJob) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}});
  const v1::Job job = Create(server, JobRequest(10000));
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  grpc::ClientContext context;
  const auto reader = server.jobs().StreamLogs(&context, request);
  v1::StreamLogsResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(server.Terminate(), 0);
  while (reader->Read(&chunk)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  const v1::ShimHandle handle = HandleOf(job);
  EXPECT_TRUE(IsAlive(handle.pid(), handle.start_ticks()));
  SignalProcess(handle.pid(), handle.start_ticks(), SIGTERM);
}

TEST_F(ApiTest, AnAttemptThatSomebodyElseStopsIsPreemptedAndGoesOn) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}});
  const std::string name = Create(server, JobRequest(30)).name();
  const v1::Job running = server.WaitFor(name, v1::JOB_STATE_RUNNING);
  ASSERT_TRUE(AwaitStep(running.run_directory()));
  const v1::ShimHandle handle = HandleOf(running);
  SignalProcess(handle.pid(), handle.start_ticks(), SIGTERM);
  const v1::Job job = server.WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempt(), 2);
  const std::vector<v1::Event> events = server.Watch(name);
  EXPECT_THAT(Causes(events), ElementsAre(v1::END_CAUSE_PREEMPTED, v1::END_CAUSE_COMPLETED));
  int64_t steps = 0;
  for (const v1::Event& event : events) steps += event.has_progress() ? 1 : 0;
  EXPECT_EQ(steps, 30) << "it went on from its checkpoint";
}

TEST_F(ApiTest, JobsWhoseLauncherIsMissingSaySo) {
  const auto reason_of = [](ServerProcess& server, const std::string& name) {
    v1::GetJobRequest get;
    get.set_name(name);
    v1::GetJobResponse job;
    EXPECT_TRUE(Call(server.jobs(), &v1::JobService::Stub::GetJob, get, &job).ok());
    return job.job().reason();
  };
  {
    ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "20"}},
                         {"--cpu-threads", "1"});
    for (int i = 0; i < 2; ++i) Create(server, JobRequest(20));
    server.WaitFor("jobs/job-1", v1::JOB_STATE_RUNNING);
  }
  {
    ServerProcess server(DataDirectory(), {}, {"--launchers", "slurm"});
    EXPECT_TRUE(Eventually([&] {
      return server.Log().find("jobs/job-1: FAILED_PRECONDITION: nobody looks at the job") !=
             std::string::npos;
    })) << server.Log();
    EXPECT_THAT(reason_of(server, "jobs/job-2"), HasSubstr("without its launcher host"));
  }
  ServerProcess server(DataDirectory());
  for (const char* name : {"jobs/job-1", "jobs/job-2"})
    EXPECT_EQ(server.WaitFor(name).state(), v1::JOB_STATE_SUCCEEDED);
}

// Else a few clients that ask for clusters would hold all others up.
TEST_F(ApiTest, AClusterThatHangsHoldsNoOtherCallsUp) {
  std::filesystem::create_directory(scratch_.path() + "/bin");
  for (const char* command : {"sinfo", "squeue"})
    std::filesystem::permissions(
        scratch_.File(std::string("bin/") + command, "#!/bin/sh\nsleep 3\nexit 1\n"),
        std::filesystem::perms::owner_all);
  ServerProcess server(DataDirectory(), {{"PATH", scratch_.path() + "/bin:" + std::getenv("PATH")}},
                       {"--launchers", "slurm"});
  std::vector<std::thread> clients;
  for (int i = 0; i < 40; ++i)
    clients.emplace_back([&] {
      v1::ListClustersResponse clusters;
      EXPECT_TRUE(Call(server.clusters(), &v1::ClusterService::Stub::ListClusters,
                       v1::ListClustersRequest(), &clusters)
                      .ok());
    });
  absl::SleepFor(absl::Milliseconds(500));
  const absl::Time start = absl::Now();
  v1::ListModelsResponse models;
  EXPECT_TRUE(Call(server.recommender(), &v1::RecommenderService::Stub::ListModels,
                   v1::ListModelsRequest(), &models)
                  .ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
  for (std::thread& client : clients) client.join();
}

TEST_F(ApiTest, KilledLostAndNotStartedAreToldApart) {
  {
    ServerProcess server(DataDirectory(), {{"FAKE_CRASH_AT_STEP", "2"}});
    Create(server, JobRequest(5));
    EXPECT_EQ(server.WaitFor("jobs/job-1").cause(), v1::END_CAUSE_KILLED);
  }
  {
    ServerProcess server(DataDirectory(), {}, {"--shim", "/absent/shim"});
    Create(server, JobRequest(5));
    const v1::Job job = server.WaitFor("jobs/job-2");
    EXPECT_EQ(job.cause(), v1::END_CAUSE_NOT_STARTED);
    EXPECT_THAT(job.reason(), HasSubstr("/absent/shim"));
  }
  {
    ServerProcess server(DataDirectory(), {{"TUNESMITH_FAIL_POINT", "shim_claimed"}});
    Create(server, JobRequest(5));
    const v1::Job job = server.WaitFor("jobs/job-3", v1::JOB_STATE_UNSPECIFIED, 5);
    EXPECT_EQ(job.cause(), v1::END_CAUSE_LOST) << job.reason();
  }
}

}  // namespace
}  // namespace tunesmith::server
