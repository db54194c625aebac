#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "tunesmith/v1/jobs.pb.h"

// What an attempt is to Kubernetes: pure functions of the job and of how the server was started.
namespace tunesmith::server {

// A claim of storage (PersistentVolumeClaim) that pods have at the path at which the server has it.
struct KubernetesVolume {
  std::string claim;
  std::string path;
};

struct KubernetesLauncherOptions {
  std::string context;  // of the kubeconfig file; empty: its current one, or the pod's own
  std::string namespace_name = "default";
  std::string image;         // has shim and trainer
  std::string shim_path;     // in the image
  std::string trainer_path;  // in the image
  std::vector<KubernetesVolume> volumes;
  std::string queue;           // Kueue's local queue; empty: Kueue is not asked
  std::string priority_class;  // Kueue's workload priority class; empty: none
  std::string gpu_resource = "nvidia.com/gpu";
  std::map<std::string, std::string> node_selector;  // labels that nodes must have
  absl::Duration time_limit;                         // of an attempt; zero: none
  absl::Duration grace = absl::Seconds(60);          // from asking a trainer to save to killing it
  absl::Duration poll_interval = absl::Seconds(10);
  absl::Duration command_timeout = absl::Seconds(20);
  absl::Duration fence_delay = absl::Seconds(5);  // as ShimOptions
};

// INVALID_ARGUMENT names the flag of tunesmithd and says what is wrong with its value.
absl::Status CheckKubernetesOptions(const KubernetesLauncherOptions& options);

// FAILED_PRECONDITION names the paths of the job that pods would not see, and the volumes there are.
absl::Status CheckPaths(const KubernetesLauncherOptions& options, const v1::Job& job);

// How the job's present attempt is called: a job's uid stands for the request that made it, so that a submission that is repeated meets its own Job.
std::string KubernetesJobName(const v1::Job& job);

// Labels by which Jobs and pods are found.
inline constexpr char kManagedByLabel[] = "app.kubernetes.io/managed-by";
inline constexpr char kManagedBy[] = "tunesmith";
inline constexpr char kJobUidLabel[] = "tunesmith-job-uid";

// The batch/v1 Job of the present attempt: one pod with an index, which is replaced when it was disrupted or has saved because it was told to, and not when it
// has failed. REQUIRES: the job has its plan, for one node.
nlohmann::json JobManifest(const KubernetesLauncherOptions& options, const v1::Job& job);

// A word of a container's command that Kubernetes leaves as it is: it would put variables in the place of $(NAME).
std::string WithoutExpansion(const std::string& word);

}  // namespace tunesmith::server
