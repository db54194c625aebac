#include "server/operations/call_metrics.h"

#include <string>

#include "absl/time/time.h"
#include "server/security/roles.h"

namespace tunesmith::server {
namespace {

// "/tunesmith.v1.JobService/GetJob" -> tunesmith.v1.JobService, GetJob.
Labels MethodLabels(const std::string& method) {
  const size_t slash = method.rfind('/');
  // gRPC's own services stand in the table of roles whole, with whatever comes behind their names.
  if (slash == 0 || slash == std::string::npos || !HasRole(method) || method.starts_with("/grpc."))
    return {{"grpc_service", "unknown"}, {"grpc_method", "unknown"}};
  return {{"grpc_service", method.substr(1, slash - 1)}, {"grpc_method", method.substr(slash + 1)}};
}

}  // namespace

void CountCall(Metrics& metrics, const CallRecord& record) {
  Labels labels = MethodLabels(record.method);
  if (record.duration) {
    metrics
        .HistogramOf("grpc_server_handling_seconds",
                     "Time from a call's beginning to its status; of streams, their length.",
                     labels)
        .Observe(absl::ToDoubleSeconds(*record.duration));
  }
  labels.emplace_back("grpc_code", absl::StatusCodeToString(record.code));
  metrics.CounterOf("grpc_server_handled_total", "Calls that have ended.", labels).Add();
}

}  // namespace tunesmith::server
