#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>

#include "absl/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "tests/benchmarks/soak/soak_server.h"

namespace tunesmith::server {

// What all visitors of a soak count together. Thread-safe.
struct SoakCounts {
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> streams{0};
  std::atomic<int64_t> improper_answers{
      0};  // errors of the server's own, and malformed requests that got the wrong status
  std::atomic<int64_t> event_faults{0};  // a watcher saw a hole or a repetition
  std::atomic<int64_t> doubles{0};       // a repeated request made another job
  std::atomic<int64_t> kills{0};         // of trainers and shims
  std::atomic<int64_t> cancels{0};
  std::atomic<int64_t> resumes{0};
  std::atomic<int64_t> calibrations{0};
  std::atomic<int64_t> renewals{0};  // of the certificate
};

// Whether a status is the server's own fault: it broke off, or did not answer, though it was not killed meanwhile.
inline bool IsServersFault(grpc::StatusCode code) {
  return code == grpc::StatusCode::INTERNAL || code == grpc::StatusCode::UNKNOWN ||
         code == grpc::StatusCode::DATA_LOSS || code == grpc::StatusCode::UNAVAILABLE ||
         code == grpc::StatusCode::DEADLINE_EXCEEDED;
}

// One visitor's calls over a connection of its own.
class Caller {
 public:
  Caller(const SoakServer& server, SoakCounts& counts)
      : server_(server), counts_(counts), channel_(server.NewChannel()) {}

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  SoakCounts& counts() { return counts_; }
  const SoakServer& server() const { return server_; }

  // A unary call that waits for the server to be there. `stub` has the method.
  template <typename Stub, typename Request, typename Response>
  grpc::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    const int64_t before = server_.change_count();
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    const grpc::Status status = (stub.*method)(&context, request, response);
    ++counts_.calls;
    if (IsServersFault(status.error_code())) Blame(before, Request::descriptor()->name(), status);
    return status;
  }

  // Counts a status that a call got which began when the server's change count was `before`.
  void Blame(int64_t before, const std::string& what, const grpc::Status& status) {
    if (server_.change_count() != before || before % 2 != 0) return;
    ++counts_.improper_answers;
    std::fprintf(stderr, "%s: code %d: %s\n", what.c_str(), status.error_code(),
                 status.error_message().c_str());
  }

 private:
  const SoakServer& server_;
  SoakCounts& counts_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace tunesmith::server
