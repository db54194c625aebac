#include "server/launch/kubernetes/manifest.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "server/error_info.h"
#include "server/launch/host_memory.h"
#include "server/launch/launcher.h"
#include "server/shim.h"

namespace tunesmith::server {
namespace {

using Json = nlohmann::json;

// From the end of the grace, when the shim kills what is left and writes down what became of it, to the kubelet's own SIGKILL.
constexpr absl::Duration kTimeToEnd = absl::Seconds(30);
// A Job that has ended is kept for people to look at.
constexpr int64_t kKeptSeconds = 24 * 60 * 60;
// Pods that fail without an exit status of ours and without a disruption: the kubelet could not run them.
constexpr int64_t kMostBrokenPods = 3;
constexpr size_t kLongestLabel = 63;
// Where ranks meet: a pod has an address, and all ports, of its own. (torchrun's.)
constexpr int64_t kMasterPort = 29500;
// The Job of a JobSet, as Kubeflow Trainer calls its own.
constexpr char kNodeJob[] = "node";

bool IsLabelCharacter(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
         absl::ascii_islower(static_cast<unsigned char>(c)) || c == '-';
}

// A name as most objects have them (RFC 1123 label); with dots (subdomain) where they may have them.
bool IsName(std::string_view text, bool dots) {
  const auto good = [&](char c) { return IsLabelCharacter(c) || (dots && c == '.'); };
  return !text.empty() && text.size() <= kLongestLabel &&
         std::all_of(text.begin(), text.end(), good) &&
         absl::ascii_isalnum(static_cast<unsigned char>(text.front())) &&
         absl::ascii_isalnum(static_cast<unsigned char>(text.back()));
}

bool IsPlainText(std::string_view text, std::string_view also) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           also.find(c) != std::string_view::npos;
  });
}

absl::Status Refused(std::string_view flag, std::string_view value, std::string_view wanted) {
  return absl::InvalidArgumentError(StrCat(flag, " is \"", value, "\"; ", wanted));
}

absl::Status CheckName(std::string_view flag, const std::string& value, bool dots = false) {
  if (IsName(value, dots)) return absl::OkStatus();
  return Refused(flag, value, "small letters, digits and hyphens are taken, at most 63");
}

// mountPath may not have a colon.
absl::Status CheckMountPath(std::string_view flag, const std::string& path) {
  const bool absolute = path.size() > 1 && path.front() == '/';
  if (absolute && path.find(':') == std::string::npos && path.find("/../") == std::string::npos)
    return absl::OkStatus();
  return Refused(flag, path, "give CLAIM:PATH with the absolute path at which the server has it");
}

bool IsBelow(const std::string& path, const std::string& directory) {
  const std::string prefix = directory.ends_with('/') ? directory : directory + "/";
  return path == directory || path.starts_with(prefix);
}

int64_t SecondsOf(absl::Duration duration) {
  return absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
}

Json Labels(const v1::Job& job) {
  return {{"app.kubernetes.io/name", "tunesmith"},
          {kManagedByLabel, kManagedBy},
          {kJobUidLabel, job.uid()}};
}

Json Resources(const KubernetesLauncherOptions& options, const v1::Job& job) {
  const int64_t ranks = RanksPerNode(job.plan());
  const int64_t bytes = HostBytesOf(job.plan(), job.spec(), ranks) + kStarterBytes;
  const std::string memory = StrCat((bytes + kMiB - 1) / kMiB, "Mi");
  const bool cpu = job.spec().device() == "cpu";
  Json requests = {{"memory", memory}}, limits = {{"memory", memory}};
  requests["cpu"] = StrCat(std::max<int64_t>(1, job.spec().thread_count()));
  if (!cpu) requests[options.gpu_resource] = limits[options.gpu_resource] = StrCat(ranks);
  return {{"requests", requests}, {"limits", limits}};
}

int64_t NodeCount(const v1::Job& job) {
  return std::max<int64_t>(1, job.plan().inputs().devices().node_count());
}

// How the first pod is called within the namespace: an Indexed Job's pods have its name and their index, in the domain of the Service.
std::string MasterOf(const KubernetesLauncherOptions& options, const v1::Job& job) {
  const std::string name = KubernetesJobName(job);
  const std::string pods =
      options.form == KubernetesForm::kJob ? name : StrCat(name, "-", kNodeJob, "-0");
  return StrCat(pods, "-0.", name, ":", kMasterPort);
}

std::vector<std::string> CommandOf(const KubernetesLauncherOptions& options, const v1::Job& job) {
  std::vector<std::string> words =
      ShimCommand(options.shim_path, options.trainer_path, options.grace, job);
  for (const std::string& word :
       {std::string("--cluster-job"), KubernetesJobName(job), std::string("--fence-seconds"),
        StrCat(absl::ToDoubleSeconds(options.fence_delay))})
    words.push_back(word);
  if (NodeCount(job) > 1) {
    for (const std::string& word : {std::string("--nodes"), StrCat(NodeCount(job)),
                                    std::string("--master"), MasterOf(options, job)})
      words.push_back(word);
  }
  for (std::string& word : words) word = WithoutExpansion(word);
  return words;
}

// As the "restricted" standard for pods wants it. A server that is root has root's files, and runs jobs as the image says.
Json PodSecurity() {
  Json security = {{"seccompProfile", {{"type", "RuntimeDefault"}}}};
  if (geteuid() == 0) return security;
  security["runAsNonRoot"] = true;
  security["runAsUser"] = geteuid();
  security["runAsGroup"] = getegid();
  return security;
}

Json Container(const KubernetesLauncherOptions& options, const v1::Job& job) {
  // Ranks of one host speak through shared memory; the 64 MiB that containers have are too few.
  Json mounts = Json::array({Json{{"name", "shared-memory"}, {"mountPath", "/dev/shm"}}});
  for (size_t i = 0; i < options.volumes.size(); ++i)
    mounts.push_back({{"name", StrCat("volume-", i)}, {"mountPath", options.volumes[i].path}});
  return {
      {"name", "trainer"},
      {"image", options.image},
      {"command", CommandOf(options, job)},
      {"resources", Resources(options, job)},
      {"securityContext",
       {{"allowPrivilegeEscalation", false}, {"capabilities", {{"drop", Json::array({"ALL"})}}}}},
      {"volumeMounts", mounts}};
}

Json PodSpec(const KubernetesLauncherOptions& options, const v1::Job& job) {
  Json volumes =
      Json::array({Json{{"name", "shared-memory"}, {"emptyDir", {{"medium", "Memory"}}}}});
  for (size_t i = 0; i < options.volumes.size(); ++i)
    volumes.push_back({{"name", StrCat("volume-", i)},
                       {"persistentVolumeClaim", {{"claimName", options.volumes[i].claim}}}});
  Json spec = {{"restartPolicy", "Never"},
               {"automountServiceAccountToken", false},
               {"terminationGracePeriodSeconds", SecondsOf(options.grace + kTimeToEnd)},
               {"securityContext", PodSecurity()},
               {"containers", Json::array({Container(options, job)})},
               {"volumes", volumes}};
  if (job.spec().device() != "cpu")
    spec["tolerations"] =
        Json::array({Json{{"key", options.gpu_resource}, {"operator", "Exists"}}});
  if (!options.node_selector.empty()) spec["nodeSelector"] = options.node_selector;
  if (NodeCount(job) > 1 && options.form == KubernetesForm::kJob)
    spec["subdomain"] = KubernetesJobName(job);
  return spec;
}

// What becomes of a pod that has failed, the first rule that fits. A trainer that fails would fail again.
Json FailurePolicy() {
  const Json disrupted = {{"type", "DisruptionTarget"}, {"status", "True"}};
  const Json saved = Json::array({kSavedExitStatus});
  Json rules = Json::array();
  rules.push_back({{"action", "Ignore"}, {"onPodConditions", Json::array({disrupted})}});
  rules.push_back({{"action", "Ignore"}, {"onExitCodes", {{"operator", "In"}, {"values", saved}}}});
  rules.push_back(
      {{"action", "FailJob"}, {"onExitCodes", {{"operator", "NotIn"}, {"values", saved}}}});
  return {{"rules", rules}};
}

Json JobSpecOf(const KubernetesLauncherOptions& options, const v1::Job& job) {
  Json spec = {
      {"completionMode", "Indexed"},
      {"completions", NodeCount(job)},
      {"parallelism", NodeCount(job)},
      {"backoffLimit", kMostBrokenPods},
      {"podReplacementPolicy", "Failed"},  // not while the one before still runs
      {"podFailurePolicy", FailurePolicy()},
      {"template", {{"metadata", {{"labels", Labels(job)}}}, {"spec", PodSpec(options, job)}}}};
  if (options.time_limit > absl::ZeroDuration())
    spec["activeDeadlineSeconds"] = SecondsOf(options.time_limit);
  return spec;
}

// One Job, which sees to its pods by itself: one that fails for good ends the set.
Json JobSetSpec(const KubernetesLauncherOptions& options, const v1::Job& job) {
  const Json node = {
      {"name", kNodeJob}, {"replicas", 1}, {"template", {{"spec", JobSpecOf(options, job)}}}};
  return {{"replicatedJobs", Json::array({node})},
          {"network", {{"enableDNSHostnames", true}, {"publishNotReadyAddresses", true}}},
          {"failurePolicy", {{"maxRestarts", 0}}}};
}

// Volumes, grace and security are the runtime's: fields that would change those differ between versions of Trainer.
Json TrainJobSpec(const KubernetesLauncherOptions& options, const v1::Job& job) {
  Json spec = {{"runtimeRef",
                {{"apiGroup", "trainer.kubeflow.org"},
                 {"kind", "ClusterTrainingRuntime"},
                 {"name", options.runtime}}},
               {"trainer",
                {{"image", options.image},
                 {"command", CommandOf(options, job)},
                 {"numNodes", NodeCount(job)},
                 {"resourcesPerNode", Resources(options, job)}}}};
  if (options.time_limit > absl::ZeroDuration())
    spec["activeDeadlineSeconds"] = SecondsOf(options.time_limit);
  return spec;
}

// How the API has a form.
struct FormKind {
  const char* api_version;
  const char* kind;
  const char* plural;
};

FormKind KindOf(KubernetesForm form) {
  switch (form) {
    case KubernetesForm::kJobSet:
      return {"jobset.x-k8s.io/v1alpha2", "JobSet", "jobsets"};
    case KubernetesForm::kTrainJob:
      return {"trainer.kubeflow.org/v1alpha1", "TrainJob", "trainjobs"};
    case KubernetesForm::kJob:
      break;
  }
  return {"batch/v1", "Job", "jobs"};
}

Json SpecOf(const KubernetesLauncherOptions& options, const v1::Job& job) {
  if (options.form == KubernetesForm::kTrainJob) return TrainJobSpec(options, job);
  Json spec =
      options.form == KubernetesForm::kJobSet ? JobSetSpec(options, job) : JobSpecOf(options, job);
  spec["ttlSecondsAfterFinished"] = kKeptSeconds;
  return spec;
}

}  // namespace

absl::Status CheckKubernetesOptions(const KubernetesLauncherOptions& options) {
  TUNESMITH_RETURN_IF_ERROR(CheckName("--kubernetes-namespace", options.namespace_name));
  if (!IsPlainText(options.image, "._:/@-"))
    return Refused("--kubernetes-image", options.image, "name the image that has the trainer");
  if (options.form == KubernetesForm::kTrainJob)
    TUNESMITH_RETURN_IF_ERROR(CheckName("--kubernetes-runtime", options.runtime, /*dots=*/true));
  if (options.volumes.empty()) {
    return absl::InvalidArgumentError(
        "--kubernetes-volume CLAIM:PATH is missing; pods need the volume that the data directory "
        "lies on");
  }
  for (const KubernetesVolume& volume : options.volumes) {
    TUNESMITH_RETURN_IF_ERROR(CheckName("--kubernetes-volume", volume.claim, /*dots=*/true));
    TUNESMITH_RETURN_IF_ERROR(CheckMountPath("--kubernetes-volume", volume.path));
  }
  if (!options.queue.empty())
    TUNESMITH_RETURN_IF_ERROR(CheckName("--kubernetes-queue", options.queue, /*dots=*/true));
  if (!options.priority_class.empty())
    TUNESMITH_RETURN_IF_ERROR(
        CheckName("--kubernetes-priority-class", options.priority_class, /*dots=*/true));
  if (!IsPlainText(options.gpu_resource, "./-"))
    return Refused("--kubernetes-gpu-resource", options.gpu_resource, "as in nvidia.com/gpu");
  for (const auto& [name, value] : options.node_selector) {
    if (!IsPlainText(name, "./_-") || !(value.empty() || IsPlainText(value, "._-")))
      return Refused("--kubernetes-node-selector", StrCat(name, "=", value), "give LABEL=VALUE");
  }
  return absl::OkStatus();
}

absl::Status CheckPaths(const KubernetesLauncherOptions& options, const v1::Job& job) {
  const v1::JobSpec& spec = job.spec();
  std::vector<std::string> unseen, mounted;
  for (const std::string& path :
       {job.run_directory(), spec.model_path(), spec.dataset_path(), spec.evaluation_path(),
        spec.chat_template_path(), spec.output_dir()}) {
    const bool seen = path.empty() || std::any_of(options.volumes.begin(), options.volumes.end(),
                                                  [&](const KubernetesVolume& volume) {
                                                    return IsBelow(path, volume.path);
                                                  });
    if (!seen) unseen.push_back(path);
  }
  if (unseen.empty()) return absl::OkStatus();
  for (const KubernetesVolume& volume : options.volumes) mounted.push_back(volume.path);
  return WithReason(absl::FailedPreconditionError(StrCat(
                        absl::StrJoin(unseen, " and "), " would not be there in a pod, which has ",
                        absl::StrJoin(mounted, " and "),
                        "; move it there, or start tunesmithd with a further "
                        "--kubernetes-volume")),
                    "PATH_NOT_MOUNTED");
}

std::string KubernetesJobName(const v1::Job& job) { return ClusterJobName(job); }

absl::StatusOr<KubernetesForm> ParseKubernetesForm(const std::string& text) {
  if (text == "job") return KubernetesForm::kJob;
  if (text == "jobset") return KubernetesForm::kJobSet;
  if (text == "trainjob") return KubernetesForm::kTrainJob;
  return Refused("--kubernetes-form", text, "give job, jobset or trainjob");
}

std::string ObjectsPath(const KubernetesLauncherOptions& options) {
  const FormKind kind = KindOf(options.form);
  return StrCat("/apis/", kind.api_version, "/namespaces/", options.namespace_name, "/",
                kind.plural);
}

KubernetesObject AttemptObject(const KubernetesLauncherOptions& options, const v1::Job& job) {
  const FormKind kind = KindOf(options.form);
  Json spec = SpecOf(options, job);
  Json metadata = {{"name", KubernetesJobName(job)}, {"labels", Labels(job)}};
  if (!options.queue.empty()) {
    metadata["labels"]["kueue.x-k8s.io/queue-name"] = options.queue;
    if (!options.priority_class.empty())
      metadata["labels"]["kueue.x-k8s.io/priority-class"] = options.priority_class;
    spec["suspend"] = true;  // until Kueue lets it go
  }
  return {ObjectsPath(options),
          {{"apiVersion", kind.api_version},
           {"kind", kind.kind},
           {"metadata", metadata},
           {"spec", spec}}};
}

std::optional<KubernetesObject> PodService(const KubernetesLauncherOptions& options,
                                           const v1::Job& job, const std::string& owner_uid) {
  if (options.form != KubernetesForm::kJob || NodeCount(job) == 1) return std::nullopt;
  const std::string name = KubernetesJobName(job);
  Json metadata = {{"name", name}, {"labels", Labels(job)}};
  if (!owner_uid.empty()) {
    const FormKind kind = KindOf(options.form);
    metadata["ownerReferences"] = Json::array({Json{{"apiVersion", kind.api_version},
                                                    {"kind", kind.kind},
                                                    {"name", name},
                                                    {"uid", owner_uid}}});
  }
  return KubernetesObject{
      StrCat("/api/v1/namespaces/", options.namespace_name, "/services"),
      {{"apiVersion", "v1"},
       {"kind", "Service"},
       {"metadata", metadata},
       {"spec",
        {{"clusterIP", "None"},
         {"publishNotReadyAddresses", true},  // ranks meet before anything is ready
         {"selector", {{"batch.kubernetes.io/job-name", name}}}}}}};
}

std::string WithoutExpansion(const std::string& word) {
  return absl::StrReplaceAll(word, {{"$", "$$"}});
}

}  // namespace tunesmith::server
