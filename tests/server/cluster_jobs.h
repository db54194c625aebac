#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tests/server/server_process.h"

// What tests of a server on a cluster do with its jobs.
namespace tunesmith::server {

class ClusterJobsTest : public ::testing::Test {
 protected:
  // Steps that no test waits for.
  static constexpr int64_t kMany = 100000;

  // A server of this data directory, named in the scratch directory; `flags` say where its jobs run.
  void StartServer(const std::vector<std::string>& flags,
                   const std::map<std::string, std::string>& environment = {});

  // A job of so many steps that saves after each.
  v1::CreateJobRequest Request(int64_t steps);

  grpc::Status Create(const v1::CreateJobRequest& request, v1::CreateJobResponse& response);
  std::string Create(const v1::CreateJobRequest& request);  // its name
  v1::Job Get(const std::string& name);
  void Cancel(const std::string& name);
  void Resume(const std::string& name);

  // The job once this holds of it.
  template <typename Condition>
  v1::Job Await(const std::string& name, Condition condition, int seconds = 30) {
    const absl::Time deadline = absl::Now() + absl::Seconds(seconds);
    v1::Job job = Get(name);
    while (!condition(job) && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(50));
      job = Get(name);
    }
    EXPECT_TRUE(condition(job)) << job.ShortDebugString().substr(0, 2000);
    return job;
  }
  v1::Job AwaitStep(const std::string& name, int64_t step);
  v1::Job AwaitReason(const std::string& name, const std::string& part);

  // The attempts whose trainers were started, in order; whether two ever ran at once.
  std::vector<std::string> Starts(const v1::Job& job);
  bool RanTwiceAtOnce(const v1::Job& job);

  // What a watcher was told: "LAUNCHING", or "LAUNCHING: why" where there is a reason.
  std::vector<std::string> Told(const std::string& name);

  ScratchDirectory scratch_;
  std::unique_ptr<ServerProcess> server_;
};

}  // namespace tunesmith::server
