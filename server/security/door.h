#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "server/security/access_list.h"
#include "server/security/call_limits.h"
#include "server/security/caller.h"

// Every call passes the door before anything of it is read: who calls, whether they may, whether it is not too much. gRPC asks the door by
// its AuthMetadataProcessor, so that no method can be forgotten. What is refused here has a code and a message, no further details, and the
// client's address is not known yet.
namespace tunesmith::server {

using CallMetadata = grpc::AuthMetadataProcessor::InputMetadata;

// A call that was not let in.
struct Refusal {
  std::string method;
  std::string caller;  // empty: not known
  absl::Status status;
};

class Door {
 public:
  // `access` is null where everybody who gets to the server may do everything. `refused` is told of every refusal.
  Door(std::unique_ptr<AccessList> access, const CallLimits& limits,
       std::function<void(const Refusal&)> refused)
      : access_(std::move(access)), counter_(limits), refused_(std::move(refused)) {}

  // OK lets the call in. UNAUTHENTICATED: nobody knows who calls (and the method is not open to all); PERMISSION_DENIED: their role is too low; RESOURCE_EXHAUSTED: as
  // CallCounter::Admit. Thread-safe.
  absl::Status LetIn(const CallMetadata& metadata, const grpc::AuthContext* context,
                     bool by_socket);

  // Who makes a call. UNAUTHENTICATED says why nobody knows. `context` may be null. Thread-safe.
  absl::StatusOr<Caller> Identify(const CallMetadata& metadata, const grpc::AuthContext* context,
                                  bool by_socket);

  // Under which name a call is counted: its caller's; that of all whom nobody knows, for methods that are open to them.
  static std::string CountedAs(const std::string& method, const std::string& caller);

  CallCounter& counter() { return counter_; }

 private:
  absl::Status Check(const std::string& method, const absl::StatusOr<Caller>& caller);

  const std::unique_ptr<AccessList> access_;
  CallCounter counter_;
  const std::function<void(const Refusal&)> refused_;
};

// The door as gRPC has it. The door outlives the server.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeDoorProcessor(Door& door, bool by_socket);

}  // namespace tunesmith::server
