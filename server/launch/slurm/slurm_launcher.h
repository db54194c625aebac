#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/launch/hold_off.h"
#include "server/launch/launcher.h"
#include "server/launch/sight_news.h"
#include "server/launch/slurm/slurm_commands.h"
#include "server/launch/slurm/submission.h"

namespace tunesmith::server {

// Starts attempts as batch jobs of Slurm, by sbatch, squeue, sacct, scancel and scontrol. Jobs run as
// the server's user, with tunesmith-shim as their script, and run directories lie on a file system
// that all nodes have at the same path. Slurm's queue is the queue: every job is handed over at once.
//
// An attempt's handle is the number of its Slurm job; what attempt-N says goes before it. Slurm may
// start a job again by itself (a node failed, time was nearly up, somebody else got the nodes): the
// shim then takes the next attempt, and Look tells of it.
class SlurmLauncher final : public Launcher {
 public:
  explicit SlurmLauncher(SlurmLauncherOptions options);

  std::string_view name() const override { return "slurm"; }
  absl::StatusOr<v1::ResourceClaim> Check(const v1::Job& job) const override;
  // Asks Slurm by sbatch --test-only, which refuses what the cluster would refuse and else says when it
  // would start.
  absl::StatusOr<v1::RenderedSubmission> Render(const v1::Job& job) const override;
  v1::Cluster Describe(const std::vector<v1::Job>& active) const override;
  std::vector<Admission> Admit(const std::vector<v1::Job>& queue,
                               const std::vector<v1::Job>& active) override;
  absl::StatusOr<std::string> Start(const v1::Job& job) override;
  absl::StatusOr<std::string> Find(const v1::Job& job) override;
  absl::StatusOr<AttemptView> Look(const v1::Job& job, const std::string& handle) override;
  absl::Status Cancel(const v1::Job& job, const std::string& handle) override;

 private:
  struct Cancelling {
    absl::Time first;
    absl::Time last = absl::InfinitePast();
  };

  // The job of this number in the queue, where it is ours; as SlurmQueue::Find.
  absl::StatusOr<std::optional<SlurmJob>> FindOwn(const v1::Job& job, int64_t id,
                                                  absl::Duration age);
  absl::StatusOr<std::optional<SlurmJob>> Ask(const v1::Job& own, int64_t id, const Sight& sight);
  absl::StatusOr<AttemptView> ViewOf(const v1::Job& job, const SlurmJob& slurm, const Sight& sight);
  absl::StatusOr<AttemptView> ViewPending(const SlurmJob& job, const Sight& sight);
  void Forget(int64_t number);
  absl::Status Release(int64_t id);
  absl::Status CancelNow(const v1::Job& job, int64_t number, absl::Duration since_first);
  absl::Status RunScancel(std::vector<std::string> arguments);

  const SlurmLauncherOptions options_;
  SlurmQueue queue_;
  std::map<int64_t, Cancelling> cancelling_;  // by number of the Slurm job
  std::map<int64_t, absl::Time> released_;    // when a held job was last released
  HoldOffs refused_;                          // submissions that may be taken later, by name
  SightNews news_;

  // What Describe says, read now and then.
  mutable std::mutex mutex_;
  mutable v1::Cluster cluster_;
  mutable absl::Time cluster_read_ = absl::InfinitePast();
};

}  // namespace tunesmith::server
