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

std::vector<std::string> CommandOf(const KubernetesLauncherOptions& options, const v1::Job& job) {
  std::vector<std::string> words =
      ShimCommand(options.shim_path, options.trainer_path, options.grace, job);
  for (const std::string& word :
       {std::string("--cluster-job"), KubernetesJobName(job), std::string("--fence-seconds"),
        StrCat(absl::ToDoubleSeconds(options.fence_delay))})
    words.push_back(word);
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

}  // namespace

absl::Status CheckKubernetesOptions(const KubernetesLauncherOptions& options) {
  TUNESMITH_RETURN_IF_ERROR(CheckName("--kubernetes-namespace", options.namespace_name));
  if (!IsPlainText(options.image, "._:/@-"))
    return Refused("--kubernetes-image", options.image, "name the image that has the trainer");
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

Json JobManifest(const KubernetesLauncherOptions& options, const v1::Job& job) {
  Json spec = {
      {"completionMode", "Indexed"},
      {"completions", 1},
      {"parallelism", 1},
      {"backoffLimit", kMostBrokenPods},
      {"podReplacementPolicy", "Failed"},  // not while the one before still runs
      {"podFailurePolicy", FailurePolicy()},
      {"ttlSecondsAfterFinished", kKeptSeconds},
      {"template", {{"metadata", {{"labels", Labels(job)}}}, {"spec", PodSpec(options, job)}}}};
  if (options.time_limit > absl::ZeroDuration())
    spec["activeDeadlineSeconds"] = SecondsOf(options.time_limit);
  Json metadata = {{"name", KubernetesJobName(job)}, {"labels", Labels(job)}};
  if (!options.queue.empty()) {
    metadata["labels"]["kueue.x-k8s.io/queue-name"] = options.queue;
    if (!options.priority_class.empty())
      metadata["labels"]["kueue.x-k8s.io/priority-class"] = options.priority_class;
    spec["suspend"] = true;  // until Kueue lets it go
  }
  return {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", metadata}, {"spec", spec}};
}

std::string WithoutExpansion(const std::string& word) {
  return absl::StrReplaceAll(word, {{"$", "$$"}});
}

}  // namespace tunesmith::server
