#pragma once

#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "grpcpp/support/server_callback.h"
#include "server/error_info.h"
#include "server/grpc_status.h"
#include "server/search_pool.h"

namespace tunesmith::server {

// Ends a unary call with `result`: its value goes to `response`, its error to the status.
template <typename Response>
grpc::ServerUnaryReactor* Reply(grpc::CallbackServerContext* context,
                                absl::StatusOr<Response> result, Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (result.ok()) *response = *std::move(result);
  reactor->Finish(ToGrpcStatus(result.status()));
  return reactor;
}

// Ends a call whose result was computed on another thread.
template <typename Response>
void FinishLater(grpc::ServerUnaryReactor* reactor, absl::StatusOr<Response> result,
                 Response* response) {
  if (result.ok()) *response = *std::move(result);
  reactor->Finish(ToGrpcStatus(result.status()));
}

// As Reply with what `work` gives, on a thread of `pool`: work that runs commands must not hold one of gRPC's. UNAVAILABLE: too much waits there.
template <typename Response>
grpc::ServerUnaryReactor* ReplyLater(SearchPool& pool, grpc::CallbackServerContext* context,
                                     std::function<absl::StatusOr<Response>()> work,
                                     Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool accepted = pool.Submit([reactor, context, response, work = std::move(work)] {
    if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
    FinishLater(reactor, work(), response);
  });
  if (!accepted)
    reactor->Finish(ToGrpcStatus(WithReason(
        absl::UnavailableError("too many calls wait for clusters; ask again in a moment"),
        "TOO_MANY_CALLS_WAIT")));
  return reactor;
}

}  // namespace tunesmith::server
