#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace tunesmith::server {

// The one way from absl::Status to gRPC. The details are a google.rpc.Status with one ErrorInfo
// (domain "tunesmith", the code's name as reason unless the status carries its own) and, where the
// status has one, a BadRequest. Everything is cut so that it fits into HTTP/2 trailers, whatever
// the status says: messages at 1 KiB, and violations that do not fit are counted.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace tunesmith::server
