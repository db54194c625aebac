#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/message.h"
#include "tunesmith/v1/jobs.pb.h"

// Requests that are nearly right: what a server must refuse, or answer, without harm.
namespace tunesmith::server {

// A good request of one unary method.
struct WireSeed {
  std::string method;  // "/tunesmith.v1.JobService/GetJob"
  std::shared_ptr<google::protobuf::Message> request;
};

// One for every unary method but those that would start something from a mutation that is good: jobs are validated only.
std::vector<WireSeed> WireSeeds(const v1::CreateJobRequest& job);

// The request with one to four changes: fields set to extreme, wrong or long values through reflection, or its bytes flipped, cut and
// doubled.
std::string Mutate(const WireSeed& seed, std::mt19937_64& random);

bool Parses(const WireSeed& seed, const std::string& bytes);

}  // namespace tunesmith::server
