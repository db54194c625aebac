// Any text as what the API of Kubernetes says of a Job, a pod or a Workload: it is read without a fault, and there is a reason to wait.
#include <cstdint>
#include <string>

#include "server/launch/kubernetes/job_view.h"
#include "server/launch/kubernetes/kubectl.h"
#include "tests/fuzz/require.h"

namespace tunesmith::server {
namespace {

void Check(const std::string& text) {
  Require(!StatusOfKubectl({.status = 1, .output = {}, .errors = text}).ok());
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  KubernetesJob job = ReadJob(json);
  Require(!WaitReason(job).empty());
  job.pods = {ReadPod(json)};
  job.admission = AdmissionOf(json);
  Require(!WaitReason(job).empty() && job.NewestPod() != nullptr);
  Require(job.HasLivingPods() == job.pods[0].IsAlive());
  (void)WorkloadOwner(json);
}

}  // namespace
}  // namespace tunesmith::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::server::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
