#include "server/launch/kubernetes/kubernetes_jobs.h"

#include <utility>

#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

using Json = nlohmann::json;

// Only what we made. A label's one character that a query may not have is its slash.
const std::string& Ours() {
  static const auto* const query = new std::string(StrCat(
      "?labelSelector=", absl::StrReplaceAll(kManagedByLabel, {{"/", "%2F"}}), "%3D", kManagedBy));
  return *query;
}

// The pods of a TrainJob have no labels of ours, but those of its JobSet.
std::string PodsPath(const KubernetesLauncherOptions& options) {
  const std::string pods = StrCat("/api/v1/namespaces/", options.namespace_name, "/pods");
  return options.form == KubernetesForm::kTrainJob
             ? pods + "?labelSelector=jobset.sigs.k8s.io%2Fjobset-name"
             : pods + Ours();
}

absl::Status NotTold(const absl::Status& status) {
  return absl::UnavailableError(StrCat("Kubernetes does not answer: ", status.message()));
}

template <typename Visit>
absl::Status ForEachItem(const Json& list, Visit visit) {
  const auto items = list.find("items");
  if (items == list.end() || !items->is_array())
    return absl::UnavailableError("Kubernetes gave a list without items");
  for (const Json& item : *items) visit(item);
  return absl::OkStatus();
}

}  // namespace

KubernetesJobs::KubernetesJobs(const KubernetesLauncherOptions& options)
    : kubectl_(options.context, options.command_timeout),
      namespace_(options.namespace_name),
      objects_path_(ObjectsPath(options)),
      pods_path_(PodsPath(options)),
      asks_kueue_(!options.queue.empty()),
      interval_(options.poll_interval) {}

absl::StatusOr<std::optional<KubernetesJob>> KubernetesJobs::Find(const std::string& name,
                                                                  absl::Duration age) {
  TUNESMITH_RETURN_IF_ERROR(lists_.Check());
  if (SteadyNow() - read_ >= age) TUNESMITH_RETURN_IF_ERROR(lists_.Note(Read(), interval_));
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? std::nullopt : std::make_optional(found->second);
}

absl::Status KubernetesJobs::Read() {
  const absl::Time asked = SteadyNow();
  read_ = absl::InfinitePast();
  const auto list = kubectl_.Get(objects_path_ + Ours());
  // No way of failing to list says something about a job.
  if (!list.ok()) return NotTold(list.status());
  std::map<std::string, KubernetesJob> jobs;
  TUNESMITH_RETURN_IF_ERROR(ForEachItem(*list, [&](const Json& item) {
    KubernetesJob job = ReadJob(item);
    jobs.insert_or_assign(job.name, std::move(job));
  }));
  TUNESMITH_RETURN_IF_ERROR(ReadPods(jobs));
  if (asks_kueue_) ReadWorkloads(jobs);
  jobs_ = std::move(jobs);
  read_ = asked;
  return absl::OkStatus();
}

absl::Status KubernetesJobs::ReadPods(std::map<std::string, KubernetesJob>& jobs) const {
  const auto list = kubectl_.Get(pods_path_);
  if (!list.ok()) return NotTold(list.status());
  return ForEachItem(*list, [&](const Json& item) {
    KubernetesPod pod = ReadPod(item);
    const auto job = jobs.find(pod.job);
    if (job != jobs.end()) return job->second.pods.push_back(std::move(pod));
    if (!pod.IsAlive() || pod.job_uid.empty()) return;
    // Its Job was deleted without waiting for it, and it may be saving.
    KubernetesJob& gone = jobs[pod.job];
    gone.name = pod.job;
    gone.job_uid = pod.job_uid;
    gone.is_being_deleted = true;
    gone.pods.push_back(std::move(pod));
  });
}

// Why Kueue does not let Jobs go is told where it can be read: it changes nothing of what they are.
void KubernetesJobs::ReadWorkloads(std::map<std::string, KubernetesJob>& jobs) const {
  const auto list =
      kubectl_.Get(StrCat("/apis/kueue.x-k8s.io/v1beta1/namespaces/", namespace_, "/workloads"));
  if (!list.ok()) return;
  (void)ForEachItem(*list, [&](const Json& item) {
    const std::string uid = WorkloadOwner(item);
    for (auto& [name, job] : jobs) {
      if (job.uid == uid) job.admission = AdmissionOf(item);
    }
  });
}

}  // namespace tunesmith::server
