#include "server/launch/kubernetes/job_view.h"

#include <algorithm>
#include <initializer_list>
#include <map>

#include "common/str_cat.h"
#include "server/launch/kubernetes/manifest.h"
#include "server/shim.h"

namespace tunesmith::server {
namespace {

using Json = nlohmann::json;

// What stands at the end of a path of fields; null where one is missing.
const Json& At(const Json& value, std::initializer_list<const char*> path) {
  static const Json kNull;
  const Json* found = &value;
  for (const char* field : path) {
    if (!found->is_object()) return kNull;
    const auto next = found->find(field);
    if (next == found->end()) return kNull;
    found = &*next;
  }
  return *found;
}

std::string TextAt(const Json& value, std::initializer_list<const char*> path) {
  const Json& found = At(value, path);
  return found.is_string() ? found.get<std::string>() : "";
}

int64_t NumberAt(const Json& value, std::initializer_list<const char*> path) {
  const Json& found = At(value, path);
  return found.is_number_integer() ? found.get<int64_t>() : 0;
}

bool IsTrueAt(const Json& value, std::initializer_list<const char*> path) {
  const Json& found = At(value, path);
  return found.is_boolean() && found.get<bool>();
}

// The condition of this type in status.conditions; null where there is none.
const Json& ConditionOf(const Json& object, const char* type) {
  static const Json kNull;
  const Json& conditions = At(object, {"status", "conditions"});
  if (!conditions.is_array()) return kNull;
  for (const Json& condition : conditions) {
    if (TextAt(condition, {"type"}) == type) return condition;
  }
  return kNull;
}

bool IsTrue(const Json& object, const char* type) {
  return TextAt(ConditionOf(object, type), {"status"}) == "True";
}

std::string ReasonAndMessage(const Json& value) {
  const std::string reason = TextAt(value, {"reason"}), message = TextAt(value, {"message"});
  return StrCat(reason, reason.empty() || message.empty() ? "" : ": ", message);
}

// The state of its only container.
const Json& ContainerState(const Json& pod) {
  static const Json kNull;
  const Json& statuses = At(pod, {"status", "containerStatuses"});
  return statuses.is_array() && !statuses.empty() ? At(statuses[0], {"state"}) : kNull;
}

std::string WaitsFor(const Json& pod) {
  const Json& scheduled = ConditionOf(pod, "PodScheduled");
  if (TextAt(scheduled, {"status"}) == "False") return ReasonAndMessage(scheduled);
  return ReasonAndMessage(At(ContainerState(pod), {"waiting"}));
}

}  // namespace

KubernetesPod ReadPod(const Json& pod) {
  KubernetesPod out{
      .name = TextAt(pod, {"metadata", "name"}),
      .job = TextAt(pod, {"metadata", "labels", "jobset.sigs.k8s.io/jobset-name"}),
      .job_uid = TextAt(pod, {"metadata", "labels", kJobUidLabel}),
      .index = TextAt(pod, {"metadata", "labels", "batch.kubernetes.io/job-completion-index"}),
      .phase = TextAt(pod, {"status", "phase"}),
      .node = TextAt(pod, {"spec", "nodeName"}),
      .waits_for = WaitsFor(pod),
      .ended_by = TextAt(ContainerState(pod), {"terminated", "reason"}),
      .exit_status = NumberAt(ContainerState(pod), {"terminated", "exitCode"}),
      .ended_message = TextAt(ContainerState(pod), {"terminated", "message"})};
  if (out.job.empty())
    out.job = TextAt(pod, {"metadata", "labels", "batch.kubernetes.io/job-name"});
  if (IsTrue(pod, "DisruptionTarget"))
    out.disrupted_by = TextAt(ConditionOf(pod, "DisruptionTarget"), {"reason"});
  return out;
}

KubernetesJob ReadJob(const Json& job) {
  const Json& failed = ConditionOf(job, "Failed");
  KubernetesJob out{.name = TextAt(job, {"metadata", "name"}),
                    .uid = TextAt(job, {"metadata", "uid"}),
                    .job_uid = TextAt(job, {"metadata", "labels", kJobUidLabel}),
                    .is_suspended = IsTrueAt(job, {"spec", "suspend"}),
                    .is_being_deleted = !TextAt(job, {"metadata", "deletionTimestamp"}).empty(),
                    .is_complete = IsTrue(job, "Complete") || IsTrue(job, "Completed"),
                    .has_failed = IsTrue(job, "Failed")};
  if (!out.has_failed) return out;
  out.reason = TextAt(failed, {"reason"});
  out.message = TextAt(failed, {"message"});
  return out;
}

std::string AdmissionOf(const Json& workload) {
  if (IsTrue(workload, "Admitted")) return "";
  for (const char* type : {"Evicted", "QuotaReserved", "Admitted"}) {
    const Json& condition = ConditionOf(workload, type);
    const bool tells =
        (TextAt(condition, {"status"}) == "True") == (std::string_view(type) == "Evicted");
    if (!condition.is_null() && tells) return ReasonAndMessage(condition);
  }
  return "";
}

std::string WorkloadOwner(const Json& workload) {
  return TextAt(workload, {"metadata", "labels", "kueue.x-k8s.io/job-uid"});
}

namespace {

// How far a pod has come.
int Progress(const KubernetesPod& pod) {
  return pod.phase == "Running" ? 2 : pod.phase == "Pending" ? 1 : 0;
}

// The first node that does not run, by its newest pod; else any that runs; null: there is no pod.
const KubernetesPod* PodWaitedFor(const KubernetesJob& job) {
  std::map<std::string, const KubernetesPod*> newest;
  for (const KubernetesPod& pod : job.pods) {
    const KubernetesPod*& best = newest[pod.index];
    if (best == nullptr || Progress(pod) >= Progress(*best)) best = &pod;
  }
  const KubernetesPod* found = nullptr;
  for (const auto& [index, pod] : newest) {
    if (found == nullptr || (pod->phase != "Running" && found->phase == "Running")) found = pod;
  }
  return found;
}

}  // namespace

const KubernetesPod* KubernetesJob::NewestPod() const {
  const KubernetesPod* best = nullptr;
  for (const KubernetesPod& pod : pods) {
    if (best == nullptr || Progress(pod) >= Progress(*best)) best = &pod;
  }
  return best;
}

const KubernetesPod* KubernetesJob::PodAtFault() const {
  const auto find = [this](auto is_it) -> const KubernetesPod* {
    const auto found = std::find_if(pods.begin(), pods.end(), is_it);
    return found == pods.end() ? nullptr : &*found;
  };
  if (const auto* pod = find([](const KubernetesPod& p) { return p.ended_by == "OOMKilled"; }))
    return pod;
  const auto failed_itself = [](const KubernetesPod& p) {
    return p.phase == "Failed" && p.disrupted_by.empty() && p.exit_status != kSavedExitStatus;
  };
  const KubernetesPod* pod = find(failed_itself);
  return pod == nullptr ? NewestPod() : pod;
}

bool KubernetesJob::HasLivingPods() const {
  return std::any_of(pods.begin(), pods.end(),
                     [](const KubernetesPod& pod) { return pod.IsAlive(); });
}

std::string WaitReason(const KubernetesJob& job) {
  const std::string name = StrCat("Kubernetes Job ", job.name);
  if (job.is_being_deleted) return StrCat(name, " is being deleted");
  if (job.is_suspended) {
    return StrCat(name, " is suspended",
                  job.admission.empty() ? "" : StrCat(", and Kueue says: ", job.admission));
  }
  const KubernetesPod* pod = PodWaitedFor(job);
  if (pod == nullptr) return StrCat(name, " has no pod yet");
  if (pod->phase == "Running") return StrCat(name, " starts on ", pod->node);
  if (pod->phase == "Pending") {
    return StrCat(name, " waits", pod->waits_for.empty() ? "" : StrCat(": ", pod->waits_for));
  }
  return StrCat(name, " gets another pod",
                pod->disrupted_by.empty() ? "" : StrCat(" after ", pod->disrupted_by));
}

}  // namespace tunesmith::server
