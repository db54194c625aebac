#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/api_calls.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {

// What tests of the API ask of a server that they start in DataDirectory(). Where a call fails that should not, the test does.
class ApiTest : public ::testing::Test {
 protected:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }

  // Answered at once.
  static v1::RecommendRequest Question(const std::string& model = "SmolLM2-135M",
                                       const std::string& device = "A100-80GB");

  // Of one thread.
  v1::CreateJobRequest JobRequest(int64_t step_count) const;
  static v1::Job Create(ServerProcess& server, const v1::CreateJobRequest& request);
  static grpc::Status TryCreate(ServerProcess& server, const v1::CreateJobRequest& request);
  // The names of the jobs that the filter lets through.
  static std::vector<std::string> List(ServerProcess& server, const std::string& filter);

  ScratchDirectory scratch_;
};

}  // namespace tunesmith::server
