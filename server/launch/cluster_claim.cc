#include "server/launch/cluster_claim.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/error_info.h"
#include "server/launch/host_memory.h"

namespace tunesmith::server {
namespace {

absl::Status CheckDevice(std::string_view cluster, const v1::JobSpec& spec) {
  if (spec.device() != "cpu" && spec.device() != "cuda:0") {
    return WithReason(absl::FailedPreconditionError(
                          StrCat("spec.device is \"", spec.device(), "\", and ", cluster,
                                 " chooses the GPUs itself; give \"cuda:0\" or leave it out")),
                      "DEVICES_CONTRADICT");
  }
  if (spec.device() == "cpu" && spec.thread_count() == 0) {
    return WithReason(absl::FailedPreconditionError(StrCat(
                          "spec.thread_count is 0, which means all threads of a host, and ",
                          cluster, " gives those that are asked for; say how many (--threads)")),
                      "THREAD_COUNT_MISSING");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ResourceClaim> ClusterClaim(std::string_view cluster, const v1::Plan& plan,
                                               const v1::JobSpec& spec) {
  TUNESMITH_RETURN_IF_ERROR(CheckDevice(cluster, spec));
  const int64_t nodes = std::max<int64_t>(1, plan.inputs().devices().node_count());
  const int64_t devices = nodes * RanksPerNode(plan);
  v1::ResourceClaim claim;
  if (spec.device() != "cpu") claim.set_gpu_count(devices);
  if (spec.device() == "cpu") claim.set_cpu_thread_count(spec.thread_count() * nodes);
  claim.set_host_memory_bytes(HostBytesOf(plan, spec, devices));
  return claim;
}

}  // namespace tunesmith::server
