#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"
#include "server/launch/kubernetes/kubernetes_jobs.h"
#include "server/launch/launcher.h"
#include "server/launch/sight_news.h"

namespace tunesmith::server {

// Starts attempts as Jobs of Kubernetes (or JobSets, or TrainJobs), by kubectl. Pods run tunesmith-shim in an image that has it, and see run directories through volumes at the paths that the server
// has them at. Kubernetes (or Kueue) queues: every job is handed over at once.
//
// A plan for several nodes has a pod for each, which is replaced by itself; the attempt is then started again as a whole, by the shims (node_claim.h).
//
// An attempt's handle is "<namespace>/<name of its Job>". Where a pod is disrupted, Kubernetes starts another one: the shim then takes the next attempt, and Look tells of
// it. A Job that is deleted, by whomever, was cancelled.
class KubernetesLauncher final : public Launcher {
 public:
  explicit KubernetesLauncher(KubernetesLauncherOptions options);

  std::string_view name() const override { return "kubernetes"; }
  absl::StatusOr<v1::ResourceClaim> Check(const v1::Job& job) const override;
  // Asks the API server by a dry run, which refuses what the cluster would refuse.
  absl::StatusOr<v1::RenderedSubmission> Render(const v1::Job& job) const override;
  // Says where; what a cluster has, only its administrators may list.
  v1::Cluster Describe(const std::vector<v1::Job>& active) const override;
  std::vector<Admission> Admit(const std::vector<v1::Job>& queue,
                               const std::vector<v1::Job>& active) override;
  absl::StatusOr<std::string> Start(const v1::Job& job) override;
  absl::StatusOr<std::string> Find(const v1::Job& job) override;
  absl::StatusOr<AttemptView> Look(const v1::Job& job, const std::string& handle) override;
  absl::Status Cancel(const v1::Job& job, const std::string& handle) override;

 private:
  absl::StatusOr<std::string> NameIn(const std::string& handle) const;
  // Creates an object, and gives it as it then is; FAILED_PRECONDITION also where the namespace, or the kind of object, is not there.
  absl::StatusOr<nlohmann::json> Submit(const KubernetesObject& object,
                                        std::string_view query) const;
  // The object of the attempt's name, which somebody has made before: FAILED_PRECONDITION where that was not us.
  absl::StatusOr<nlohmann::json> FindOwn(const v1::Job& job) const;
  // Makes the attempt's Service, where it wants one and has none yet.
  absl::Status MakeService(const v1::Job& job, const std::string& owner_uid) const;
  absl::Status Make(const v1::Job& job) const;
  absl::Status Delete(const std::string& name) const;
  absl::StatusOr<std::optional<KubernetesJob>> Ask(const std::string& name, const Sight& sight);

  const KubernetesLauncherOptions options_;
  const Kubectl kubectl_;
  KubernetesJobs jobs_;
  std::map<std::string, absl::Time> deleted_;  // when a Job was last deleted, by name
  HoldOffs refused_;                           // submissions that may be taken later, by name
  SightNews news_;
};

}  // namespace tunesmith::server
