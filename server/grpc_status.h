#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace tunesmith::server {

// The one way from absl::Status to gRPC. The details are a google.rpc.Status with one ErrorInfo
// (domain "tunesmith", the code's name as reason unless the status carries its own) and with every
// payload of the status, BadRequest above all. Messages are cut at 4 KiB, so that they fit into
// HTTP/2 trailers.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace tunesmith::server
