#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "tunesmith/v1/jobs.pb.h"

// Requests that are nearly right: what a server must refuse, or answer, without harm.
namespace tunesmith::server {

// A good request of one unary method.
struct WireSeed {
  std::string method;  // "/tunesmith.v1.JobService/GetJob"
  std::shared_ptr<google::protobuf::Message> request;
};

// One for every unary method. Jobs are validated only; a server that is sent these has a stand-in for its profiler, which a mutation that is good starts.
std::vector<WireSeed> WireSeeds(const v1::CreateJobRequest& job);

// The request with one to four changes: fields set to extreme, wrong or long values through reflection, or its bytes flipped, cut and
// doubled.
std::string Mutate(const WireSeed& seed, std::mt19937_64& random);

bool Parses(const WireSeed& seed, const std::string& bytes);

// One call with any bytes as its request; its status, and its answer's bytes. It waits for a connection, at most until the deadline.
grpc::Status CallBytes(grpc::GenericStub& stub, const std::string& method, const std::string& bytes,
                       absl::Duration patience = absl::Seconds(2), std::string* answer = nullptr);

// What a request may get that was changed at random: what does not parse is INVALID_ARGUMENT; the rest is answered or refused for a reason
// that lies in it, not in the server.
bool IsProper(grpc::StatusCode code, bool parses);

}  // namespace tunesmith::server
