#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "grpcpp/grpcpp.h"

// Calls of a server's API as tests make them, what its refusals say, and what methods there are.
namespace tunesmith::server {

// A call with a deadline that no good answer needs.
template <typename Stub, typename Request, typename Response>
grpc::Status Call(Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response, int milliseconds = 20000) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(milliseconds));
  return (stub.*method)(&context, request, response);
}

// Whether a server serves, as it tells everybody who asks.
bool IsHealthy(const std::shared_ptr<grpc::Channel>& channel);

struct Details {
  std::string reason;
  int error_info_count = 0;
  std::set<std::string> fields;
};

// Of a refusal.
Details DetailsOf(const grpc::Status& status);
std::string ReasonOf(const grpc::Status& status);

// Of every proto of the API.
std::vector<const google::protobuf::ServiceDescriptor*> AllServices();
std::vector<const google::protobuf::MethodDescriptor*> AllMethods();

// As calls name it: "/tunesmith.v1.JobService/GetJob".
std::string PathOf(const google::protobuf::MethodDescriptor& method);

}  // namespace tunesmith::server
