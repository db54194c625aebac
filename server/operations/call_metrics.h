#pragma once

#include "server/call_record.h"
#include "server/operations/metrics.h"

namespace tunesmith::server {

// Counts a call by service, method and code (grpc_server_handled_total), and its time (grpc_server_handling_seconds), under the names that
// dashboards for gRPC servers know. Methods that we do not have are one: "unknown".
void CountCall(Metrics& metrics, const CallRecord& record);

}  // namespace tunesmith::server
