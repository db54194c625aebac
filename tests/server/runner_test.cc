#include "server/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "proto/convert/json.h"
#include "server/launch/runner_client.h"
#include "server/unix_socket.h"
#include "tests/server/cluster_jobs.h"
#include "tests/server/runner_socket.h"
#include "tests/server/server_process.h"

// Trainers that something else than the server starts. LauncherTest has what the supervisor counts on.
namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = RunnerSocket::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    socket_ = std::make_unique<RunnerSocket>();
  }

  // What the runner says to a text that is no request's JSON, or to one.
  std::string ErrorFor(const std::string& text) {
    const auto connection = ConnectUnix(socket_->path(), absl::Seconds(10));
    EXPECT_TRUE(connection.ok()) << connection.status();
    EXPECT_TRUE(SendAll(connection->get(), text).ok());
    const auto answer = ReceiveAll(connection->get(), 1 << 16);
    v1::RunAttemptReply reply;
    EXPECT_TRUE(answer.ok() && convert::FromJson(*answer, "reply", &reply).ok()) << text;
    return reply.error();
  }

  std::string ErrorFor(const std::string& directory, int64_t attempt, double grace_seconds = 5,
                       int64_t gpu = 0) {
    v1::RunAttemptRequest request;
    request.set_run_directory(directory);
    request.set_attempt(attempt);
    request.set_grace_seconds(grace_seconds);
    request.add_gpu_indices(gpu);
    return ErrorFor(convert::ToJson(request));
  }

  ScratchDirectory scratch_;
  std::unique_ptr<RunnerSocket> socket_;
};

TEST_F(RunnerTest, RefusesWhatIsNoRequest) {
  EXPECT_THAT(ErrorFor(""), HasSubstr("the request"));
  EXPECT_THAT(ErrorFor("run it"), HasSubstr("the request"));
  EXPECT_THAT(ErrorFor(R"({"trainer": "/bin/sh"})"), HasSubstr("trainer"));
  EXPECT_THAT(ErrorFor(std::string(100'000, ' ')), HasSubstr("more than 65536 bytes"));
  EXPECT_THAT(ErrorFor("relative", 1), HasSubstr("absolute path"));
  EXPECT_THAT(ErrorFor("/absent/run", 1), HasSubstr("/absent/run is no directory"));
  EXPECT_THAT(ErrorFor(scratch_.path(), 0), HasSubstr("attempt is 0"));
  EXPECT_THAT(ErrorFor(scratch_.path(), 1, -1), HasSubstr("grace_seconds is -1"));
  EXPECT_THAT(ErrorFor(scratch_.path(), 1, 1e9), HasSubstr("a day at most"));
  EXPECT_THAT(ErrorFor(scratch_.path(), 1, 5, -3), HasSubstr("gpu_indices has -3"));
  EXPECT_THAT(ErrorFor(scratch_.path(), 1), HasSubstr("cannot be written")) << "no run directory";
}

TEST_F(RunnerTest, AnswersItsOwnUserAlone) {
  if (getuid() != 0) GTEST_SKIP() << "only root can be another user";
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const Descriptor asking(ends[0]);
  const Descriptor answering(ends[1]);
  ASSERT_TRUE(SendAll(asking.get(), "{}").ok());
  EXPECT_FALSE(absl::IsPermissionDenied(TakeRunAttemptRequest(answering.get()).status()));
  // The other end of a pair is whoever made it.
  ASSERT_EQ(seteuid(65534), 0);
  int others[2];
  const int made = socketpair(AF_UNIX, SOCK_STREAM, 0, others);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(made, 0);
  const Descriptor other(others[0]);
  const Descriptor here(others[1]);
  const auto request = TakeRunAttemptRequest(here.get());
  EXPECT_TRUE(absl::IsPermissionDenied(request.status())) << request.status();
  EXPECT_THAT(std::string(request.status().message()), HasSubstr("user 65534 asks"));
}

TEST_F(RunnerTest, StdinMustBeAConnection) {
  const ProcessResult result =
      RunProcess({BinaryPath("tunesmith-shim"), "runner", "--trainer", FakeTrainerPath()});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.errors, HasSubstr("stdin is no connection"));
}

TEST_F(RunnerTest, AnAbsentRunnerIsNamedWithTheCure) {
  socket_->Close();
  const auto reply = AskRunner(socket_->path(), {});
  EXPECT_TRUE(absl::IsUnavailable(reply.status())) << reply.status();
  EXPECT_THAT(std::string(reply.status().message()),
              ::testing::AllOf(HasSubstr(socket_->path()), HasSubstr("tunesmith-runner.socket")));
}

class RunnerJobsTest : public ClusterJobsTest {
 protected:
  void SetUp() override {
    if (const std::string why = RunnerSocket::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    socket_ = std::make_unique<RunnerSocket>();
    socket_->Set("FAKE_STEP_MILLISECONDS", "5");
    StartServer({"--host-runner", "unix:" + socket_->path(), "--gpu-count", "2"});
  }

  std::unique_ptr<RunnerSocket> socket_;
};

TEST_F(RunnerJobsTest, AJobWaitsForARunnerAndThenSeesItsGpusAlone) {
  socket_->Close();
  v1::CreateJobRequest request = Request(5);
  request.mutable_spec()->set_device("cuda:0");
  request.mutable_plan()
      ->mutable_inputs()
      ->mutable_devices()
      ->mutable_hardware()
      ->set_compute_capability(90);
  const std::string name = Create(request);
  AwaitReason(name, "the runner does not answer");
  socket_->Open();
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1"));
  EXPECT_EQ(Slurp(job.run_directory() + "/visible_gpus"), "0\n");
}

TEST_F(RunnerJobsTest, JobsOutliveTheServerAndAreCancelledByTheNext) {
  const std::string name = Create(Request(kMany));
  AwaitStep(name, 2);
  server_->Kill();
  StartServer({"--host-runner", "unix:" + socket_->path()});
  Cancel(name);
  const v1::Job job = server_->WaitFor(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.reason();
  EXPECT_THAT(Starts(job), ElementsAre("1"));
}

TEST_F(RunnerJobsTest, AWrongAddressIsRefusedAtStart) {
  for (const char* address : {"127.0.0.1:7000", "/run/runner", "unix:"}) {
    const ProcessResult result = RunProcess({BinaryPath("tunesmithd"), "--host-runner", address});
    EXPECT_EQ(result.status, 2) << address;
    EXPECT_THAT(result.errors, HasSubstr("is no unix:PATH"));
  }
}

}  // namespace
}  // namespace tunesmith::server
