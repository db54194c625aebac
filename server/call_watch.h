#pragma once

#include <utility>

#include "grpcpp/support/server_interceptor.h"
#include "server/call_record.h"
#include "server/security/door.h"

namespace tunesmith::server {

// Counts every call that the door has let in while it lasts, and hands its record to `sink` when its status is sent. The door outlives
// the server.
class CallWatchFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallWatchFactory(Door& door, CallSink sink) : door_(door), sink_(std::move(sink)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  Door& door_;
  const CallSink sink_;
};

// The trace of a W3C traceparent, "00-<32 hexadecimal digits>-<16>-<2>"; empty for another text.
std::string TraceId(std::string_view traceparent);

}  // namespace tunesmith::server
