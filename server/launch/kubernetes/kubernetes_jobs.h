#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/launch/hold_off.h"
#include "server/launch/kubernetes/job_view.h"
#include "server/launch/kubernetes/kubectl.h"
#include "server/launch/kubernetes/manifest.h"

namespace tunesmith::server {

// Tunesmith's Jobs of a namespace with their pods, read whole now and then. Lists are answered from the API server's store, so that none is older than its question; there is no
// watch that could be lost. Not thread-safe.
class KubernetesJobs {
 public:
  explicit KubernetesJobs(const KubernetesLauncherOptions& options);

  // The Job as it was at most `age` ago; none where there is none (any more). UNAVAILABLE: the API server does not answer, or does not tell; it is then not asked
  // again before the poll interval has passed.
  absl::StatusOr<std::optional<KubernetesJob>> Find(const std::string& name, absl::Duration age);

 private:
  absl::Status Read();
  absl::Status ReadPods(std::map<std::string, KubernetesJob>& jobs) const;
  void ReadWorkloads(std::map<std::string, KubernetesJob>& jobs) const;

  const Kubectl kubectl_;
  const std::string namespace_;
  const std::string objects_path_;
  const std::string pods_path_;
  const bool asks_kueue_;
  const absl::Duration interval_;
  std::map<std::string, KubernetesJob> jobs_;  // by name
  absl::Time read_ = absl::InfinitePast();
  HoldOff lists_;
};

}  // namespace tunesmith::server
