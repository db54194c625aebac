#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "absl/time/clock.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "tests/server/cluster_jobs.h"
#include "tests/trainer/job/job_files.h"
#include "tunesmith/v1/run_directory.pb.h"

// Jobs of the real trainer, of which server, shim or trainer are killed by SIGKILL again and again, are resumed, and must end with the losses and the weights, bit by bit, of one that nothing
// befell. KILL_RUNS (4) and KILL_SEED (1) in the environment; the last line but gtest's own is a JSON object, as kill_bench's.
namespace tunesmith::server {
namespace {

int64_t FromEnvironment(const char* name, int64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoll(text);
}

struct Outcome {
  std::map<int64_t, double> losses;  // by step
  std::string adapter;               // the file's bytes
};

class KillTrainingTest : public ClusterJobsTest {
 protected:
  void SetUp() override {
    files_.spec().mutable_training()->set_step_count(150);
    files_.spec().set_checkpoint_every_step_count(10);
    files_.spec().set_thread_count(1);
    const std::string run = files_.WriteRun();
    ASSERT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kPlanFile),
                                      request_.mutable_plan())
                    .ok());
    *request_.mutable_spec() = files_.spec();
    StartServer();
  }

  void StartServer() {
    ClusterJobsTest::StartServer({"--trainer", BinaryPath("tunesmith-trainer")});
  }

  Outcome OutcomeOf(const v1::Job& job) {
    return {.losses = trainer::LossesOf(job.run_directory()),
            .adapter = Slurp(job.run_directory() + "/output/adapter_model.safetensors")};
  }

  // What runs of the job's present attempt.
  v1::ShimHandle Shim(const v1::Job& job) {
    v1::ShimHandle shim;
    (void)convert::ReadJsonFile(convert::InDirectory(job.run_directory(), convert::kShimFile),
                                &shim);
    return shim;
  }

  void KillOne(const v1::Job& job) {
    const v1::ShimHandle shim = Shim(job);
    switch (random_() % 3) {
      case 0:
        server_->Kill();
        absl::SleepFor(absl::Milliseconds(static_cast<int64_t>(random_() % 200)));
        return StartServer();
      case 1:
        return SignalProcess(shim.pid(), shim.start_ticks(), SIGKILL);
      default:
        return SignalProcess(shim.trainer_pid(), shim.trainer_start_ticks(), SIGKILL);
    }
  }

  // A job to its end, with `kills` on its way.
  v1::Job RunWith(int kills) {
    const std::string name = Create(request_);
    const absl::Time deadline = absl::Now() + absl::Seconds(120);
    v1::Job job = Get(name);
    while (job.state() != v1::JOB_STATE_SUCCEEDED && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(20 + static_cast<int64_t>(random_() % 150)));
      job = Get(name);
      if (job.state() == v1::JOB_STATE_FAILED) Resume(name);
      if (job.state() != v1::JOB_STATE_RUNNING || kills == 0) continue;
      KillOne(job);
      --kills;
      ++kill_count_;
    }
    attempt_count_ += job.attempt();
    return job;
  }

  trainer::JobFiles files_;
  v1::CreateJobRequest request_;
  std::mt19937_64 random_{static_cast<uint64_t>(FromEnvironment("KILL_SEED", 1))};
  int64_t kill_count_ = 0;
  int64_t attempt_count_ = 0;
};

TEST_F(KillTrainingTest, EndsAsIfNothingHadBeen) {
  const Outcome whole = OutcomeOf(RunWith(0));
  ASSERT_EQ(whole.losses.size(), 150u);
  ASSERT_FALSE(whole.adapter.empty());
  const int64_t run_count = FromEnvironment("KILL_RUNS", 4);
  int64_t lost_count = 0;
  int64_t changed_count = 0;
  attempt_count_ = 0;
  for (int64_t i = 0; i < run_count; ++i) {
    const v1::Job job = RunWith(3);
    const bool ended = job.state() == v1::JOB_STATE_SUCCEEDED;
    lost_count += ended ? 0 : 1;
    EXPECT_TRUE(ended) << job.ShortDebugString().substr(0, 500);
    if (!ended) continue;
    const Outcome outcome = OutcomeOf(job);
    const bool same = outcome.losses == whole.losses && outcome.adapter == whole.adapter;
    changed_count += same ? 0 : 1;
    EXPECT_TRUE(same) << job.name() << " after " << job.attempt() << " attempts";
  }
  EXPECT_GT(kill_count_, run_count) << "jobs end before anything befalls them";
  std::printf(
      "{\"run_count\": %lld, \"kill_count\": %lld, \"attempt_count\": %lld, \"lost_job_count\": "
      "%lld, \"changed_result_count\": %lld}\n",
      static_cast<long long>(run_count), static_cast<long long>(kill_count_),
      static_cast<long long>(attempt_count_), static_cast<long long>(lost_count),
      static_cast<long long>(changed_count));
}

}  // namespace
}  // namespace tunesmith::server
