#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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

// What an attempt is made of.
enum class KubernetesForm {
  kJob,       // batch/v1 Job, and for several nodes a headless Service
  kJobSet,    // jobset.x-k8s.io/v1alpha2 with one Job, which makes the Service itself
  kTrainJob,  // trainer.kubeflow.org/v1alpha1 of Kubeflow Trainer 2, whose runtime has the volumes
};

// "job", "jobset", "trainjob"; INVALID_ARGUMENT names the flag.
absl::StatusOr<KubernetesForm> ParseKubernetesForm(const std::string& text);

struct KubernetesLauncherOptions {
  std::string context;  // of the kubeconfig file; empty: its current one, or the pod's own
  std::string namespace_name = "default";
  KubernetesForm form = KubernetesForm::kJob;
  std::string runtime;       // kTrainJob: the ClusterTrainingRuntime
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

// An object and where the API takes it.
struct KubernetesObject {
  std::string path;  // "/apis/batch/v1/namespaces/default/jobs"
  nlohmann::json manifest;
};

// Where the API has the objects that attempts are in a form.
std::string ObjectsPath(const KubernetesLauncherOptions& options);

// The object of the present attempt: pods with an index, one for each node, which are replaced when they were disrupted or have saved because they were told to, and not when
// they have failed. REQUIRES: the job has its plan.
KubernetesObject AttemptObject(const KubernetesLauncherOptions& options, const v1::Job& job);

// The headless Service by whose names the pods of several nodes find each other; nothing: one node, or a form that makes one itself. It goes when its owner, the attempt's
// object of this uid, goes; empty: it has none.
std::optional<KubernetesObject> PodService(const KubernetesLauncherOptions& options,
                                           const v1::Job& job, const std::string& owner_uid);

// A word of a container's command that Kubernetes leaves as it is: it would put variables in the place of $(NAME).
std::string WithoutExpansion(const std::string& word);

}  // namespace tunesmith::server
